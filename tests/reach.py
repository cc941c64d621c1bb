"""How far a call reaches: the functions of the library that a reader has to follow.

    python tests/reach.py                  each call of the table below: functions, files, lines
    python tests/reach.py "Adam step"      the functions that one call enters, the longest first

Counted are functions of ``minidl``, lambdas included, that a call enters on reference kernels, and
the lines from each one's decorators to its end. A comprehension is a part of the function around
it. Every call runs once before it is counted, so that imports and caches do not count.

The same figures everywhere: this script chooses its own kernels and keeps nothing, whatever the
environment says, and lengths come from the syntax tree, not from a version's `inspect`. So tests
ask for the figures in a process of their own, by `measured`.
"""

from __future__ import annotations

import ast
import cProfile
import functools
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

BOUNDS = {                             # functions, and lines of their bodies: at most so many
    "conv2d": (50, 450),               # forward and back
    "Linear": (45, 380),               # forward and back
    "Adam step": (10, 90),
    "VAE step": (140, 1050),           # 950 lines are wanted,
    "CNN step": (110, 920),            # and here 850: a fifth of them are docstrings
    "a * a": (40, 380),                # of a new tensor, its sum, and back
}


class Function(NamedTuple):
    file: str
    line: int
    name: str
    lines: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.name} ({self.lines})"


# --------------------------------------------------------------------------- the counter
def entered(call: Callable[[], object], package: Path = ROOT / "minidl") -> list[Function]:
    """The functions of `package` that ``call()`` enters, the longest first."""
    # A function given to sys.setprofile would see the same, but Python 3.10 then holds every local
    # once more, and the engine, which counts references to a gradient, would copy some.
    counter = cProfile.Profile(builtins=False)
    gc.collect()                       # or what is collected later would be counted here
    counter.runcall(call)
    codes = {entry.code for entry in counter.getstats() if not isinstance(entry.code, str)
             and entry.code.co_filename.startswith(str(package) + os.sep)}
    found = []
    for code in codes:
        if (code.co_firstlineno, code.co_name) in (functions := _functions(code.co_filename)):
            name, lines = functions[code.co_firstlineno, code.co_name]
            file = Path(code.co_filename).relative_to(package.parent).as_posix()
            found.append(Function(file, code.co_firstlineno, name, lines))
    return sorted(found, key=lambda f: (-f.lines, f))


@functools.cache
def _functions(path: str) -> dict[tuple[int, str], tuple[str, int]]:
    """By first line and name of the code: the qualified name, and the lines."""
    found: dict[tuple[int, str], tuple[str, int]] = {}

    def visit(node: ast.AST, within: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = within
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
                name = getattr(child, "name", "<lambda>")
                inner = f"{within}{name}."
                if not isinstance(child, ast.ClassDef):
                    first = min([child.lineno] + [d.lineno for d in
                                                  getattr(child, "decorator_list", ())])
                    lines = child.end_lineno - first + 1
                    _, longest = found.get((first, name), ("", 0))      # lambdas may share a line
                    found[first, name] = f"{within}{name}", max(lines, longest)
            visit(child, inner)

    visit(ast.parse(Path(path).read_text(encoding="utf-8")), "")
    return found


def summary(name: str, functions: list[Function]) -> str:
    most, longest = BOUNDS[name]
    files, lines = len({f.file for f in functions}), sum(f.lines for f in functions)
    return (f"{name:9} {len(functions):4} functions (at most {most}), {files:2} files, "
            f"{lines:4} lines (at most {longest})")


# --------------------------------------------------------------------------- what is counted
def calls() -> dict[str, Callable[[], object]]:
    """The calls of BOUNDS, on small arrays."""
    import numpy as np

    import minidl
    import minidl.functional as F
    from minidl import nn, optim, training
    from minidl.models import VAE

    rng = np.random.default_rng(0)

    def normal(*shape: int, grad: bool = True) -> minidl.Tensor:
        return minidl.tensor(rng.normal(size=shape).astype("f4"), requires_grad=grad)

    x, w, b, gy = normal(4, 3, 8, 8), normal(5, 3, 3, 3), normal(5), normal(4, 5, 8, 8, grad=False)
    layer, rows, g = nn.Linear(3, 2), normal(4, 3, grad=False), normal(4, 2, grad=False)
    layer(rows).backward(g)
    adam = optim.Adam(layer.parameters())
    vae, images = VAE(latent=2), minidl.tensor(rng.uniform(size=(2, 1, 28, 28)).astype("f4"))
    vae_steps = training.VAESteps(vae, optim.Adam(vae.parameters()))
    cnn = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                        nn.Linear(4 * 13 * 13, 10))
    cnn_adam, labels = optim.Adam(cnn.parameters()), minidl.tensor([1, 2])

    def cnn_step() -> None:
        loss = F.cross_entropy(cnn(images), labels)
        cnn_adam.zero_grad()
        loss.backward()
        cnn_adam.step()

    def square() -> None:
        a = minidl.tensor([1.0, 2.0], requires_grad=True)
        (a * a).sum().backward()

    return {
        "conv2d": lambda: F.conv2d(x, w, b, padding=1).backward(gy),
        "Linear": lambda: layer(rows).backward(g),
        "Adam step": adam.step,
        "VAE step": lambda: vae_steps.step(images),
        "CNN step": cnn_step,
        "a * a": square,
    }


def _measure(names: list[str]) -> dict[str, list[Function]]:
    """In the order of `names`. For a process in which minidl has not been imported."""
    os.environ["MINIDL_KERNELS"] = "reference"
    os.environ.pop("MINIDL_KEEP", None)
    sys.path.insert(0, str(ROOT))
    found = {}
    for name, call in ((name, calls()[name]) for name in names):
        call()
        found[name] = entered(call)
    return found


def measured(*names: str) -> dict[str, list[Function]]:
    """The functions that each call of BOUNDS enters (or those named, in that order), counted in a
    process of their own."""
    command = [sys.executable, __file__, "--json", *names]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name: [Function(*each) for each in functions]
            for name, functions in json.loads(out).items()}


def main(arguments: list[str]) -> None:
    names = [name for name in arguments if name != "--json"]
    if unknown := set(names) - set(BOUNDS):
        sys.exit(f"no call is named {', '.join(unknown)}; there are {', '.join(BOUNDS)}")
    found = _measure(names or list(BOUNDS))
    if "--json" in arguments:
        print(json.dumps(found))
        return
    for name, functions in found.items():
        print(f"reach: {summary(name, functions)}")
        for function in functions if names else ():
            print(f"  {function}")


if __name__ == "__main__":
    main(sys.argv[1:])
