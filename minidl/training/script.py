"""The command line of a short script, such as those of examples/.

    parser = script.parser(__doc__, picture="attention.png", quick="1,000 digits, one epoch")
    parser.add_argument("--epochs", type=script.at_least(1), default=4)
    args = parser.parse_args()                        # args.out, args.quick, args.seed, args.epochs
    ...
    script.run(main)

What cannot work is refused here, before a minute of training is spent on it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from .. import plots
from ..watch import Watching
from .progress import CompileNote

__all__ = ["at_least", "between", "parser", "picture_file", "run", "writable"]


def parser(doc: str, picture: str, quick: str) -> argparse.ArgumentParser:
    """With --out FILE (`picture` by default), --quick (`quick` is its help) and --seed; described
    by the first line of `doc`."""
    percent = lambda text: text.replace("%", "%%")               # argparse formats what it prints
    made = argparse.ArgumentParser(description=percent((doc or "").strip().partition("\n")[0]))
    made.add_argument("--out", type=picture_file, default=picture, metavar="FILE",
                      help=percent(f"the picture (default {picture})"))
    made.add_argument("--quick", action="store_true", help=percent(f"see that it works: {quick}"))
    made.add_argument("--seed", type=at_least(0, 2**63), default=0, metavar="N", help="default 0")
    return made


def at_least(low: int, high: float = float("inf")) -> Callable[[str], int]:
    """For ``type=``: a whole number, `low` or more, below `high`."""
    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is no whole number") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is too small, at least {low} is needed")
        if not value < high:
            raise argparse.ArgumentTypeError(f"{value} is too large, less than {high} is needed")
        return value
    return number


def between(low: float, high: float = float("inf")) -> Callable[[str], float]:
    """For ``type=``: a number above `low` and below `high`."""
    if not low < high:
        raise ValueError(f"between: no number is above {low} and below {high}")

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is no number") from None
        if not low < value < high:
            limits = f"above {low:g}" + (f" and below {high:g}" if high < float("inf") else "")
            raise argparse.ArgumentTypeError(f"{text}: a number {limits} is needed")
        return value
    return number


def picture_file(text: str) -> Path:
    """For ``type=``: a path at which a picture can be written."""
    if missing := plots.matplotlib_problem():
        raise argparse.ArgumentTypeError(missing)
    from matplotlib.figure import Figure
    known = sorted(Figure().canvas.get_supported_filetypes())
    path = writable(text)
    if path.suffix.lstrip(".").lower() not in known:
        raise argparse.ArgumentTypeError(f"{text}: a picture ends in one of .{', .'.join(known)}")
    return path


def writable(text: str) -> Path:
    """For ``type=``: a path at which a file can be written."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder, a file is needed")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}, make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written: not allowed")
    return path


def run(main: Callable[[], None]) -> None:
    """Call `main`. A line tells when kernels are compiled, and Ctrl-C ends it with a line."""
    note = CompileNote(lambda line: print(line, flush=True))
    try:
        with Watching(note):
            main()
    except KeyboardInterrupt:
        sys.exit("stopped")
