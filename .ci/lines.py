"""Print how many lines each part of the library has, beside what a reader can carry.

The figures include docstrings and blank lines. Outgrowing one wants a reason, so this only
prints: it fails nothing. It also names files over 500 lines and functions over 60.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "minidl"

PARTS = [
    (("tensor.py", "tape.py", "accumulate.py", "device.py", "modes.py", "dtypes.py"), 550),
    (("ops",), 1400),
    (("formulas.py",), 500),
    (("nn", "optim.py", "schedules.py", "models"), 1050),
    (("kernels",), 1350),
    (("data", "training", "metrics.py"), 1000),
    (("explain", "testing", "plots.py"), 1800),
    (("cli.py",), 300),
]


def files(name: str) -> list[Path]:
    """The Python files that `name`, a file or a package of minidl, stands for."""
    path = ROOT / name
    return sorted(path.rglob("*.py")) if path.is_dir() else [path] * path.exists()


def count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def long_functions(path: Path) -> list[str]:
    """Functions of one file that do not fit a screen, as "file:line name (lines)"."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1
            if lines > 60:
                where = path.relative_to(ROOT.parent).as_posix()
                found.append(f"{where}:{node.lineno} {node.name} ({lines})")
    return found


def main() -> None:
    print(f"{'part of minidl/':44} {'lines':>6} {'about':>6}")
    everything, counted = sorted(ROOT.rglob("*.py")), set()
    for names, budget in PARTS:
        paths = [path for name in names for path in files(name)]
        counted.update(paths)
        print(f"{'  '.join(names):44} {sum(map(count, paths)):6} {budget:6}")
    rest = [path for path in everything if path not in counted]
    print(f"{'the rest: ' + ' '.join(p.relative_to(ROOT).as_posix() for p in rest)}")
    print(f"{'':44} {sum(map(count, rest)):6}")
    print(f"{'all':44} {sum(map(count, everything)):6}")
    for path in everything:
        if count(path) > 500:
            print(f"over 500 lines: {path.relative_to(ROOT.parent).as_posix()} ({count(path)})")
        for line in long_functions(path):
            print(f"longer than a screen: {line}")


if __name__ == "__main__":
    main()
