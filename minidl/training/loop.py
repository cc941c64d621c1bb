"""The loop around every training procedure: epochs, losses read now and then, log, checkpoints.

A procedure (classifier.py, gan.py, vae.py) knows one step. It has

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
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import checks, kernels, random
from ..device import resolve, to_host
from ..ops import stack
from ..profiling import part
from ..tensor import Tensor
from . import checkpoint
from .memory import explained
from .progress import Progress, progress, values_text
from .run import Run


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
        # Losses are read, and logged, every few steps: reading one makes a GPU wait.
        self.read_every = max(1, min(10, len(loader) // 20))
        self.history: list[dict[str, float]] = run.records("epoch") if run else []
        self._new_epoch()

    def _new_epoch(self) -> None:
        self.sums: dict[str, float] = {}    # of each loss, over the images of this epoch so far
        self.images = 0
        self.unread: list[tuple[int, dict[str, Tensor]]] = []

    # ------------------------------------------------------------------ the loop
    def fit(self, epochs: int) -> list[dict[str, float]]:
        """Train until `epochs` epochs are done in all; the epochs' records.

        Raises :class:`NotFinite` when a loss is no number and :class:`OutOfMemory` when a step
        needs more memory than there is (the last good checkpoint stays), and KeyboardInterrupt,
        after a checkpoint, when Ctrl-C asks to stop.
        """
        with (self.show, _interruptible() as self.stop, self._compilation_shown(),
              self._memory_explained()):
            self.show.start(self._steps_done(), epochs * len(self.loader), self.loader.batch_size)
            if self.run and checkpoint.problem():
                self.show.line(f"note: {checkpoint.problem()}")
            if self.epoch == self.step == 0:
                self._pictures()
                self.save()                 # a kill from here on can be resumed
            self.saved = time.monotonic()
            while self.epoch < epochs:
                self._one_epoch(epochs)
        return self.history

    @contextlib.contextmanager
    def _memory_explained(self) -> Iterator[None]:
        """Tell what was tried, and with how much memory, when there was too little."""
        try:
            yield
        except MemoryError as error:
            where = f"epoch {self.epoch + 1}, after step {self.step}"
            told = explained(error, self.device, where, self.loader.batch_size, self._last_good())
            traceback.clear_frames(error.__traceback__)      # they hold the step's arrays
            raise told from error

    @contextlib.contextmanager
    def _compilation_shown(self) -> Iterator[None]:
        """A line when kernels are compiled: steps wait for that, and say nothing of the speed."""
        lines = ["compiling kernels: once on this machine, some seconds"]

        def note(name: str) -> None:
            self.show.forget()
            with contextlib.suppress(IndexError):            # another thread may be compiling too
                self.show.line(lines.pop())

        kernels.on_compile.append(note)
        try:
            yield
        finally:
            kernels.on_compile.remove(note)

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
            if self.stop or self.step % self.read_every == 0:
                latest = self._read()
                if self.run and self.step % self.read_every == 0:
                    self.run.log("step", epoch=self.epoch + 1, step=self.step, **latest)
                self.show.update(self._steps_done(), where, self._means())
                self._save_if_due()
        self._read()
        self.show.update(self._steps_done(), where, self._means())
        self._end_epoch(where)

    @part("test, pictures, checkpoints")
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
        if self.stop:
            raise KeyboardInterrupt

    def _set_rates(self, share: float) -> None:
        for optimizer in self.procedure.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = share * group.setdefault("initial_lr", group["lr"])

    def _steps_done(self) -> int:
        return self.epoch * len(self.loader) + self.step

    @part("test, pictures, checkpoints")
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
    def _save_if_due(self) -> None:
        if self.stop:
            self.save()
            raise KeyboardInterrupt
        if time.monotonic() - self.saved >= self.save_every:
            self.save()

    @part("test, pictures, checkpoints")
    def save(self) -> None:
        """Write a checkpoint, if there is a run folder and safetensors. Refuses bad weights."""
        if self.run is None or checkpoint.problem():
            return
        weights = {name: to_host(value.data)
                   for name, value in self.procedure.model.state_dict().items()}
        for name, array in weights.items():
            if not np.isfinite(array).all():
                raise NotFinite(f"training stopped: {name} is not finite after epoch "
                                f"{self.epoch + 1}, step {self.step}{self._last_good()}")
        checkpoint.save(self.run.checkpoint, {
            "model_name": self.run.config["model"],
            "epoch": self.epoch, "step": self.step,
            "sums": self.sums, "images": self.images,
            "random": random.default_generator().get_state(),
            "model": weights,
            "optimizers": {k: o.state_dict() for k, o in self.procedure.optimizers.items()}})
        self.saved = time.monotonic()

    def resume(self) -> None:
        """Go back to the run's checkpoint. Raises ValueError if it is another model's."""
        state = checkpoint.load(self.run.checkpoint)
        restore_model(self.procedure.model, state, self.run.config["model"])
        for name, optimizer in self.procedure.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        random.default_generator().set_state(state["random"])
        self.epoch, self.step = state["epoch"], state["step"]
        self._new_epoch()
        self.sums, self.images = state["sums"], state["images"]
        self.run.forget_after(self.epoch, self.step)
        self.history = self.run.records("epoch")


def restore_model(model: Any, state: dict[str, Any], name: str) -> None:
    """Put a checkpoint's weights into `model`, which must be the one called `name`."""
    if state.get("model_name") != name:
        raise ValueError(f"checkpoint: it holds the model {state.get('model_name')!r}, "
                         f"{name!r} is needed")
    model.load_state_dict(state["model"])


@contextlib.contextmanager
def _interruptible() -> Iterator[list]:
    """A list that Ctrl-C fills, so that a step is finished first; the second Ctrl-C is at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT) or signal.default_int_handler

    def note(number: int, frame: Any) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
