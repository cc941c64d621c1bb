"""The lines of programs that a trace points into: of the user's program, with the lines around them
and those that called them, and of an op's own forward and backward pass.

Whose folders a file lies in is nobody's business: a path is what the program is called in its
working directory, or in the package that it belongs to, else the file's name alone.
"""

from __future__ import annotations

import inspect
import linecache
import os
import re
import sysconfig
from pathlib import Path
from types import CodeType

from ..files.regular import shown
from .source import Site, cell_number

AROUND = 5                    # lines before and after one of a program
LONGEST_FUNCTION = 40         # lines of an op's function
MOST_CALLERS = 16             # frames of a program that are told, the innermost first
_LIBRARY = Path(__file__).parents[1]
_STANDARD = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep
                   for name in ("stdlib", "platstdlib")})
_PACKAGES = "site-packages", "dist-packages"


class Listing:
    """Fills `sources`, the list of a trace; see ``docs/trace.md``."""

    def __init__(self, sources: list[dict]):
        self.sources = sources
        self._places: dict[tuple, int | None] = {}
        self._paths: dict[str, str] = {}
        self._folder = Path.cwd()

    def line(self, path: str, line: int, function: str) -> int:
        """The place of a line of a program."""
        key = path, line, function
        if key not in self._places:
            lines, first = linecache.getlines(path), max(1, line - AROUND)
            around = lines[first - 1:line + AROUND]
            text = lines[line - 1] if 0 < line <= len(lines) else ""
            self._places[key] = self._put(path, line, function, text, first, around)
        return self._places[key]

    def line_of(self, site: Site) -> int:
        """The place of the line of a site."""
        return self.line(site.path, site.line, site.stack[0][2] if site.stack else "?")

    def callers(self, site: Site) -> list[int]:
        """The places of the lines that called the function of the site's line, from the innermost
        out: those of the program, not those of the libraries that it is run by."""
        return [self.line(*frame) for frame in site.stack[1:] if _of_a_program(frame[0])][
            :MOST_CALLERS]

    def function(self, code: CodeType) -> int | None:
        """The place of a function's ``def``, and its lines; None without source."""
        if code not in self._places:
            try:
                lines, start = inspect.getsourcelines(code)
            except (OSError, TypeError, SyntaxError):
                lines = []
            named = [n for n, text in enumerate(lines) if re.search(r"\b(def|lambda)\b", text)]
            skipped = named[0] if named else 0         # decorators
            self._places[code] = self._put(
                code.co_filename, start + skipped, code.co_name, lines[skipped], start + skipped,
                lines[skipped:skipped + LONGEST_FUNCTION]) if lines else None
        return self._places[code]

    def path(self, path: str) -> str:
        """A file's path as it may be shown to others."""
        if path not in self._paths:
            self._paths[path] = shown(self._short(path))
        return self._paths[path]

    def _short(self, path: str) -> str:
        file, cell = Path(os.path.abspath(path)), cell_number(path)
        if cell is not None:
            return f"cell [{cell}]"
        if path.startswith("<"):                       # no file: "<stdin>", "<string>"
            return path
        if _LIBRARY in file.parents:
            return file.relative_to(_LIBRARY.parent).as_posix()
        for n, part in reversed(list(enumerate(file.parts))):
            if part in _PACKAGES:
                return "/".join(file.parts[n + 1:])
        if self._folder in file.parents and self._folder not in Path.home().parents:
            return file.relative_to(self._folder).as_posix()
        return file.name

    def _put(self, path: str, line: int, function: str, text: str, first: int, lines: list[str]
             ) -> int:
        plain = lambda text: shown(text.rstrip().expandtabs())
        self.sources.append({
            "path": self.path(path), "line": line, "function": shown(function),
            "text": plain(text).strip(), "first": first, "lines": [plain(each) for each in lines]})
        return len(self.sources) - 1


def backward_code(forward: CodeType) -> CodeType | None:
    """The backward pass inside an op's function: the function called backward, or the last one that
    has no name."""
    inner = [c for c in forward.co_consts if isinstance(c, CodeType)]
    named = [c for c in inner if c.co_name == "backward"]
    return (named or [c for c in inner if c.co_name == "<lambda>"] or [None])[-1]


def _of_a_program(path: str) -> bool:
    """Is it a file of the user's, or of minidl's own networks and training steps? Not one of Python
    itself, or of an installed package."""
    if path.startswith("<frozen "):
        return False
    real = os.path.realpath(path)
    return str(_LIBRARY) in real or not (
        real.startswith(_STANDARD) or any(f"{os.sep}{part}{os.sep}" in real for part in _PACKAGES))
