"""Run the examples that readers copy: README.md, docs/*.md, the tour, and minidl's docstrings.

The ```python blocks of one page run in order, in one namespace, in an empty folder. A block is
left out when the comment `<!-- skip -->` stands on the line before it. Where a line of a block
ends `print(…)  # text`, `text` must be a line of what the block prints, in that order.
Links and pictures of the pages at the top level must exist; the docs build checks the others.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import os
import pkgutil
import re
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^(<!-- skip -->\n+)?```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMISE = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")  # [text](path#part), not [text](http://...)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def kept_promises(block: str, printed: str) -> None:
    """Raise unless every `print(…)  # text` of the block printed its text."""
    lines = iter(printed.splitlines())
    for text in PROMISE.findall(block):
        if text.strip() not in (line.strip() for line in lines):
            raise AssertionError(f"the page promises {text!r}; printed was\n{printed}")


@contextlib.contextmanager
def empty_folder():
    """Work in an empty folder; afterwards in the one before, and the empty one is gone."""
    start = Path.cwd()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as empty:
        os.chdir(empty)
        try:
            yield Path(empty)
        finally:
            os.chdir(start)


def page(path: Path, run=exec) -> tuple[int, bool]:
    """Run one page's blocks by `run(code, names)`; (how many ran, whether all of them worked)."""
    namespace: dict = {"__name__": "__main__"}
    ran = 0
    text = path.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        if match[1]:
            continue
        ran += 1
        line = text.count("\n", 0, match.start(2)) + 1
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                # The newlines in front make a traceback's line numbers those of the page.
                run(compile("\n" * (line - 1) + match[2], str(path), "exec"), namespace)
            kept_promises(match[2], out.getvalue())
        except Exception:
            traceback.print_exc()
            print(f"FAILED: {path.relative_to(ROOT).as_posix()}, the block at line {line}")
            return ran, False
    return ran, True


def docstrings() -> tuple[int, int]:
    """Run the examples in minidl's docstrings; (how many were tried, how many failed)."""
    import minidl

    tried = failed = 0
    for info in pkgutil.walk_packages(minidl.__path__, "minidl."):
        if info.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(info.name)
        except ImportError as error:  # CUDA kernels without CuPy, their peer without PyTorch
            if error.name not in ("cupy", "torch"):
                raise
            continue
        minidl.manual_seed(0)
        result = doctest.testmod(module, optionflags=FLAGS)
        tried, failed = tried + result.attempted, failed + result.failed
    return tried, failed


def main() -> int:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("MPLBACKEND", "Agg")  # pictures without a window
    os.environ.setdefault("CI", "true")  # Hypothesis: no deadline, the same examples every time
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    pages += sorted((ROOT / "docs" / "tour").glob("*.md"))
    good = True
    for path in pages:
        with empty_folder():
            ran, worked = page(path)
        print(f"{path.relative_to(ROOT).as_posix()}: {ran} blocks")
        good = good and worked
    for path in sorted(ROOT.glob("*.md")):
        for link in LINK.findall(path.read_text(encoding="utf-8")):
            if not (ROOT / link).exists():
                print(f"FAILED: {path.name} links to {link}, which does not exist")
                good = False
    tried, failed = docstrings()
    print(f"docstrings: {tried} examples, {failed} failed")
    return 0 if good and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
