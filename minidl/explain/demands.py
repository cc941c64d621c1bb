"""What a value of a trace file must be: checks that are put together, and the error they raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..files.regular import shown

Check = Callable[[Any, str], None]


def must(right: bool, place: str, rule: str, value: Any) -> None:
    """Raise ValueError unless `right`: the value at this place breaks the rule."""
    if not right:
        raise ValueError(f"{place}: {rule}, got {quoted(value)}")


def quoted(value: Any) -> str:
    """A value as an error shows it: short, on one line, without control characters."""
    if isinstance(value, (list, dict)):
        return f"a list of {len(value)}" if isinstance(value, list) else "an object"
    return shown(text if len(text := repr(value)) <= 40 else f"{text[:40]}...")


def a_text(value: Any, place: str) -> None:
    """Text."""
    must(type(value) is str, place, "must be text", value)


def a_flag(value: Any, place: str) -> None:
    """True or false."""
    must(type(value) is bool, place, "must be true or false", value)


def a_number(value: Any, place: str) -> None:
    """A whole number or a float."""
    must(type(value) in (int, float), place, "must be a number", value)


def any_number(value: Any, place: str) -> None:
    """A number, or one of those that JSON does not have, in words."""
    must(type(value) in (int, float) or value in ("nan", "inf", "-inf"), place,
         "must be a number, or nan, inf or -inf as text", value)


def anything(value: Any, place: str) -> None:
    """Whatever JSON has."""


def a_whole(low: int, high: int = 1 << 53) -> Check:
    """A whole number, low <= n < high."""
    return lambda value, place: must(type(value) is int and low <= value < high, place,
                                     f"must be a whole number in {low}..{high - 1}", value)


def one_of(*values: Any) -> Check:
    """One of these values, and of its type."""
    return lambda value, place: must(
        any(value is v or type(v) is str and v == value for v in values), place,
        f"must be one of {', '.join(map(str, values))}", value)


def or_null(check: Check) -> Check:
    """What `check` wants, or null."""
    return lambda value, place: None if value is None else check(value, place)


def a_list(check: Check, least: int = 0) -> Check:
    """A list, and each of its entries."""
    def all_of(value: Any, place: str) -> None:
        must(type(value) is list and len(value) >= least, place,
             f"must be a list of {least} or more", value)
        for number, entry in enumerate(value):
            check(entry, f"{place}[{number}]")
    return all_of


def an_object(needed: dict[str, Check], optional: dict[str, Check] | None = None,
              others: Check | None = None) -> Check:
    """An object: names it has, may have, and what other names may stand for (None: none may)."""
    known = needed | (optional or {})

    def all_of(value: Any, place: str) -> None:
        must(type(value) is dict, place, "must be an object", value)
        for name in needed:
            must(name in value, place, f"must have {name!r}", value)
        for name, entry in value.items():
            check = known.get(name, others)
            must(check is not None, place, f"may not have {quoted(name)}", value)
            check(entry, f"{place}.{name}")
    return all_of
