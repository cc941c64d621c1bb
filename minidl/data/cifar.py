"""32×32 colour pictures in ten classes: CIFAR-10 from a folder, or a small set made up here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minidl.data.dataset import ArrayDataset, Splits, check_labels
from minidl.files.regular import open_regular, read_at_most

CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SHAPES = (
    "disc", "ring", "square", "triangle", "cross",
    "rows", "columns", "diagonals", "chequers", "dots",
)  # fmt: skip

_RECORD = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes, row by row
_MOST = 10_000 * _RECORD  # bytes of a file


def cifar10(folder: str | Path) -> Splits:
    """CIFAR-10's binary version: images uint8 (N, 3, 32, 32), labels int64 (N,).

    `folder` (or its subfolder `cifar-10-batches-bin`) holds data_batch_1.bin … data_batch_5.bin
    and test_batch.bin, each with equally many pictures, 10,000 of them in CIFAR-10 itself. Raises
    FileNotFoundError for a missing file, and ValueError, naming the file, for one that is
    truncated or too long, that holds fewer pictures than the others, whose labels are no classes,
    or that is no regular file.
    Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    place = Path(folder)
    if (place / "cifar-10-batches-bin").is_dir():
        place = place / "cifar-10-batches-bin"
    paths = [place / f"data_batch_{i}.bin" for i in range(1, 6)] + [place / "test_batch.bin"]
    batches = [_read_batch(path) for path in paths]
    counts = [len(labels) for _, labels in batches]
    for path, count in zip(paths, counts):
        if count < max(counts):                # a file may end between two pictures
            raise ValueError(
                f"{path}: truncated, it holds {count} pictures where another file of the set "
                f"holds {max(counts)}"
            )
    *train, test = (ArrayDataset(images, labels, CIFAR10) for images, labels in batches)
    images, labels = (np.concatenate(parts) for parts in zip(*(part.arrays for part in train)))
    return Splits(ArrayDataset(images, labels, CIFAR10), test, "CIFAR-10")


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.exists():
        pickled = path.with_suffix("").is_file()
        raise FileNotFoundError(
            f"cifar10: {path} is missing"
            + ("; what is there is the Python (pickle) version, the binary one is needed" * pickled)
        )
    with open_regular(path) as file:
        raw = read_at_most(file, _MOST + 1)
    if len(raw) > _MOST:
        raise ValueError(f"{path}: too long, a file of CIFAR-10 has {_MOST:,} bytes")
    if not raw or len(raw) % _RECORD:
        raise ValueError(
            f"{path}: truncated, or no CIFAR-10 file: {len(raw)} bytes are not a whole number "
            f"of records of {_RECORD} bytes"
        )
    records = np.frombuffer(raw, np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0]
    check_labels(labels, 10, str(path))
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


def synthetic_rgb(n: int = 5000, seed: int = 0) -> Splits:
    """A stand-in with CIFAR-10's shapes: `n` training and n // 5 test pictures, made from `seed`.

    The classes are shapes and textures. Place, size, both colours, and noise are drawn anew for
    every picture, so that no single pixel and no colour tells the class. `.notice` says that
    these are not photographs: print it.
    """
    if n < 10:
        raise ValueError(f"synthetic_rgb: n is {n}, ten classes need at least 10 pictures")
    rng = np.random.default_rng(seed)
    notice = (
        "NOT CIFAR-10: no folder was given, so this trains on a synthetic set "
        f"({n} drawn shapes, 32x32x3, 10 classes). Its accuracy says nothing about photographs."
    )
    train, test = _drawn_shapes(n, rng), _drawn_shapes(max(n // 5, 10), rng)
    return Splits(train, test, "synthetic shapes", notice)


def _drawn_shapes(n: int, rng: np.random.Generator) -> ArrayDataset:
    labels = rng.permutation(np.arange(n) % len(SHAPES))
    inside = np.empty((n, 32, 32), dtype=bool)
    for label in range(len(SHAPES)):
        members = np.flatnonzero(labels == label)
        inside[members] = _masks(label, len(members), rng)
    back = rng.integers(0, 256, (n, 3))
    # Each channel of the front colour is 70 … 186 away, round the circle: always visible.
    front = (back + rng.integers(70, 187, (n, 3))) % 256
    images = rng.standard_normal((n, 3, 32, 32), dtype=np.float32) * np.float32(12)
    images += np.where(inside[:, None], front[:, :, None, None], back[:, :, None, None])
    return ArrayDataset(images.round().clip(0, 255).astype(np.uint8), labels, SHAPES)


def _masks(label: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 32, 32) booleans: which pixels belong to the figure of class `label`."""
    radius = rng.uniform(6, 11, (n, 1, 1))
    centre_y, centre_x = rng.uniform(10, 22, (2, n, 1, 1))
    period = rng.uniform(4, 8, (n, 1, 1))
    slope = rng.choice([-1, 1], (n, 1, 1))
    y, x = np.mgrid[0:32, 0:32]
    y, x = y - centre_y, x - centre_x

    def wave(t: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * t / period)

    match SHAPES[label]:
        case "disc":
            return np.hypot(y, x) < radius
        case "ring":
            return abs(np.hypot(y, x) - 0.8 * radius) < 0.25 * radius
        case "square":
            return np.maximum(abs(y), abs(x)) < 0.85 * radius
        case "triangle":
            return (y < 0.8 * radius) & (y > 2 * abs(x) - 0.9 * radius)
        case "cross":
            bar = np.minimum(abs(y), abs(x)) < 0.3 * radius
            return bar & (np.maximum(abs(y), abs(x)) < radius)
        case "rows":
            return wave(y) > 0
        case "columns":
            return wave(x) > 0
        case "diagonals":
            return wave((y + slope * x) / 1.4) > 0
        case "chequers":
            return wave(y) * wave(x) > 0
        case _:  # dots
            return wave(y) + wave(x) > 0.9
