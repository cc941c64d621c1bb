"""The loop around every training procedure: epochs of steps, and losses read now and then.

A procedure (classifier_steps.py, gan_steps.py, vae_steps.py) knows one step. It has

* ``model``, and ``optimizers``, a dict of name -> optimiser;
* ``step(images, labels)``, which trains on one batch and returns a dict of scalar tensors;
* ``evaluate(loader)``, which returns a dict of numbers.

What keeps a run is in resumable.py, in a base class of Trainer: checkpoints and the way back to
one (``save``, ``resume``), the end that a signal asks for, errors that name the last checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import checks
from ..device import resolve, to_host
from ..modes import phase
from ..ops import stack
from ..tensor import Tensor
from .progress import Progress, progress, values_text
from .resumable import NotFinite, ResumableTraining
from .run import Run


class Trainer(ResumableTraining):
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
        self.begun = False                  # has epoch 0 been saved? In a resumed run it has
        self._new_epoch()

    def _new_epoch(self) -> None:
        self.sums: dict[str, float] = {}    # of each loss, over the images of this epoch so far
        self.images = 0                     # how many these images are
        self.unread: list[tuple[int, dict[str, Tensor]]] = []

    # ------------------------------------------------------------------ the loop
    def fit(self, epochs: int) -> list[dict[str, float]]:
        """Train until `epochs` epochs are done in all; the epochs' records.

        Raises, and the last good checkpoint stays:

        * :class:`NotFinite` when a loss or a weight is no finite number;
        * :class:`OutOfMemory` when a step needs more memory than there is;
        * OSError where the run folder cannot be written, is held by another process, or has a run
          already.

        Raises after a checkpoint:

        * :class:`Stopped`, a KeyboardInterrupt, when a signal asks to stop: SIGINT, which is
          Ctrl-C, SIGTERM, SIGHUP;
        * OSError when nobody reads the lines of progress any more.
        """
        self.epochs = checks.whole("fit: epochs", epochs)
        with self._kept():
            if not self.begun:
                self._begin()
            while self.epoch < epochs:
                self._one_epoch(epochs)
        return self.history

    def _begin(self) -> None:
        if self.run:
            self.run.begin()
        self.begun, self.history = True, []
        self._pictures()
        self.save()                         # a kill from here on can be resumed

    def _one_epoch(self, epochs: int) -> None:
        self.procedure.model.train()
        self.loader.set_epoch(self.epoch, self.step)        # a resumed epoch begins at its step
        where = f"epoch {self.epoch + 1}/{epochs}"
        for images, labels in self.loader:
            images, labels = images.to(self.device), labels.to(self.device)
            if self.schedule:
                self._set_rates(self.schedule(self._steps_done() / (epochs * len(self.loader))))
            with checks.during(self.step + 1):              # if a check fails, the error says where
                losses = self.procedure.step(images, labels)
            self.step += 1
            self.unread.append((len(images), losses))
            if self.step % self.read_every == 0 or self._asked_to_stop():
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
