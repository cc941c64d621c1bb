"""Arrays that belong together, one entry an example: what a DataLoader draws from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.checks import classes_of
from minidl.checks.arrays import numbers, unmasked
from minidl.device import move


class TensorDataset:
    """Any number of arrays (or tensors) with the same first axis, as `torch.utils.data` has it.

    `dataset[i]` is example i, a tuple of one entry of each array; `dataset[2:5]` and
    `dataset[[4, 7]]` are smaller datasets, and so is `dataset.subset(indices)`.
    Raises ValueError when the lengths differ, TypeError for a dtype that no tensor has.
    """

    def __init__(self, *arrays: Any) -> None:
        self.arrays = tuple(numbers(self._name, array if isinstance(array, (list, tuple)) else
                                    np.asarray(unmasked(self._name, array))) for array in arrays)
        shapes = [array.shape for array in self.arrays]
        if not shapes or any(not shape for shape in shapes):
            raise ValueError(f"{self._name}: needs arrays with a first axis, got shapes {shapes}")
        if len({shape[0] for shape in shapes}) > 1:
            raise ValueError(f"{self._name}: arrays differ in length, their shapes are {shapes}")
        self._copies: dict[str, tuple] = {}

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _with(self, arrays: tuple[np.ndarray, ...]) -> TensorDataset:
        return type(self)(*arrays)

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __iter__(self) -> Iterator[tuple]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (slice, list, np.ndarray)):
            return self.subset(index)
        return tuple(array[index] for array in self.arrays)

    def __repr__(self) -> str:
        inside = ", ".join(f"{array.dtype} {array.shape}" for array in self.arrays)
        return f"{self._name}({inside})"

    def on(self, device: str) -> tuple:
        """The arrays on `device`, a name as ``minidl.device.resolve`` gives it. Copied at the first
        call, and kept: a later change of `arrays` does not reach the copies."""
        if device == "cpu":
            return self.arrays
        if device not in self._copies:
            self._copies[device] = tuple(move(array, device) for array in self.arrays)
        return self._copies[device]

    def subset(self, indices: Any) -> TensorDataset:
        """The examples at `indices`: a slice (shares memory), numbers or a mask (copies)."""
        if not isinstance(indices, slice):
            indices = np.asarray(indices)
            if indices.size == 0:
                indices = indices.astype(np.int64)
        return self._with(tuple(array[indices] for array in self.arrays))

    def split(self, n: int, seed: int = 0) -> tuple[TensorDataset, TensorDataset]:
        """Two datasets, the second of `n` examples drawn at random: a validation set."""
        if not 0 < n < len(self):
            raise ValueError(f"split: n is {n}, it must be between 1 and {len(self) - 1}")
        order = np.random.default_rng(seed).permutation(len(self))
        return self.subset(np.sort(order[n:])), self.subset(np.sort(order[:n]))


class ArrayDataset(TensorDataset):
    """Labelled images: `images` (N, C, H, W), `labels` int64 (N,), `classes` the names.

    Images stay uint8, a quarter of float32's memory; the loader converts a batch at a time.
    `classes` defaults to "0", "1", … up to the largest label, 65,535 at most.
    Raises ValueError or TypeError for shapes that do not fit and for labels that are no class.
    """

    def __init__(self, images: Any, labels: Any, classes: Sequence[str] | None = None) -> None:
        images, labels = (np.asarray(unmasked("ArrayDataset", a)) for a in (images, labels))
        if images.ndim != 4:
            raise ValueError(f"ArrayDataset: images must be (N, C, H, W), got {images.shape}")
        if labels.ndim != 1 or len(labels) != len(images):
            raise ValueError(
                f"ArrayDataset: labels must be ({len(images)},), one an image, got {labels.shape}"
            )
        if labels.dtype.kind not in "iu":
            raise TypeError(f"ArrayDataset: labels must be integers, got {labels.dtype}")
        super().__init__(images, labels.astype(np.int64))
        if classes is None:
            classes = map(str, range(classes_of("ArrayDataset", self.labels, "classes")))
        self.classes = tuple(classes)
        check_labels(self.labels, len(self.classes), "ArrayDataset: labels")

    @property
    def images(self) -> np.ndarray:
        return self.arrays[0]

    @property
    def labels(self) -> np.ndarray:
        return self.arrays[1]

    def _with(self, arrays: tuple[np.ndarray, ...]) -> ArrayDataset:
        return ArrayDataset(*arrays, classes=self.classes)


@dataclass(frozen=True)
class Splits:
    """A training and a test set. `notice` is not empty when the user must be told something."""

    train: ArrayDataset
    test: ArrayDataset
    name: str
    notice: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes


def check_labels(labels: np.ndarray, classes: int, name: str) -> None:
    """Raise ValueError, beginning with `name`, unless every label is in 0 … classes - 1."""
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if bad.size:
        raise ValueError(
            f"{name}: label {labels[bad[0]]} at position {bad[0]} is outside 0 … {classes - 1}"
        )
