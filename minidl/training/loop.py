"""The loop around every training procedure: epochs, losses read now and then, log, checkpoints.

A procedure (classifier_steps.py, gan_steps.py, vae_steps.py) knows one step. It has

* ``model``, and ``optimizers``, a dict of name -> optimiser;
* ``step(images, labels)``, which trains on one batch and returns a dict of scalar tensors;
* ``evaluate(loader)``, which returns a dict of numbers.

A run that is killed at any moment and resumed gives the same numbers, bit for bit, as one that was
not: a checkpoint holds weights, optimisers, the random generator's two integers and the place
(epoch, step), and the order of the batches is a function of seed and epoch.
"""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from .. import checks, random
from ..device import resolve, to_host
from ..modes import phase
from ..ops import stack
from ..tensor import Tensor
from ..watch import Watching
from . import checkpoint, restore
from .out_of_memory import explained
from .progress import CompileNote, Progress, progress, values_text
from .run import Run
from .stop import Stopped, noted


class NotFinite(ValueError):
    """A loss or a weight became NaN or infinite: training stopped."""


class Trainer:
    """Trains `procedure` on the batches of `loader`; ``fit(epochs)`` runs.

    test         a loader to evaluate on after every epoch
    run          a folder for log and checkpoints; without it nothing is written
    after_epoch  called as ``after_epoch(epoch)`` after each epoch, and with 0 before the first
    device       where the batches go; move the model there before making its optimiser
    save_every   seconds between checkpoints within an epoch; there is one after every epoch too
    schedule     the share of the learning rate to take at a moment of the run, 0 at its beginning
                 and 1 at its end; a pure function, so that a resumed run goes on with it
    """

    def __init__(self, procedure: Any, loader: Any, test: Any = None, *, run: Run | None = None,
                 after_epoch: Callable[[int], None] | None = None, device: str = "cpu",
                 save_every: float = 30.0, show: Progress | None = None,
                 schedule: Callable[[float], float] | None = None) -> None:
        self.procedure, self.loader, self.test, self.run = procedure, loader, test, run
        self.after_epoch, self.device, self.save_every = after_epoch, resolve(device), save_every
        self.show, self.schedule = show or progress(), schedule
        self.epoch = self.step = 0          # whole epochs done; steps done in the next one
        self.epochs = 0                     # how many there shall be in all
        # Losses are read, and logged, every few steps: reading one makes a GPU wait.
        self.read_every = max(1, min(10, len(loader) // 20))
        self.history: list[dict[str, float]] = []
        self.begun = False                  # here, or in the run that was resumed
        self._new_epoch()

    def _new_epoch(self) -> None:
        self.sums: dict[str, float] = {}    # of each loss, over the images of this epoch so far
        self.images = 0
        self.unread: list[tuple[int, dict[str, Tensor]]] = []

    # ------------------------------------------------------------------ the loop
    def fit(self, epochs: int) -> list[dict[str, float]]:
        """Train until `epochs` epochs are done in all; the epochs' records.

        Raises :class:`NotFinite` when a loss is no number and :class:`OutOfMemory` when a step
        needs more memory than there is (the last good checkpoint stays); after a checkpoint
        :class:`Stopped`, a KeyboardInterrupt, when a signal asks to stop (SIGINT, which is Ctrl-C,
        SIGTERM, SIGHUP), and OSError when nobody reads the lines of progress any more; OSError
        where the run folder cannot be written, is held by another process, or has a run already.
        """
        self.epochs, self.show.lost = checks.whole("fit: epochs", epochs), None
        with (self.run or contextlib.nullcontext(), self.show, noted() as self.stop,
              self._compilation_shown(), self._explained()):
            self.show.start(self._steps_done(), epochs * len(self.loader), self.loader.batch_size)
            if self.run and checkpoint.write_problem():
                self.show.line(f"note: {checkpoint.write_problem()}")
            if not self.begun:
                self._begin()
            self.saved = time.monotonic()
            while self.epoch < epochs:
                self._one_epoch(epochs)
        return self.history

    def _begin(self) -> None:
        if self.run:
            self.run.begin()
        self.begun, self.history = True, []
        self._pictures()
        self.save()                         # a kill from here on can be resumed

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Tell what was tried, with how much memory, when there was too little; and where the last
        checkpoint is, when a file could not be written."""
        try:
            yield
        except MemoryError as error:
            where = f"epoch {self.epoch + 1}, after step {self.step}"
            told = explained(error, self.device, where, self.loader.batch_size, self._last_good())
            traceback.clear_frames(error.__traceback__)      # they hold the step's arrays
            raise told from error
        except OSError as error:
            if error is self.show.lost or not self.begun:
                raise
            raise type(error)(f"training stopped: {error}{self._last_good()}") from error

    def _compilation_shown(self) -> Watching:
        """A line when kernels are compiled: steps wait for that, and say nothing of the speed."""
        return Watching(CompileNote(self.show.line, self.show.forget))

    def _one_epoch(self, epochs: int) -> None:
        self.procedure.model.train()
        self.loader.set_epoch(self.epoch, self.step)
        where = f"epoch {self.epoch + 1}/{epochs}"
        for images, labels in self.loader:
            images, labels = images.to(self.device), labels.to(self.device)
            if self.schedule:
                self._set_rates(self.schedule(self._steps_done() / (epochs * len(self.loader))))
            with checks.during(self.step + 1):
                losses = self.procedure.step(images, labels)
            self.step += 1
            self.unread.append((len(images), losses))
            if self._asked_to_stop() or self.step % self.read_every == 0:
                latest = self._read()
                if self.run and self.step % self.read_every == 0:
                    self.run.log("step", epoch=self.epoch + 1, step=self.step, **latest)
                self.show.update(self._steps_done(), where, self._means())
                self._save_if_due()
        self._read()
        self.show.update(self._steps_done(), where, self._means())
        self._end_epoch(where)

    @phase("test, pictures, checkpoints")
    def _end_epoch(self, where: str) -> None:
        values = self._means()
        if self.test is not None:
            self.procedure.model.eval()
            tested = self.procedure.evaluate(self.test)
            values.update({f"test_{name}": value for name, value in tested.items()})
        self._require_finite(values)
        self.epoch, self.step = self.epoch + 1, 0
        self._new_epoch()
        self.history.append({"epoch": self.epoch, **values})
        if self.run:
            self.run.log("epoch", **self.history[-1])
        self.show.line(f"{where}  {values_text(values)}")
        self._pictures()
        self.save()                # last: a kill before this line repeats what was half done
        self._stop_if_asked()

    def _set_rates(self, share: float) -> None:
        for optimizer in self.procedure.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = share * group.setdefault("initial_lr", group["lr"])

    def _steps_done(self) -> int:
        return self.epoch * len(self.loader) + self.step

    @phase("test, pictures, checkpoints")
    def _pictures(self) -> None:
        if self.after_epoch:
            self.procedure.model.eval()
            self.after_epoch(self.epoch)

    # ------------------------------------------------------------------ losses
    def _read(self) -> dict[str, float]:
        """Take over the losses of the last steps in one transfer; the latest of them."""
        steps, self.unread = self.unread, []
        if not steps:
            return {}
        names = list(steps[0][1])
        table = to_host(stack([value for _, losses in steps for value in losses.values()]).data)
        first = self.step - len(steps) + 1
        checks.raise_pending()
        for i, row in enumerate(table.reshape(len(steps), len(names)).tolist()):
            latest = dict(zip(names, row))
            self._require_finite(latest, first + i)
            self.images += steps[i][0]
            for name, value in latest.items():
                self.sums[name] = self.sums.get(name, 0.0) + value * steps[i][0]
        return latest

    def _means(self) -> dict[str, float]:
        """The mean of each loss over the images of this epoch so far."""
        return {name: total / self.images for name, total in self.sums.items()}

    def _require_finite(self, values: dict[str, float], step: int | None = None) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                where = f"epoch {self.epoch + 1}" + (f", step {step}" if step else "")
                raise NotFinite(f"training stopped: the {name.replace('_', ' ')} became {value} "
                                f"at {where}{self._last_good()}")

    def _last_good(self) -> str:
        if not self.run or not self.run.checkpoint.is_file():
            return ""
        return f"; the last good checkpoint is {self.run.checkpoint}"

    # ------------------------------------------------------------------ checkpoints
    def _asked_to_stop(self) -> bool:
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

    @cached_property
    def made_with(self) -> dict[str, Any]:
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
            "model_name": self.run.config["model"], "made_with": self.made_with,
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
                Progress.line(self.show, f"note: {note}")

    def _check(self, state: Any) -> None:
        restore.check_form(state)
        restore.check_weights(self.procedure.model, state, self.run.config["model"])
        restore.check_origin(state["made_with"], self.made_with)
        restore.check_place(state, self.loader)
        restore.check_optimizers(state, self.procedure.optimizers)


def restore_model(model: Any, state: dict[str, Any], name: str) -> None:
    """Put a checkpoint's weights into `model`, which must be the one called `name`."""
    restore.check_weights(model, state, name)
    model.load_state_dict(state["model"])
