"""The package as a whole: what importing it loads, which way imports run, what it ships."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minidl
from minidl import kernels
from minidl.ops import conv

PACKAGE = Path(minidl.__file__).parent
ROOT = Path(__file__).parent.parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Low to high: a file imports from its own line or from lines above it in this list. A file that
# stands lower than its folder is named by itself.
LAYERS = [
    ["formulas", "device", "cuda", "dtypes", "kernels", "random", "checks", "modes", "watch",
     "ops.windows", "files.cache", "files.regular", "more.decorators", "more.grad_enabled",
     "more.hooks"],
    ["tensor", "op", "tape", "gradients", "checks.arguments", "checks.images", "checks.operands",
     "checks.groups", "checks.attributes", "checks.calls", "checks.fillable",
     "checks.layer_options", "more.methods", "more.grad"],
    ["files"],
    ["ops"],
    ["functional", "more"],
    ["nn", "optim", "data", "training.metrics"],
    ["models"],
    ["plots"],
    ["testing", "explain", "training.profiling"],
    ["training", "exercises", "metrics", "script"],
    ["gpu_check", "bridge"],
    ["cli"],
    ["__init__", "__main__"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# The methods of Tensor, and those of `more.methods`, which Tensor inherits, call ops and
# explanations, and look each function up at the call.
EXCEPTIONS = {("tensor", "ops"), ("more.methods", "ops"), ("more.methods", "explain")}


def module(path: Path) -> str:
    """The name of a source file's module below minidl: ops/conv.py is "ops.conv"."""
    names = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" and names[1:] else names)


MODULES = {module(path) for path in SOURCES} | {"__init__"}


def part(name: str) -> str | None:
    """The entry of LAYERS that a module belongs to; None for one without a place."""
    while name not in RANK and "." in name:
        name = name.rpartition(".")[0]
    return name if name in RANK else None


def imported(path: Path) -> set[str]:
    """The modules of minidl that a source file imports, at its top or inside a function."""
    package = ["minidl", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "minidl":
            names = [f"minidl.{node.attr}"]            # of `import minidl`, inside the package
        elif isinstance(node, ast.ImportFrom):
            above = package[:len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        found.update(name.removeprefix("minidl.") for name in names if name.startswith("minidl."))
    return {name if name in MODULES else name.rpartition(".")[0] for name in found} - {""}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_run_downward(path):
    own = part(module(path))
    assert own, f"{module(path)} has no place in LAYERS: give it one"
    upward = {other for other in imported(path) if part(other) and RANK[part(other)] > RANK[own]
              and (module(path), other.partition(".")[0]) not in EXCEPTIONS}
    assert not upward, f"{path.name} imports {upward} from above its own layer"


def test_the_import_test_sees_imports():
    assert {"ops", "tape", "device"} <= imported(PACKAGE / "tensor.py")
    assert {"kernels", "op", "tensor", "ops.windows"} <= imported(PACKAGE / "ops" / "conv.py")
    assert "checks.arguments" in imported(PACKAGE / "ops" / "more" / "attention.py")
    assert part("ops.windows") == "ops.windows" and part("ops.conv") == "ops"


# A family has one name at every level: the op, the function, the layer, the kernel. PyTorch's
# places keep PyTorch's names.
FAMILIES = {"ops", "nn", "kernels", "more"}
PYTORCH = {"nn.functional", "metrics", "script"}


def test_no_two_files_have_one_name_for_different_things():
    by_name: dict[str, set[str]] = {}
    for name in sorted(MODULES - PYTORCH - {"__init__"}):
        if not (PACKAGE / name.replace(".", "/")).is_dir():
            by_name.setdefault(name.rpartition(".")[2], set()).add(name)
    twice = {name: files for name, files in by_name.items() if len(files) > 1 and not (
        {file.partition(".")[0] for file in files} <= FAMILIES)}
    assert not twice


def test_import_loads_numpy_only():
    """Of everything installed, `import minidl` loads NumPy alone."""
    code = (
        "import sys; import numpy.random; before = set(sys.modules); import minidl, minidl.cli\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names) - {'minidl', 'numpy'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_assert_for_a_users_mistake(path):
    """`python -O` removes assert statements, so none may stand in the library."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_shipped_files():
    assert (PACKAGE / "py.typed").is_file()
    assert len(list((PACKAGE / "data" / "files").glob("*.xz"))) == 4
    assert (PACKAGE / "data" / "files" / "LICENCE.txt").is_file()


def test_installed_version_is_the_sources():
    try:
        installed = importlib.metadata.version("minidl")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("this source was never installed")
    assert installed == minidl.__version__


def test_public_names_have_docstrings():
    exported = [name for name in vars(minidl) if not name.startswith("_")]
    functions = [name for name in exported if callable(getattr(minidl, name))]
    missing = [name for name in functions if not (getattr(minidl, name).__doc__ or "").strip()]
    assert not [name for name in missing if not isinstance(getattr(minidl, name), type)]


def test_readme_shows_the_two_commands_on_its_first_screen():
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:25]
    for command in (
        "python -m pip install . && python -m minidl train cnn",
        'python -m pip install ".[test]" && python -m pytest',
    ):
        assert command in first_screen
        for alone in command.split(" && "):  # one a line, for older Windows shells
            assert alone in first_screen


def test_metadata_stands_in_setup_cfg():
    assert (ROOT / "pyproject.toml").read_text(encoding="utf-8").count("\n[") == 0
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    required = setup["options"]["install_requires"].split("\n")
    assert all(">=" in line for line in required if line), "every dependency has a lower bound"
    extras = {"test", "docs", "tune", "music", "gpu-test", "cuda12", "cuda13"}
    assert extras == set(setup["options.extras_require"])


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name
)
def test_examples_are_short_and_say_what_they_are(path):
    text = path.read_text(encoding="utf-8")
    # The benchmark is a tool: it has the documents' networks a second time, in PyTorch.
    most = {"benchmark.py": 800, "tape_in_100_lines.py": 101}.get(
        path.name, 80 if path.name.startswith("plot_") else 150)
    assert len(text.splitlines()) < most
    assert ast.get_docstring(ast.parse(text)), "the gallery shows the docstring"


def test_the_debugger_page_tells_the_frames(monkeypatch):
    """The table of docs/debug.md is the call stack at the arithmetic of dW, innermost first."""
    frames = []

    def _conv2d_weight_grad(x, g, kernel, *rest):
        frame = sys._getframe()
        while frame.f_code.co_filename != __file__ or frame.f_code is _conv2d_weight_grad.__code__:
            frames.append((frame.f_code.co_name, Path(frame.f_code.co_filename).name))
            frame = frame.f_back
        return real(x, g, kernel, *rest)

    real = conv._conv2d_weight_grad.readable
    monkeypatch.setitem(kernels.READABLE, real.__name__, real)                # put back after
    monkeypatch.setattr(conv, "_conv2d_weight_grad",
                        kernels.replaceable("x", "g")(_conv2d_weight_grad))
    w = minidl.randn(4, 3, 3, 3, requires_grad=True)
    minidl.functional.conv2d(minidl.randn(2, 3, 8, 8), w).sum().backward()
    page = (ROOT / "docs" / "debug.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)` in `(?:ops/|kernels/)?(\w+\.py)`", page, re.MULTILINE)
    assert told[1:] == frames[1:] and told[0] == ("_conv2d_weight_grad", "conv.py")


# Files of users that the documents name.
OTHERS = {"my_script.py", "test_steps.py"}


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md",
                                  *sorted((ROOT / "docs").rglob("*.md"))],
                         ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_that_the_documents_name_are_there(page):
    """`ops/conv.py` is a path from minidl/ or the root, or from the folder named before it."""
    text = page.read_text(encoding="utf-8")
    every = {path.relative_to(ROOT).as_posix() for folder in ("minidl", "tests", "examples", ".ci")
             for path in (ROOT / folder).rglob("*.*")}
    named = set(re.findall(r"`((?:[\w.]+/)*\w+\.(?:py|cu))`", text)) - OTHERS
    missing = {name for name in named if not any(
        f"/{file}".endswith(f"/{name.removeprefix('./')}") for file in every)}
    links = {link for link in re.findall(r"\]\(((?:\.\./)+[\w/.]+\.\w+)\)", text)
             if not (page.parent / link).is_file()}
    assert not missing | links
