"""What one sees while a network trains: a bar where the terminal can show one, else plain lines."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from ..watch import Watcher


class CompileNote(Watcher):
    """Says once, by `show`, that kernels are compiled; `each` is called for each of them."""

    def __init__(self, show: Callable[[str], None], each: Callable[[], None] = lambda: None):
        self._show, self._each, self._said = show, each, False

    def compiling(self, kernel: str) -> None:
        self._each()
        if not self._said:
            self._said = True
            self._show("compiling kernels: once on this machine, some seconds")


class Progress:
    """Plain lines, ASCII only: one every few seconds. :func:`progress` chooses between the two."""

    few = 5                       # steps that say something about the speed
    lost: OSError | None = None   # why no line can be shown any more: nobody reads, a full disk

    def __init__(self, seconds: float = 5.0) -> None:
        self.seconds, self.printed = seconds, time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception) -> None:
        pass

    def start(self, done: int, total: int, images_per_step: int) -> None:
        """Steps done so far (more than 0 in a resumed run), and all steps of the run."""
        self.total, self.images = total, images_per_step
        self.forget()

    def forget(self) -> None:
        """Measure the speed anew, from the next update on: the steps before it were no measure."""
        self.mark: tuple[int, float] | None = None       # steps done, and when

    def update(self, done: int, where: str, values: dict[str, float]) -> None:
        """`done` steps are done; `where` is "epoch 1/5", `values` the latest losses."""
        speed = self.speed(done)
        if time.monotonic() - self.printed >= self.seconds:
            self.printed = time.monotonic()
            self.line(f"{where}  step {done}/{self.total}  {values_text(values)}  "
                      f"{speed}".rstrip())

    def line(self, text: str) -> None:
        """A line that stays. One that cannot be written raises nothing: see ``lost``."""
        try:
            self._print(text)
        except OSError as error:
            self.lost = error

    def _print(self, text: str) -> None:
        print(text, flush=True)

    def speed(self, done: int) -> str:
        """Images a second and the time left, at the mean speed since the first update: before it
        kernels are compiled and first pictures drawn. Empty until there were a few steps more."""
        now = time.monotonic()
        first, since = self.mark = self.mark or (done, now)
        steps = done - first
        if steps < self.few:
            return ""
        rate = steps / max(now - since, 1e-9)
        minutes, seconds = divmod(round((self.total - done) / rate), 60)
        return f"{rate * self.images:,.0f} images/s  {minutes}:{seconds:02d} left"


class BarProgress(Progress):
    """The same as a bar, drawn by rich (on `console`, if not on standard output)."""

    def __init__(self, console: Any = None) -> None:
        super().__init__()
        self.console = console

    def __enter__(self) -> BarProgress:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar
        self.bar = Bar(TextColumn("{task.description}"),
                       BarColumn(None, complete_style="blue", finished_style="blue"),
                       TextColumn("{task.percentage:>3.0f}%"),
                       TextColumn("[blue]{task.fields[values]}[/]  {task.fields[speed]}"),
                       expand=True, console=self.console)
        self.bar.start()
        return self

    def __exit__(self, *exception) -> None:
        with contextlib.suppress(OSError):       # the terminal is gone
            self.bar.stop()

    def start(self, done: int, total: int, images_per_step: int) -> None:
        super().start(done, total, images_per_step)
        self.task = self.bar.add_task("", total=total, completed=done, values="", speed="")

    def update(self, done: int, where: str, values: dict[str, float]) -> None:
        self.bar.update(self.task, completed=done, description=where,
                        values=values_text(values), speed=self.speed(done))

    def _print(self, text: str) -> None:
        self.bar.console.print(text, highlight=False, markup=False)


def progress() -> Progress:
    """A bar if standard output is a terminal that can draw it and rich is installed."""
    try:
        "━".encode(getattr(sys.stdout, "encoding", None) or "ascii")
        import rich.progress  # noqa: F401
    except (ImportError, UnicodeEncodeError, LookupError):
        return Progress()
    return BarProgress() if sys.stdout.isatty() else Progress()


def values_text(values: dict[str, float]) -> str:
    """``loss 0.123  accuracy 0.987``"""
    return "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
