"""What keeps a run: checkpoints and the way back to one, the end that a signal asks for, errors
that name the last checkpoint.

A run that is killed at any moment and resumed gives the same numbers, bit for bit, as one that was
not: a checkpoint holds weights, optimisers, the random generator's two integers and the place
(epoch, step), and the order of the batches is a function of seed and epoch.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from .. import random
from ..device import to_host
from ..modes import phase
from ..watch import Watching
from . import checkpoint, restore
from .out_of_memory import explained
from .progress import CompileNote, Progress
from .run import Run
from .stop import Stopped, noted


class NotFinite(ValueError):
    """A loss or a weight became NaN or infinite: training stopped."""


class ResumableTraining:
    """The part of :class:`minidl.training.Trainer` that keeps its run."""

    procedure: Any
    loader: Any
    run: Run | None
    device: str
    save_every: float
    show: Progress
    epochs: int
    epoch: int
    step: int
    sums: dict[str, float]
    images: int
    history: list[dict[str, float]]
    begun: bool
    stop: list[int]                # signals that came
    _new_epoch: Callable[[], None]
    _read: Callable[[], dict[str, float]]
    _steps_done: Callable[[], int]

    # ------------------------------------------------------------------ around the loop
    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """What stands around a whole training."""
        self.show.lost = None
        with (self.run or contextlib.nullcontext(),         # no other process writes in its folder
              self.show,
              noted() as self.stop,                         # a signal lets the step be finished
              Watching(CompileNote(self.show.line, self.show.forget)),
              self._checkpoint_named()):
            steps = self.epochs * len(self.loader)
            self.show.start(self._steps_done(), steps, self.loader.batch_size)
            if self.run and checkpoint.write_problem():
                self.show.line(f"note: {checkpoint.write_problem()}")
            self.saved = time.monotonic()
            yield

    @contextlib.contextmanager
    def _checkpoint_named(self) -> Iterator[None]:
        """An error for lack of memory says what was tried, and how much memory there is; this error
        and one of a file that could not be written say where the last good checkpoint is."""
        try:
            yield
        except MemoryError as error:
            where = f"epoch {self.epoch + 1}, after step {self.step}"
            told = explained(error, self.device, where, self.loader.batch_size, self._last_good())
            traceback.clear_frames(error.__traceback__)      # they hold the step's arrays
            raise told from error
        except OSError as error:
            # That nobody reads the lines of progress is no matter of a file; and before the run was
            # begun its folder was refused, for a reason that the error says.
            if error is self.show.lost or not self.begun:
                raise
            raise type(error)(f"training stopped: {error}{self._last_good()}") from error

    def _last_good(self) -> str:
        if not self.run or not self.run.checkpoint.is_file():
            return ""
        return f"; the last good checkpoint is {self.run.checkpoint}"

    # ------------------------------------------------------------------ stopping
    def _asked_to_stop(self) -> bool:
        """By a signal, or since a line of progress could not be shown."""
        return bool(self.stop or self.show.lost)

    def _stop_if_asked(self) -> None:
        if self.stop:
            raise Stopped(self.stop[0], f"; go on with trainer.resume(), from {self.run.checkpoint}"
                          if self.run else "")
        if self.show.lost:
            raise self.show.lost

    def _save_if_due(self) -> None:
        if self._asked_to_stop() or time.monotonic() - self.saved >= self.save_every:
            self.save()
            self._stop_if_asked()

    # ------------------------------------------------------------------ checkpoints
    @cached_property
    def origin(self) -> dict[str, Any]:
        """What the run cannot go on without: see :func:`restore.made_with`."""
        return restore.made_with(self.run.config, self.loader)

    @phase("test, pictures, checkpoints")
    def save(self) -> None:
        """Write a checkpoint, if there is a run folder and safetensors. Refuses bad weights."""
        if self.run is None or checkpoint.write_problem():
            return
        self._read()
        weights = {name: to_host(value.data)
                   for name, value in self.procedure.model.state_dict().items()}
        for name, array in weights.items():
            if not np.isfinite(array).all():
                raise NotFinite(f"training stopped: {name} is not finite after epoch "
                                f"{self.epoch + 1}, step {self.step}{self._last_good()}")
        optimizers = {k: o.state_dict() for k, o in self.procedure.optimizers.items()}
        checkpoint.write_state(self.run.checkpoint, {
            "model_name": self.run.config["model"], "made_with": self.origin,
            "epochs": self.epochs, "epoch": self.epoch, "step": self.step,
            "sums": self.sums, "images": self.images,
            "history": self.history, "log": self.run.log_mark(),
            "random": random.default_generator().get_state(),
            "model": weights, "optimizers": optimizers,
            "moved": {k: len(saved["state"]) for k, saved in optimizers.items()}})
        self.saved = time.monotonic()

    def resume(self) -> None:
        """Go back to the run's checkpoint. Raises ValueError, having changed nothing, if the
        checkpoint is damaged, another model's, or of a run with another config or other data."""
        with self.run:
            state = checkpoint.read_state(self.run.checkpoint)
            try:
                self._check(state)
                self.procedure.model.load_state_dict(state["model"])
            except (TypeError, ValueError) as error:
                raise ValueError(f"checkpoint: {self.run.checkpoint}: {error}") from error
            for name, optimizer in self.procedure.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            random.default_generator().set_state(state["random"])
            self.epochs, self.epoch, self.step = state["epochs"], state["epoch"], state["step"]
            self._new_epoch()
            self.sums, self.images = state["sums"], state["images"]
            self.history, self.begun = state["history"], True
            note = self.run.restore_log(state["log"], self.history, (self.epoch, self.step))
            if note:
                self.save()                    # with the new log's mark
                Progress.line(self.show, f"note: {note}")      # a plain line: no bar is there yet

    def _check(self, state: Any) -> None:
        restore.check_form(state)
        restore.check_weights(self.procedure.model, state, self.run.config["model"])
        restore.check_origin(state["made_with"], self.origin)
        restore.check_place(state, self.loader)
        restore.check_optimizers(state, self.procedure.optimizers)


def restore_model(model: Any, state: dict[str, Any], name: str) -> None:
    """Put a checkpoint's weights into `model`, which must be the one called `name`."""
    restore.check_weights(model, state, name)
    model.load_state_dict(state["model"])
