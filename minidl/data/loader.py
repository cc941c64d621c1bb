"""Batches: an order that is a pure function of (seed, epoch), one gather a batch, then tensors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.checks import brief, whole
from minidl.checks.arguments import arguments
from minidl.data.augment import Augmentation
from minidl.data.dataset import TensorDataset
from minidl.device import move, namespace, resolve
from minidl.modes import phase

if TYPE_CHECKING:
    from minidl.tensor import Tensor

# The last word of Philox's counter: it keeps these streams apart from each other and from the
# engine's own generator, which counts from 0.
_ORDER, _AUGMENT = 1, 2


class DataLoader:
    """Cuts a dataset into batches of tensors: `for images, labels in loader`.

    dataset      an ArrayDataset or TensorDataset, or a tuple of arrays such as (x, y)
    batch_size   examples a batch; the last batch is smaller, or left out with `drop_last`
    shuffle      a new order every epoch, a pure function of (seed, epoch)
    augment      `aug(images, rng)` for the first array; rng is a function of (seed, epoch, step)
    scale        uint8 images as float32: "unit" x / 255 in [0, 1], "tanh" x / 127.5 - 1 in [-1, 1]
    pad          pixels of 0 on all four sides: 2 makes 32×32 of MNIST's 28×28
    shrink       the mean over blocks of shrink × shrink: pad=2, shrink=2 make 16×16
    device       where the batches are made: "cpu", "cuda", …, the same numbers on each. A GPU keeps
                 the whole dataset, as it is (uint8), from the first batch on, and gathers there.
                 Not so with `augment`, a function of NumPy arrays: then each batch is uploaded

    Only uint8 arrays (N, C, H, W) are scaled, padded and shrunk. Other integers become int64,
    floats keep their dtype. Each `for` runs one epoch and moves on to the next; `set_epoch(e)`
    goes to any epoch, and to any step within it, so that a resumed run sees the same batches.
    Raises ValueError for options out of range or a dataset that makes no batch, TypeError for
    options of another type.
    """

    @arguments
    def __init__(
        self,
        dataset: TensorDataset | tuple | list,
        batch_size: int = 1,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        augment: Augmentation | None = None,
        scale: str = "unit",
        pad: int = 0,
        shrink: int = 1,
        device: str = "cpu",
        **others: Any,
    ) -> None:
        for name in others:
            raise TypeError(f"DataLoader: {name} is not offered: batches are cut from arrays, in "
                            "this process")
        if isinstance(dataset, (tuple, list)):
            if isinstance(dataset, list) and any(isinstance(e, tuple) for e in dataset):
                raise TypeError("DataLoader: dataset is a list of examples; give a tuple of arrays "
                                "that have the examples along their first axis")
            dataset = TensorDataset(*dataset)
        if not isinstance(dataset, TensorDataset):
            raise TypeError(
                "DataLoader: dataset must be an ArrayDataset, a TensorDataset or a tuple of "
                f"arrays, got {type(dataset).__name__}"
            )
        least = {"batch_size": 1, "seed": 0, "pad": 0, "shrink": 1}
        for (name, low), value in zip(least.items(), (batch_size, seed, pad, shrink)):
            if whole(f"DataLoader: {name}", value, low) >= 2**64:
                raise ValueError(f"DataLoader: {name} must be below 2**64, got {value}")
        if augment is not None and not callable(augment):
            raise TypeError(f"DataLoader: augment must be a function, got {brief(augment)}")
        if scale not in ("unit", "tanh"):
            raise ValueError(f'DataLoader: scale is {scale!r}, it must be "unit" or "tanh"')
        self.dataset, self.batch_size, self.shuffle, self.seed = dataset, batch_size, shuffle, seed
        self.drop_last, self.augment, self.scale = drop_last, augment, scale
        self.pad, self.shrink, self.device = pad, shrink, resolve(device)
        self.epoch = self.step = 0
        if len(self) == 0:
            raise ValueError(
                f"DataLoader: {len(dataset)} examples make no batch of {batch_size} "
                f"with drop_last={drop_last}"
            )

    def __len__(self) -> int:
        """Steps in an epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def set_epoch(self, epoch: int, step: int = 0) -> None:
        """The next `for` runs epoch `epoch`, from batch `step` on."""
        epoch, step = whole("set_epoch: epoch", epoch), whole("set_epoch: step", step)
        if step > len(self):
            raise ValueError(
                f"set_epoch: step must be in 0 … {len(self)}, got {step}"
            )
        self.epoch, self.step = epoch, step

    def order(self, epoch: int) -> np.ndarray:
        """The examples' numbers (N,) in the order in which `epoch` shows them.

        Sorting N random 64-bit words shuffles; the words of Philox are the same in every
        release of NumPy, which its own `permutation` does not promise.
        """
        n = len(self.dataset)
        if not self.shuffle:
            return np.arange(n)
        return np.argsort(self._philox(epoch, 0, _ORDER).random_raw(n), kind="stable")

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        epoch, start = self.epoch, self.step
        self.epoch, self.step = epoch + 1, 0
        return self._batches(epoch, start)

    def batches(self, n: int) -> Iterator[tuple[Tensor, ...]]:
        """The next `n` batches, one epoch after the other, for training that counts in steps. Goes
        on where the last call, or `set_epoch`, left off."""
        return self._next(whole("batches: n", n))

    def _next(self, n: int) -> Iterator[tuple[Tensor, ...]]:
        while n > 0:
            epoch, start = self.epoch, self.step
            stop = min(start + n, len(self))
            self.set_epoch(*((epoch, stop) if stop < len(self) else (epoch + 1, 0)))
            yield from itertools.islice(self._batches(epoch, start), stop - start)
            n -= stop - start

    def _batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, ...]]:
        from minidl.tensor import as_tensor  # here: reading data needs no engine

        order, arrays = self.order(epoch), self.dataset.arrays
        if self.augment is None:
            order, arrays = move(order, self.device), self.dataset.on(self.device)
        for step in range(start, len(self)):
            with phase("loading"):
                chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
                batch = [namespace(array).take(array, chosen, axis=0) for array in arrays]
                if self.augment is not None:
                    rng = np.random.Generator(self._philox(epoch, step, _AUGMENT))
                    batch[0] = self.augment(batch[0], rng)
                    batch = [move(array, self.device) for array in batch]
                tensors = tuple(as_tensor(self._convert(array)) for array in batch)
            yield tensors

    def _philox(self, epoch: int, step: int, stream: int) -> np.random.Philox:
        key = np.array([self.seed, epoch], dtype=np.uint64)
        return np.random.Philox(key=key, counter=[0, 0, step, stream])

    def _convert(self, array: Any) -> Any:
        """The tensor's array of a freshly gathered one, computed where that one is."""
        if array.dtype != np.uint8 or array.ndim != 4:
            return array.astype(np.int64, copy=False) if array.dtype.kind in "iu" else array
        if self.pad:
            array = self._padded(array)
        if self.shrink > 1:
            array = self._shrunk(array)
        divide = namespace(array).divide
        if self.scale == "unit":
            return divide(array, np.float32(255), dtype=np.float32)
        return divide(array, np.float32(127.5), dtype=np.float32) - np.float32(1)

    def _padded(self, array: Any) -> Any:
        n, c, h, w = array.shape
        padded = namespace(array).zeros((n, c, h + 2 * self.pad, w + 2 * self.pad), dtype=np.uint8)
        padded[:, :, self.pad : self.pad + h, self.pad : self.pad + w] = array
        return padded

    def _shrunk(self, array: Any) -> Any:
        h, w = array.shape[2:]
        k = self.shrink
        if h % k or w % k:
            raise ValueError(f"DataLoader: shrink={k} does not divide images of {h}x{w}")
        sums = sum(array[:, :, i::k, j::k].astype(np.float32) for i in range(k) for j in range(k))
        return sums / np.float32(k * k)
