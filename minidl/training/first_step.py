"""The first training step of a network or of a script, recorded: what ``minidl step`` walks."""

from __future__ import annotations

import contextlib
import runpy
import sys
import traceback
from pathlib import Path

from ..explain.record import record
from ..explain.recorder import Recorder
from ..explain.trace import Trace
from ..optim import Optimizer
from ..watch import Watcher, Watching
from .config import config_for
from .job import Job

EXAMPLES = 2                  # of a network's step: few enough to read a weight's gradient


def of_model(name: str) -> Trace:
    """One step of a network of ``minidl.models``, fresh, on the first two images of its test set.
    Raises ValueError for a name there is not."""
    job = Job(config_for(name, seed=0))
    images, labels = next(iter(job.test_loader(EXAMPLES)))
    trace = record(job.procedure.step, images, labels, probe=EXAMPLES)
    trace.meta["model"] = name
    return trace


class _Enough(BaseException):
    """The first step is done. Not an Exception: a script's own ``except`` must not stop it."""


def of_script(path: str | Path) -> Trace:
    """A script's run until each of its optimisers has made a step, or one of them a second, or to
    its end. What it prints goes to standard error. Raises ValueError where the script fails, or
    computes nothing."""
    path, recorder = Path(path), Recorder()
    if not path.is_file():
        raise FileNotFoundError(f"step: there is no file {path}")
    before = sys.argv, sys.path[:]
    sys.argv, sys.path[0:0] = [str(path)], [str(path.parent.resolve())]
    try:
        with contextlib.redirect_stdout(sys.stderr), Watching(_OneStep()), recorder as trace:
            runpy.run_path(str(path), run_name="__main__")
    except _Enough:
        pass
    except (Exception, SystemExit) as error:
        if not isinstance(error, SystemExit) or error.code:
            lines = [f.lineno for f in traceback.extract_tb(error.__traceback__)
                     if Path(f.filename) == path]
            if "recordings do not nest" in str(error):
                raise ValueError(f"step: {path}, line {lines[-1] if lines else '?'}: the script "
                                 "records a step itself. Run it with python, and give `minidl "
                                 "step` the trace that it saves; or leave out its record()"
                                 ) from None
            raise ValueError(f"step: {path}, line {lines[-1] if lines else '?'}: "
                             f"{type(error).__name__}: {error}") from error
    finally:
        sys.argv, sys.path[:] = before
    if not trace.events:
        raise ValueError(f"step: {path} ran to its end and computed nothing with minidl tensors")
    return trace


class _OneStep(Watcher):
    """Raises _Enough when each optimiser has made a step, or one of them a second."""

    def __init__(self):
        self.waiting: list[Optimizer] = []

    def optimizer_made(self, optimizer: Optimizer) -> None:
        self.waiting.append(optimizer)

    def update_ends(self, optimizer: Optimizer, moved: list | None) -> None:
        if moved is None:                  # the script's own error is under way
            return
        if optimizer not in self.waiting or self.waiting == [optimizer]:
            raise _Enough
        self.waiting.remove(optimizer)
