"""Names: one name means one thing in the whole package, no file takes another file's private name,
and every public module says what is public.

``python tests/test_names.py`` prints how far the package keeps that.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import minidl
import minidl.functional as F

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minidl"
SOURCES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
KERNEL_TABLES = "kernels/cpu/twins.py", "kernels/gpu/twins.py"


@functools.cache
def tree(file: str) -> ast.Module:
    return ast.parse(SOURCES[file].read_text(encoding="utf-8"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


# --------------------------------------------------------------------------- definitions
def definitions(body: list[ast.stmt]) -> Iterator[tuple[str, int]]:
    """(name, line) of what these statements of a module define; imports define nothing here."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for part in (part for target in targets for part in ast.walk(target)):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    yield part.id, node.lineno
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            blocks = [node.body, *(getattr(node, each, []) for each in ("orelse", "finalbody")),
                      *(handler.body for handler in getattr(node, "handlers", []))]
            for block in blocks:
                yield from definitions(block)


def defined() -> dict[str, dict[str, int]]:
    """Name -> {file: line} of all top-level definitions, formulas.py (the documents' own letters)
    and names such as __all__ left out."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for file in SOURCES:
        for name, line in definitions(tree(file).body) if file != "formulas.py" else ():
            if not name.startswith("__"):
                found[name].setdefault(file, line)
    return found


def kernel_table(file: str) -> ast.stmt:
    """The statement of a kernel file that lists its kernels."""
    return next(node for node in tree(file).body if isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) in ("CPU_KERNELS", "CUDA_KERNELS"))


def twins() -> set[str]:
    """Names of kernels: each replaces a readable function of its name."""
    parts = [part for file in KERNEL_TABLES for part in ast.walk(kernel_table(file))]
    names = {part.attr if isinstance(part, ast.Attribute) else part.id for part in parts
             if isinstance(part, (ast.Attribute, ast.Name))}
    return names & {name for file in SOURCES if not file.startswith("kernels/")
                    for name, _ in definitions(tree(file).body)}


def once(name: str, files: set[str], kernels: set[str]) -> bool:
    """Has the name one meaning? A kernel bears the name of what it replaces, once for the CPU and
    once for CUDA; a public name of minidl or F may stand for a function of the engine."""
    if name in kernels:
        inside = {file for file in files if file.startswith("kernels/")}
        return len(files - inside) == 1 and len(inside - {"kernels/gpu/twins.py"}) <= 1
    faces = {"__init__.py": minidl.__all__, "more/alpha.py": minidl.__all__,
             "functional.py": F.__all__}
    public = {face for face, names in faces.items() if face in files and name in names}
    return len(files - public) <= 1


def names_defined_twice() -> list[str]:
    kernels = twins()
    return [f"{name}: " + ", ".join(f"{file}:{line}" for file, line in files.items())
            for name, files in sorted(defined().items()) if not once(name, set(files), kernels)]


# --------------------------------------------------------------------------- imports
def module_file(module: str) -> str | None:
    """The file of a module of minidl, "minidl.ops.conv"; None for what is no such module."""
    parts = module.split(".")[1:]
    for file in ("/".join(parts) + ".py", "/".join([*parts, "__init__.py"])):
        if module.split(".")[0] == "minidl" and file in SOURCES:
            return file
    return None


def imports(nodes: ast.AST, package: str = "") -> Iterator[tuple[str, str, str, int]]:
    """(module, name or "", what it is called here, line) of every import from minidl; `package` is
    that of the importing file, "minidl.ops"."""
    for node in ast.walk(nodes):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "minidl":
                    yield (alias.name if alias.asname else "minidl", "",
                           alias.asname or "minidl", node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[:len(package.split(".")) + 1 - node.level]
            module = ".".join([*above * bool(node.level), *filter(None, [node.module])])
            if module.split(".")[0] == "minidl":
                for alias in node.names:
                    yield module, alias.name, alias.asname or alias.name, node.lineno


def taken(nodes: ast.AST, package: str = "") -> Iterator[tuple[str, str, int]]:
    """(module, name, line) of all that a program takes from modules of minidl, by import or as an
    attribute of an imported module."""
    modules = {}
    for module, name, here, line in imports(nodes, package):
        inner = f"{module}.{name}" if name else module
        if module_file(inner):
            modules[here] = inner
        if name:
            yield module, name, line
    for node in ast.walk(nodes):
        if isinstance(node, ast.Attribute) and (module := held(node.value, modules)):
            yield module, node.attr, node.lineno


def held(node: ast.AST, modules: dict[str, str]) -> str | None:
    """The module of minidl that an expression such as ``ops.shape`` stands for, if it does."""
    if isinstance(node, ast.Name):
        return modules.get(node.id)
    if isinstance(node, ast.Attribute) and (outer := held(node.value, modules)):
        return f"{outer}.{node.attr}" if module_file(f"{outer}.{node.attr}") else None
    return None


def private_names_taken() -> list[str]:
    """Private names that a file takes from another. A kernel table may name the kernels."""
    found = []
    for file in SOURCES:
        package = ".".join(["minidl", *file.split("/")[:-1]])
        table = kernel_table(file) if file in KERNEL_TABLES else None
        for module, name, line in sorted(set(taken(tree(file), package))):
            if is_private(name) and not (table and table.lineno <= line <= table.end_lineno):
                found.append(f"{file}:{line}: {module}.{name}")
    return found


# --------------------------------------------------------------------------- public modules
def programs() -> Iterator[tuple[str, ast.Module]]:
    """What a user reads as a program: the examples, and Python in README and docs."""
    for path in sorted((ROOT / "examples").glob("*.py")):
        yield path.name, ast.parse(path.read_text(encoding="utf-8"))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            yield path.name, ast.parse(block)


def stated(module: str) -> list[str] | None:
    """The ``__all__`` of a module."""
    return getattr(importlib.import_module(module), "__all__", None)


@functools.cache
def public_modules() -> dict[str, str]:
    """Modules that are public, and why: the modules that the ``__all__`` of a public module names,
    and those that examples or documents import names from."""
    found = {"minidl": "the package"}
    for place, program in programs():
        found |= {module: f"imported in {place}" for module, *_ in imports(program)
                  if module not in found}
    waiting = list(found)
    while waiting:
        outer = waiting.pop()
        for name in stated(outer) or ():
            inner = getattr(importlib.import_module(outer), name, None)
            if isinstance(inner, ModuleType) and inner.__name__ not in found:
                found[inner.__name__] = f"in {outer}.__all__"
                waiting.append(inner.__name__)
    return dict(sorted(found.items()))


def own_public_names(module: str) -> set[str]:
    """The functions and classes of a module, and what a package takes from its own modules."""
    file = module_file(module)
    own = {node.name for node in tree(file).body if isinstance(node, (
        ast.FunctionDef, ast.ClassDef))}
    if file.endswith("__init__.py"):
        top = ast.Module([node for node in tree(file).body if isinstance(
            node, (ast.Import, ast.ImportFrom))], [])
        own |= {here for source, name, here, _ in imports(top, module)
                if name and f"{source}.".startswith(f"{module}.")
                and not module_file(f"{source}.{name}")}
    return {name for name in own if not name.startswith("_")}


# --------------------------------------------------------------------------- tests
def test_a_name_has_one_meaning():
    twice = names_defined_twice()
    assert not twice, f"{len(twice)} names are defined in several files:\n" + "\n".join(twice)


def test_no_file_takes_the_private_name_of_another():
    found = private_names_taken()
    assert not found, f"{len(found)} private names of other files:\n" + "\n".join(found)


@pytest.mark.parametrize("module", public_modules())
def test_a_public_module_says_what_is_public(module):
    names = stated(module)
    assert names is not None, f"{module} ({public_modules()[module]}) has no __all__"
    assert len(set(names)) == len(names)
    missing = own_public_names(module) - set(names)
    assert not missing, f"not in {module}.__all__: {', '.join(sorted(missing))}"
    for name in names:
        assert not is_private(name) and hasattr(importlib.import_module(module), name), name


def test_examples_and_documents_use_public_names():
    """Or a module of a package, or the readable function that a kernel replaces."""
    allowed = {"*", "__version__", *twins()}
    wrong = [f"{place}:{line}: {module}.{name}" for place, program in programs()
             for module, name, line in taken(program)
             if name not in {*allowed, *(stated(module) or ())}
             and not module_file(f"{module}.{name}")]
    assert not wrong, "\n".join(wrong)


def test_f_shows_its_public_names_alone():
    """``F.<TAB>``, and ``from minidl.functional import *``."""
    assert dir(F) == sorted(F.__all__)
    space: dict = {}
    exec("from minidl.functional import *", space)
    assert {name for name in space if name != "__builtins__"} == set(F.__all__)
    assert {name for name in F.__all__ if not callable(getattr(F, name))} == set()


def test_every_f_in_the_package_is_public():
    """What layers, models and tests call as ``F.name`` is in ``F.__all__``."""
    paths = [*SOURCES.values(), *sorted((ROOT / "tests").glob("*.py"))]
    for path in paths:
        package = ".".join(path.relative_to(ROOT).parts[:-1])
        for module, name, line in taken(ast.parse(path.read_text(encoding="utf-8")), package):
            if module == "minidl.functional" and not name.startswith("_") and name != "*":
                assert name in F.__all__, f"{path.name}:{line}: F.{name}"


# --------------------------------------------------------------------------- tests of the tests
def test_definitions_are_seen():
    body = ast.parse("A, B = 1, 2\nC: int = 3\nimport d\nif A:\n    def e(): f = 1\n"
                     "try:\n    G = 1\nexcept ImportError:\n    class H: i = 1\nx.j = 1\nk[l] = 2")
    assert {name for name, _ in definitions(body.body)} == {"A", "B", "C", "e", "G", "H"}


def test_private_names_are_seen():
    code = ast.parse("from . import shape\nfrom .shape import _sizes as s, cat\n"
                     "from .. import ops\nimport minidl.tape as t\nimport numpy as np\n"
                     "shape._axis, ops.shape._expand, t._Mode, np._core, cat._x, shape.cat")
    found = {(module, name) for module, name, _ in taken(code, "minidl.ops") if is_private(name)}
    assert found == {("minidl.ops.shape", "_sizes"), ("minidl.ops.shape", "_axis"),
                     ("minidl.ops.shape", "_expand"), ("minidl.tape", "_Mode")}


def test_exceptions_are_few():
    """Kernels, and the faces of the engine: nothing else bears a name twice."""
    assert {"_conv2d", "_adam", "normal"} <= twins() and "_dense" not in twins()
    conv = {"functional.py", "ops/conv.py"}
    assert once("conv2d", conv, set()) and not once("conv2d", {*conv, "ops/pool.py"}, set())
    kernel = {"kernels/cpu/conv.py", "kernels/gpu/twins.py", "ops/conv.py"}
    assert once("_conv2d", kernel, {"_conv2d"}) and not once("_conv2d", kernel, set())
    assert not once("_conv2d", {*kernel, "ops/pool.py"}, {"_conv2d"})
    assert not once("_conv2d", {*kernel, "kernels/cpu/pool.py"}, {"_conv2d"})


if __name__ == "__main__":
    print(f"names defined twice: {len(names_defined_twice())}, "
          f"private names of other files: {len(private_names_taken())}, "
          f"kernels: {len(twins())} functions have one")
