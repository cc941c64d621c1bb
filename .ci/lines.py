"""Print the files of the first reading in reading order, and how many lines each part has.

    python .ci/lines.py

The first reading is the engine that trains three systems: ``minidl train cnn``, ``gan``, ``vae``.
Lines are those of the files, docstrings and blank lines included. A bound that is exceeded is
printed, and the exit status is 1. tests/test_first_reading.py trains the three, and fails when a
file that they enter has no place here.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "minidl"
AT_MOST = {"first hour": 1200, "first reading": 3400, "steps and loop": 600}      # lines
FILE, FUNCTION = 400, 60               # lines of a file, and of a function, of the first reading

READING = {                            # in reading order
    "core": "tensor op tape gradients device dtypes modes random",
    "ops": "ops/arithmetic ops/shape ops/reduce ops/linear ops/windows ops/conv ops/pool "
           "ops/activation ops/norm ops/dropout ops/counted ops/loss ops/generative",
    "functions": "functional",
    "layers": "nn/parameter nn/module nn/container nn/linear nn/conv nn/pool nn/activation nn/norm "
              "nn/dropout nn/shape nn/initial_weights",
    "optimisers": "optim/update_rules optim/optimizer",
    "networks": "models/cnn models/gan models/vae",
}
# From a call of F.conv2d to its gradient and an Adam step.
HOUR = [f"{name}.py" for name in (
    "tensor functional op ops/windows ops/conv tape gradients optim/update_rules optim/optimizer"
    ).split()]
PROCEDURES = [f"training/{name}.py" for name in
              "classifier_steps gan_steps vae_steps loop".split()]

REST = {                               # what nobody has to open; a training enters some of it
    "checks": ["checks"],
    "kernels": ["kernels", "nn/fusion.py", "ops/fused.py"],
    "data": ["data"],
    "run-keeping": ["training", "files", "plots", "cli.py", "cuda.py", "watch.py",
                    "nn/module_state.py", "optim/optimizer_state.py", "models/recipes.py"],
    "more": ["more", "ops/more", "ops/terms.py", "nn/more", "optim/more", "models/more"],
    "formulas": ["formulas.py"],
    "explain": ["explain"],
    "testing": ["testing"],
    "exercises": ["exercises"],
    "gpu-check": ["gpu_check"],
    "bridge": ["bridge"],
}
ENTERED = "checks", "kernels", "data", "run-keeping"       # by the three trainings


def reading() -> list[str]:
    """The files of the first reading, in reading order."""
    return [f"{name}.py" for names in READING.values() for name in names.split()]


def place(file: str) -> str | None:
    """The part that a file entered by a training belongs to; None if it has none."""
    if file in reading() or file in PROCEDURES:
        return "first reading" if file in reading() else "steps and loop"
    return next((part for part in ENTERED for name in REST[part]
                 if file == name or file.startswith(f"{name}/")), None)


def count(file: str) -> int:
    return len((ROOT / file).read_text(encoding="utf-8").splitlines())


def files(name: str) -> list[str]:
    """The Python files that `name`, a file or a folder of minidl, stands for."""
    path = ROOT / name
    found = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [file.relative_to(ROOT).as_posix() for file in found]


def long_functions(file: str) -> list[str]:
    """Functions of one file that do not fit a screen, as "file:line name (lines)"."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return [f"{file}:{node.lineno} {node.name} ({node.end_lineno - node.lineno + 1})"
            for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.end_lineno - node.lineno >= FUNCTION]


def totals() -> dict[str, int]:
    """The lines of the first hour, the first reading, and the step procedures with the loop."""
    return {"first hour": sum(map(count, HOUR)), "first reading": sum(map(count, reading())),
            "steps and loop": sum(map(count, PROCEDURES))}


def problems() -> list[str]:
    """What exceeds its bound."""
    found = [f"{name}: {lines} lines, at most {AT_MOST[name]}" for name, lines in totals().items()
             if lines > AT_MOST[name]]
    for file in reading() + PROCEDURES:
        if count(file) > FILE:
            found.append(f"{file}: {count(file)} lines, at most {FILE}")
        found += [f"longer than a screen: {line}" for line in long_functions(file)]
    return found


def rest() -> dict[str, int]:
    """The lines of each part of the rest; what no part names is the indexes (__init__.py)."""
    left = set(files(".")) - set(reading()) - set(PROCEDURES)
    lines = {}
    for part, names in REST.items():
        inside = {file for name in names for file in files(name)} & left
        lines[part], left = sum(map(count, inside)), left - inside
    return {**lines, "indexes": sum(map(count, left))}


def main() -> None:
    for part, names in READING.items():
        print(f"-- {part}")
        for name in names.split():
            hour = "   first hour" if f"{name}.py" in HOUR else ""
            print(f"   {name + '.py':30}{count(f'{name}.py'):5}{hour}")
    print("-- steps and loop")
    for file in PROCEDURES:
        print(f"   {file:30}{count(file):5}")
    print("-- the rest, which nobody has to open")
    for part, lines in rest().items():
        print(f"   {part:30}{lines:5}")
    for name, lines in totals().items():
        print(f"{name}: {lines} lines (at most {AT_MOST[name]})")
    print(f"all of minidl/: {sum(map(count, files('.'))):,} lines")
    for problem in problems():
        print(f"too long: {problem}")
    sys.exit(bool(problems()))


if __name__ == "__main__":
    main()
