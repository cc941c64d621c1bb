"""What the parts of a check find, as lines of JSON and as tables of text.

Everything found is one kind of record, an entry: `name` and `of` are its row and column in the
part's table ("conv2d", "float32 fast"), `value` a number or a text. A check has a `limit`, and is
`ok` if its value is at most that; what is only measured has neither. `note` says more.
"""

from __future__ import annotations

import contextlib
import json
import math
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..files.regular import read_regular

Entry = dict[str, Any]
UNASKED = "cannot be asked here"
LARGEST_PART = 1 << 26        # bytes of a part's file


class Part:
    """One part of a check while it runs. Entries are appended to `file`, if there is one, as they
    come: a process that crashes leaves what it had found."""

    def __init__(self, name: str, file: Path | None = None):
        self.name, self.file, self.entries = name, file, []

    def _add(self, name: str, of: str, value, limit=None, ok=None, note: str = "") -> None:
        entry = {"name": name, "of": of, "value": value, "limit": limit, "ok": ok, "note": note}
        self.entries.append(entry)
        if self.file:
            with open(self.file, "a", encoding="utf-8") as lines:
                lines.write(json.dumps(entry) + "\n")

    def check(self, name: str, of: str, value: float, limit: float, note: str = "") -> None:
        """`value` shall be at most `limit`; nan is not."""
        value = float(value)
        self._add(name, of, value if math.isfinite(value) else str(value), limit,
                  bool(value <= limit), note)

    def holds(self, name: str, of: str, condition: bool, note: str = "") -> None:
        """`condition` shall be true; `note` says what is wrong if it is not."""
        self._add(name, of, "yes" if condition else "no", "yes", bool(condition),
                  "" if condition else note)

    def found(self, name: str, of: str, value, note: str = "") -> None:
        """Something measured or answered, neither right nor wrong."""
        if isinstance(value, float) and not math.isfinite(value):
            value = str(value)
        self._add(name, of, value, note=note)

    def unasked(self, name: str, of: str, reason: str) -> None:
        """A question that cannot be asked on this machine."""
        self._add(name, of, UNASKED, note=reason)

    @contextlib.contextmanager
    def attempt(self, name: str, of: str) -> Iterator[None]:
        """An exception inside is a failed check with the traceback's last lines; work goes on."""
        try:
            yield
        except Exception as error:
            self._add(name, of, type(error).__name__, "no error", False, last_lines(error))


def last_lines(error: BaseException, count: int = 8) -> str:
    """The last lines of an exception's traceback."""
    return "\n".join("".join(traceback.format_exception(error)).strip().splitlines()[-count:])


def read_entries(file: Path) -> list[Entry]:
    """The entries that a process wrote; half a line, left by its end, is passed over."""
    entries = []
    with contextlib.suppress(FileNotFoundError):
        for line in read_regular(file, LARGEST_PART).decode("utf-8").splitlines():
            with contextlib.suppress(ValueError):
                entries.append(json.loads(line))
    return entries


# --------------------------------------------------------------------------- as text
def cell(entry: Entry, width: int = 48) -> str:
    """An entry's value; a failed check with its limit."""
    value, limit = entry["value"], entry["limit"]
    text = f"{value:.3g}" if isinstance(value, float) else f"{value}"
    text = text if len(text) <= width else text[:width - 3] + "..."
    if entry["ok"] is not False:
        return text
    return f"FAILED: {text}" + (f" > {limit:g}" if isinstance(limit, (int, float)) else "")


def table(entries: list[Entry]) -> str:
    """Rows by name and columns by `of`, aligned; where both agree the later entry stands."""
    columns = list(dict.fromkeys(e["of"] for e in entries))
    rows: dict[str, dict[str, str]] = {}
    for e in entries:
        rows.setdefault(e["name"], {})[e["of"]] = cell(e)
    lines = [["", *columns], *([name, *(row.get(c, "") for c in columns)]
                               for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(text.ljust(n) for text, n in zip(line, widths)).rstrip()
                     for line in lines)


def part_summary(part: dict[str, Any]) -> str:
    """A part in one line: how it ended, what came of its checks and questions, how long it took."""
    checks = [e["ok"] for e in part["entries"] if e["ok"] is not None]
    unasked = sum(e["value"] == UNASKED for e in part["entries"])
    said = [f"{part['status']} ({part['why'].splitlines()[0]})" if part["why"] else part["status"]]
    if checks:
        said.append(f"{sum(checks)} of {len(checks)} checks passed")
    if unasked:
        said.append(f"{unasked} questions cannot be asked here")
    return ", ".join([*said, f"{part['seconds']:.0f} s"])


def failure(entry: Entry) -> str:
    """A failed check's value, and the end of its note."""
    return cell(entry) + "".join(f"\n    {line}" for line in entry["note"].splitlines()[-3:])


def once(entries: list[Entry], text: Callable[[Entry], str]) -> list[str]:
    """Each entry's name with its text; entries with the same note and text in one, with a count."""
    alike: dict[Any, list[Entry]] = {}
    for i, entry in enumerate(entries):                      # without a note each is for itself
        alike.setdefault((entry["note"] or i, text(entry)), []).append(entry)
    return [f"{first['name']}, {first['of']}"
            + (f" (and {len(more)} more)" if more else "") + f": {said}"
            for (_, said), (first, *more) in alike.items()]


def as_text(result: dict[str, Any]) -> str:
    """The whole result: a table for each part, then what failed, each with its note."""
    blocks, failures = [], []
    for part in result["parts"]:
        head = f"{part['part']}: {part['title']}"
        blocks.append(f"{head}\n{'-' * len(head)}")
        if part["entries"]:
            blocks[-1] += "\n" + table(part["entries"])
        blocks[-1] += f"\n{part_summary(part)}"
        unanswered = [e for e in part["entries"] if e["ok"] is None and e["note"]
                      and e["value"] in (UNASKED, "no")]
        blocks[-1] += "".join(f"\n    {said}" for said in once(
            unanswered, lambda e: e["note"].splitlines()[0]))
        failures += [f"{part['part']}: {said}" for said in once(
            [e for e in part["entries"] if e["ok"] is False], failure)]
        if part["status"] == "failed" and part["why"]:
            failures.append(f"{part['part']}: {part['why']}")
    blocks.append("everything passed" if result["passed"] else "FAILED\n" + "\n".join(failures))
    return "\n\n".join(blocks)
