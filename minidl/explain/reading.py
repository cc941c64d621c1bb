"""A trace file, read and looked at: every value, before anything is made of it.

What is not as ``docs/trace.md`` describes it is a ValueError that names the place in the file, such
as ``events[3].input``, and the rule. The lists may hold nothing that points outside, no array of
more numbers than the file has (or, of one number repeated, than FILLS allows), and no call that
would make larger ones: a file can be walked through and checked without harm. Text is cleaned of
control characters, which would reach a terminal.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

from ..files.regular import open_regular, read_at_most, shown
from .demands import quoted
from .parts import check_parts

TRACE_FORMAT, VERSION = "minidl-trace", 3
LARGEST_TRACE = 1 << 26       # bytes of a file, and of what it holds when it is unpacked
GZIP = b"\x1f\x8b"            # what a gzipped file begins with
DEEPEST, MOST_DIGITS = 40, 20  # lists and objects within each other; digits of a whole number


def read(path: str | Path) -> dict:
    """What the file says, gzipped or not; `arrays` are NumPy arrays, and for one that was cut what
    is left of it. Raises FileNotFoundError, and ValueError naming the file, the place in it and
    the rule."""
    with open_regular(path) as file:
        raw = read_at_most(file, LARGEST_TRACE + 1)
    if len(raw) > LARGEST_TRACE:
        raise ValueError(f"{path}: more than {LARGEST_TRACE:,} bytes are not read as a trace")
    try:
        document = _parsed_json(_gunzipped(raw))
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else error
        if raw[:200].lstrip().lower().startswith(b"<!doctype html"):
            why = "it is a page (.html), to open in a browser; a trace is saved as .json.gz"
        raise ValueError(f"{path}: no trace, or a damaged one: {why}") from None
    of = document if isinstance(document, dict) else {}
    if of.get("format") != TRACE_FORMAT:
        raise ValueError(f"{path}: JSON, but no trace (format is {quoted(of.get('format'))})")
    if type(of.get("version")) is not int or of["version"] != VERSION:
        raise ValueError(f"{path}: a trace of version {quoted(of.get('version'))}, this minidl "
                         f"reads version {VERSION}: record it again")
    try:
        document = cleaned(document)
        check_parts(document)
        return document
    except ValueError as error:
        raise ValueError(f"{path}: a damaged trace: {error}") from None


# --------------------------------------------------------------------------- JSON
def _gunzipped(raw: bytearray) -> bytearray | bytes:
    """What is in a gzipped file, and no more of it than a trace may have; others as they are."""
    if not raw.startswith(GZIP):
        return raw
    stream = zlib.decompressobj(wbits=31)              # 31: of gzip
    try:
        found = stream.decompress(raw, LARGEST_TRACE + 1)
    except zlib.error as error:
        raise ValueError(f"gzip: {error}") from None
    if len(found) > LARGEST_TRACE:
        raise ValueError(f"unpacked, it has more than {LARGEST_TRACE:,} bytes")
    if not stream.eof or stream.unused_data:
        raise ValueError("gzip: " + ("something follows after its end" if stream.eof else
                                     "it ends too soon"))
    return found


def _parsed_json(raw: bytearray) -> Any:
    try:
        return json.loads(raw.decode(), object_pairs_hook=_object_of_pairs,
                          parse_constant=_refused, parse_int=_parsed_int,
                          parse_float=_parsed_float)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None


def _object_of_pairs(pairs: list) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the name {quoted(twice)} twice")
    return found


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _parsed_int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits; at most {MOST_DIGITS} are read")
    return int(digits)


def _parsed_float(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"the number {digits[:30]} is too large")
    return number


def cleaned(value: Any, key: str = "", depth: int = 0) -> Any:
    """`value` with all its text made harmless for a terminal: see ``files.shown``. A docstring,
    under the key "says", keeps its lines."""
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} lists and objects within each other")
    if type(value) is dict:
        return {shown(k): cleaned(v, k, depth + 1) for k, v in value.items()}
    if type(value) is list:
        return [cleaned(v, key, depth + 1) for v in value]
    if type(value) is not str:
        return value
    return "\n".join(map(shown, value.split("\n"))) if key == "says" else shown(value)
