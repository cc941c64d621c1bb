"""Text in the columns of a terminal: how wide it is, cut to a width, and broken into lines."""

from __future__ import annotations

import unicodedata

DOTS = "..."


def columns_of(text: str) -> int:
    """How many columns a text takes, at most: those of Chinese, Japanese and Korean take two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _head(text: str, width: int) -> str:
    """As much of the beginning as fits."""
    end = min(len(text), width)
    while columns_of(text[:end]) > width:
        end -= 1
    return text[:end]


def cut(text: str, width: int) -> str:
    """The text, or its beginning and "..." if it is wider."""
    if columns_of(text) <= width:
        return text
    return _head(text, max(width - len(DOTS), 0)) + DOTS[:width]


def wrapped(text: str, width: int, most: int, indent: int = 0) -> list[str]:
    """The text in at most `most` lines, broken at blanks where there are any; the lines after the
    first are indented. What does not fit is cut."""
    lines: list[str] = []
    while len(lines) < most - 1 and columns_of(text) > width:
        head = _head(text, width)
        blank = head.rfind(" ", len(head) - len(head.lstrip()) + 1)
        head = head[:blank] if blank > width // 2 else head
        lines.append(head.rstrip())
        text = " " * min(indent, width // 2) + text[len(head):].lstrip()
    return [*lines, cut(text, width)]
