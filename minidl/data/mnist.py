"""MNIST, shipped with the package, and any set that comes in the same four IDX files."""

from __future__ import annotations

import contextlib
import hashlib
import string
from pathlib import Path

import numpy as np

from minidl.data.dataset import ArrayDataset, Splits, check_labels
from minidl.data.idx import read_idx
from minidl.files.cache import cache_folder, make_private
from minidl.files.regular import open_regular, read_at_most
from minidl.files.saving import write_atomically

FILES = Path(__file__).parent / "files"

# SHA-256 and length of the four files as their authors published them, unpacked.
DIGESTS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SIZES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}

DIGITS = tuple(string.digits)
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
# EMNIST: "balanced" and "bymerge" join the letters whose two cases look alike, and "letters"
# counts from 1, so that nothing is in its class 0.
_MERGED = tuple(string.digits + string.ascii_uppercase + "abdefghnqrt")
EMNIST = {
    "balanced": _MERGED,
    "bymerge": _MERGED,
    "byclass": tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase),
    "digits": DIGITS,
    "letters": ("(none)", *string.ascii_lowercase),
    "mnist": DIGITS,
}


def mnist(folder: str | Path | None = None) -> Splits:
    """MNIST: 60,000 training and 10,000 test digits, images uint8 (N, 1, 28, 28), labels int64.

    Without `folder`, the copy shipped with the package: unpacked, checked against the published
    SHA-256, and kept in the user's cache folder (`cache_folder`) for the next time.

    With `folder`, the IDX files there (or in its subfolder `raw`), plain or .gz:

    - `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-…`: MNIST, Fashion-MNIST (named
      so when a folder in the path has "fashion" in its name) and other sets in the same dress;
    - `emnist-SPLIT-train-images-idx3-ubyte`, `…-test-…`: EMNIST. Its files hold every picture
      with rows and columns exchanged; it is turned upright here.

    Raises FileNotFoundError for a missing file, and ValueError, naming the file, for one that is
    truncated, damaged, of the wrong kind, or at odds with its partner.
    Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
    """
    if folder is not None:
        return _read_folder(Path(folder))
    train, test = (
        _labelled(
            _unpacked(f"{part}-images-idx3-ubyte")[16:].reshape(-1, 28, 28),
            _unpacked(f"{part}-labels-idx1-ubyte")[8:],
            DIGITS,
        )
        for part in ("train", "t10k")
    )
    return Splits(train, test, "MNIST")


def _labelled(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> ArrayDataset:
    return ArrayDataset(images[:, None], labels, classes)


# --- the shipped files and the cache ---------------------------------------------------------


def _unpacked(name: str) -> np.ndarray:
    """The bytes of one IDX file, from the cache when it is whole, else from the package.

    The cache holds the unpacked file itself, so one digest judges both: a damaged cache, or
    something else that stands in its place, is noticed, and written anew.
    """
    cached = cache_folder() / "mnist" / name
    with contextlib.suppress(OSError, ValueError), open_regular(cached) as file:
        raw = read_at_most(file, SIZES[name] + 1)
        if _is_authentic(raw, name):
            return np.frombuffer(raw, np.uint8)
    raw = _unpack(FILES / f"{name}.xz", SIZES[name] + 1)
    if not _is_authentic(raw, name):
        raise ValueError(
            f"{FILES / name}.xz: the file was changed, what it unpacks to has not the SHA-256 "
            f"{DIGESTS[name]} of the published file; install minidl again"
        )
    with contextlib.suppress(OSError):  # a folder that cannot be written: unpack every time
        make_private(cache_folder())    # kernels/cpu/kept.py uses none that others may write to
        cached.parent.mkdir(exist_ok=True)
        cached.unlink(missing_ok=True)  # also of a pipe, or of a link, that is no entry
        write_atomically(cached, raw)
    return np.frombuffer(raw, np.uint8)


def _is_authentic(raw: bytearray, name: str) -> bool:
    return hashlib.sha256(raw).hexdigest() == DIGESTS[name]


def _unpack(path: Path, most: int) -> bytearray:
    """The first `most` bytes that an xz file holds."""
    try:
        import lzma
    except ImportError as error:  # a Python that was compiled without liblzma
        raise ImportError(
            f"{path.name} is xz-compressed and this Python was built without lzma; "
            "give mnist() a folder with the plain or .gz files, or install liblzma and rebuild"
        ) from error
    try:
        with open_regular(path) as file:
            return read_at_most(lzma.LZMAFile(file), most)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(
            f"{path}: the file is truncated or damaged ({error}); install minidl again"
        ) from error


# --- a folder of the user's own --------------------------------------------------------------


def _read_folder(folder: Path) -> Splits:
    if not folder.is_dir():
        raise FileNotFoundError(f"mnist: {folder} is no folder")
    for place in (folder, folder / "raw"):
        found = sorted({_stem(path) for path in place.glob("*train-images*idx3-ubyte*")})
        if len(found) == 1:
            break
        if found:
            raise ValueError(
                f"mnist: {place} holds {len(found)} sets ({', '.join(found)}); "
                "give a folder that holds one"
            )
    else:
        raise FileNotFoundError(
            f"mnist: neither {folder} nor its subfolder raw holds train-images-idx3-ubyte, "
            "plain or .gz (emnist-SPLIT-train-images-idx3-ubyte for EMNIST)"
        )
    prefix = found[0].partition("train-images")[0]
    if not prefix:
        fashion = any("fashion" in part.lower() for part in place.resolve().parts)
        name, classes = ("Fashion-MNIST", FASHION) if fashion else ("MNIST", DIGITS)
        parts = ("train", "t10k")
    else:
        split = prefix.removeprefix("emnist-").rstrip("-")
        if not prefix.startswith("emnist-") or split not in EMNIST:
            raise ValueError(f"mnist: {place / found[0]}: {prefix!r} is no split of EMNIST")
        name, classes, parts = f"EMNIST {split}", EMNIST[split], ("train", "test")
    train, test = (_read_pair(place, prefix + part, classes, bool(prefix)) for part in parts)
    if train.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"mnist: {place}: training images are {train.images.shape[1:]}, "
            f"test images {test.images.shape[1:]}"
        )
    return Splits(train, test, name)


def _read_pair(
    place: Path, part: str, classes: tuple[str, ...], transposed: bool
) -> ArrayDataset:
    image_file, label_file = _find(place, f"{part}-images", 3), _find(place, f"{part}-labels", 1)
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
    if len(images) != len(labels):
        raise ValueError(
            f"{image_file} holds {len(images)} images and {label_file} {len(labels)} labels"
        )
    if images.size == 0:
        raise ValueError(f"{image_file}: holds no images, its shape is {images.shape}")
    check_labels(labels, len(classes), str(label_file))
    if transposed:
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    return _labelled(images, labels, classes)


def _find(place: Path, start: str, rank: int) -> Path:
    """`start-idxR-ubyte`, as published; with a dot for the hyphen, as some tools unpack it."""
    names = [f"{start}{mark}idx{rank}-ubyte{end}" for end in ("", ".gz") for mark in "-."]
    for name in names:
        if (place / name).exists():
            return place / name
    raise FileNotFoundError(f"mnist: {place} holds no {names[0]}, plain or .gz")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").replace(".idx", "-idx")
