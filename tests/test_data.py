"""Data: the shipped MNIST, the readers and their errors, datasets."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from minidl import data
from minidl.files.cache import make_private

# `minidl.data.mnist` is the function; this is its module.
mnist_module = importlib.import_module("minidl.data.mnist")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One cache folder for all tests: MNIST is unpacked once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache, monkeypatch):
    monkeypatch.setenv("MINIDL_CACHE", str(cache))


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def digits(n: int, seed: int = 0, side: tuple[int, int] = (28, 28)):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *side), dtype=np.uint8), np.arange(n, dtype=np.uint8) % 10


def write_set(folder: Path, prefix: str = "", test: str = "t10k", packed: bool = False, **names):
    """The four files of a small set; a keyword such as `t10k_labels` replaces an array."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, n in (("train", 20), (test, 10)):
        images, labels = digits(n)
        for kind, rank, array in (("images", 3, images), ("labels", 1, labels)):
            raw = idx(names.get(f"{part}_{kind}", array))
            name = f"{prefix}{part}-{kind}-idx{rank}-ubyte" + ".gz" * packed
            (folder / name).write_bytes(gzip.compress(raw) if packed else raw)
    return folder


# --- the shipped MNIST -----------------------------------------------------------------------


def test_shipped_mnist():
    sets = data.mnist()
    assert sets.train.images.shape == (60000, 1, 28, 28) and sets.train.images.dtype == np.uint8
    assert sets.test.images.shape == (10000, 1, 28, 28) and sets.test.labels.dtype == np.int64
    assert sets.train.classes == sets.classes == tuple("0123456789")
    assert sets.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(sets.test.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009
    ]  # fmt: skip
    assert round(float(sets.train.images.mean()) / 255, 4) == 0.1307  # the mean everybody quotes
    sets.train.images[0] = 0  # the user's own copy
    assert data.mnist().train.images[0].any()


def test_damaged_cache_is_made_again(cache):
    data.mnist()
    kept = cache / "mnist" / "t10k-labels-idx1-ubyte"
    whole = kept.read_bytes()
    for damage in (whole[:-1], whole[:-1] + b"\x09", b"", b"x" * 20000):
        kept.write_bytes(damage)
        assert data.mnist().test.labels[:3].tolist() == [7, 2, 1]
        assert kept.read_bytes() == whole
    assert {path.name for path in kept.parent.iterdir()} == set(mnist_module.DIGESTS)


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("where the folder should be")
    read_only = tmp_path / "read-only"
    read_only.mkdir(mode=0o500)
    for folder in (blocked, read_only):
        monkeypatch.setenv("MINIDL_CACHE", str(folder))
        raw = mnist_module._unpacked("t10k-labels-idx1-ubyte")
        assert raw.size == 10008
    read_only.chmod(0o700)


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    assert mnist_module._unpacked("t10k-labels-idx1-ubyte").size == 10008
    assert list((tmp_path / "mnist").iterdir()) == []


def test_tampered_package_file(tmp_path, monkeypatch):
    import lzma

    name = "t10k-labels-idx1-ubyte"
    packed = (mnist_module.FILES / f"{name}.xz").read_bytes()
    monkeypatch.setattr(mnist_module, "FILES", tmp_path)
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    changed = bytearray(lzma.decompress(packed))
    changed[-1] ^= 1
    (tmp_path / f"{name}.xz").write_bytes(lzma.compress(changed))
    with pytest.raises(ValueError, match=rf"{name}.xz: the file was changed.*SHA-256"):
        mnist_module._unpacked(name)
    (tmp_path / f"{name}.xz").write_bytes(packed[:-100])
    with pytest.raises(ValueError, match=rf"{name}.xz: the file is truncated or damaged"):
        mnist_module._unpacked(name)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/minidl"),
        ("linux", {}, "~/.cache/minidl"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "~/Library/Caches/minidl"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/minidl"),
        ("linux", {"MINIDL_CACHE": "/own"}, "/own"),
    ],
)
def test_cache_folder(monkeypatch, platform, variables, expected):
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA", "MINIDL_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    expected = Path(expected).expanduser()
    with monkeypatch.context() as patch:
        patch.setattr("sys.platform", platform)
        assert data.cache_folder() == expected


# --- folders of one's own --------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("sub", ["", "raw"])
def test_folder_of_idx_files(tmp_path, packed, sub):
    write_set(tmp_path / sub, packed=packed)
    sets = data.mnist(tmp_path)
    images, labels = digits(20)
    assert sets.name == "MNIST"
    np.testing.assert_array_equal(sets.train.images[:, 0], images)
    np.testing.assert_array_equal(sets.train.labels, labels)
    sets.train.images[0] = 0  # may be written to


def test_content_not_name_tells_gzip_and_dots_are_accepted(tmp_path):
    write_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").rename(tmp_path / "t10k-labels-idx1-ubyte.gz")
    (tmp_path / "train-images-idx3-ubyte").rename(tmp_path / "train-images.idx3-ubyte")
    assert len(data.mnist(tmp_path).test) == 10


def test_fashion_mnist_by_folder_name(tmp_path):
    sets = data.mnist(write_set(tmp_path / "FashionMNIST" / "raw"))
    assert sets.name == "Fashion-MNIST" and sets.classes[9] == "Ankle boot"


def test_emnist_is_turned_upright(tmp_path):
    write_set(tmp_path, "emnist-letters-", "test", packed=True)
    sets = data.mnist(tmp_path)
    assert sets.name == "EMNIST letters" and sets.classes[1] == "a" and len(sets.classes) == 27
    images, _ = digits(20)
    np.testing.assert_array_equal(sets.train.images[3, 0], images[3].T)
    assert [len(mnist_module.EMNIST[s]) for s in ("balanced", "byclass")] == [47, 62]


def test_two_sets_in_a_folder_is_an_error(tmp_path):
    write_set(tmp_path, "emnist-digits-", "test")
    write_set(tmp_path, "emnist-letters-", "test")
    with pytest.raises(ValueError, match="holds 2 sets .*give a folder that holds one"):
        data.mnist(tmp_path)


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder"):
        data.mnist(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds train-images-idx3-ubyte"):
        data.mnist(tmp_path)
    write_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="holds no t10k-labels-idx1-ubyte"):
        data.mnist(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-30], "truncated or damaged"),
        (lambda raw: raw[:5], "truncated or damaged"),
        (lambda raw: raw[:-6] + bytes([raw[-6] ^ 255]) + raw[-5:], "truncated or damaged"),
        (lambda raw: gzip.decompress(raw)[:-1], r"truncated, shape \(10,\) needs 18 bytes"),
        (lambda raw: gzip.decompress(raw) + b"1", "too long, .* 18 bytes .* more"),
        (lambda raw: gzip.compress(gzip.decompress(raw) + b"1"), "too long, .* the file has more"),
        (lambda raw: raw + b"garbage", "truncated or damaged"),
        (lambda raw: raw + raw, "too long"),
        (lambda raw: b"\0\0\x08\1" + b"\xff" * 5, r"shape \(4294967295,\); labels .* not read"),
        (lambda raw: gzip.decompress(raw)[:6], "truncated inside its header"),
        (lambda raw: b"", "0 bytes are no IDX file"),
        (lambda raw: b"\0\0\x08", "truncated, 3 bytes are no IDX file"),
        (lambda raw: b"<html> not found", "magic number is 3c 68 74 6d where 00 00 08 01"),
        (lambda raw: b"\0\0\x0d\1" + b"\0" * 20, "magic number is 00 00 0d 01"),
    ],
)
def test_damaged_idx_file(tmp_path, damage, message):
    folder = write_set(tmp_path, packed=True)
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"t10k-labels-idx1-ubyte.gz: .*{message}"):
        data.mnist(folder)


# --- files that are no files, or far larger than they look --------------------------------------


def peak(function) -> int:
    """The most memory that was held at once while `function` ran, in bytes."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bomb(path: Path, head: bytes, size: int) -> None:
    """A gzip file of zeros, a thousandth of `size` long."""
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(head)
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))


@pytest.mark.parametrize(
    ("rank", "shape", "message"),
    [
        (3, (10, 28, 28), r"too long, shape \(10, 28, 28\)"),
        (1, (10,), r"too long, shape \(10,\)"),
        (3, (2**32 - 1,) * 3, "images .* of more than 1,073,741,824 bytes are not read"),
        (3, (0, 2**32 - 1, 2**32 - 1), "are not read"),
        (3, (2_000_000, 28, 28), "are not read"),
        (1, (2**31,), "labels .* of more than 16,777,216 bytes are not read"),
        (None, (), "magic number is 00 00 00 00"),
    ],
)
def test_a_bomb_is_not_unpacked(tmp_path, rank, shape, message):
    """64 MB of zeros in 64 KB: what the header allows is unpacked, and one byte more."""
    head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, rank, *shape) if rank else b""
    path = tmp_path / "bomb.gz"
    bomb(path, head, 1 << 26)

    def read():
        with pytest.raises(ValueError, match=rf"bomb.gz: .*{message}"):
            data.read_idx(path, rank or 3)

    assert path.stat().st_size < 100_000 and peak(read) < 5_000_000


def test_a_header_that_promises_more_than_there_is_costs_only_what_there_is(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 1_000_000, 28, 28) + bytes(1000))

    def read():
        with pytest.raises(ValueError, match=r"images: truncated, .* 784000016 bytes .* 1016"):
            data.read_idx(path, 3)

    assert peak(read) < 3_000_000


def test_a_cache_entry_of_any_length_is_a_miss(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path))
    entry = tmp_path / "mnist" / "t10k-labels-idx1-ubyte"
    entry.parent.mkdir()
    with open(entry, "wb") as file:
        file.truncate(1 << 32)  # sparse: 4 GB, and nothing on the disk
    assert peak(lambda: mnist_module._unpacked(entry.name)) < 80_000_000  # 64 MB are xz's own
    assert entry.stat().st_size == 10_008


@pytest.mark.parametrize(
    "kind", ["folder", "pipe", "socket", "link to a device", "link to nothing"]
)
def test_a_cache_entry_that_is_no_file_is_a_miss(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path))
    entry = tmp_path / "mnist" / "t10k-labels-idx1-ubyte"
    entry.parent.mkdir()
    make_no_file(entry, kind)
    assert mnist_module._unpacked(entry.name).size == 10_008
    assert kind == "folder" or (entry.is_file() and not entry.is_symlink())


def make_no_file(path: Path, kind: str) -> None:
    """Something else than a regular file."""
    if kind == "folder":
        path.mkdir()
    elif not hasattr(os, "mkfifo"):
        pytest.skip("this system has no such files")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a device":
        path.symlink_to(os.devnull)
    elif kind == "link to nothing":
        path.symlink_to(path.parent / "nowhere")
    else:
        import socket

        if len(str(path)) > 100:
            pytest.skip("the path is too long for a socket")
        with socket.socket(socket.AF_UNIX) as found:
            found.bind(str(path))


@pytest.mark.parametrize("packed", [False, True])
def test_random_damages_are_refused_or_harmless(tmp_path, packed):
    """Bits flipped, bytes cut off or added, in the header as often as anywhere."""
    rng, refused = np.random.default_rng(0), 0
    whole = idx(digits(10, side=(5, 4))[0])
    for _ in range(200):
        raw = bytearray(gzip.compress(whole, mtime=0) if packed else whole)
        for _ in range(rng.integers(1, 4)):
            match rng.integers(4):
                case 0:
                    raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
                case 1:
                    raw[rng.integers(min(16, len(raw)))] ^= 1 << rng.integers(8)
                case 2:
                    del raw[rng.integers(1, len(raw)) :]
                case 3:
                    raw += rng.bytes(rng.integers(1, 30))
        (tmp_path / "images").write_bytes(raw)
        try:
            found = data.read_idx(tmp_path / "images", 3)
            assert found.shape == (10, 5, 4)
        except ValueError as error:
            assert str(error).startswith(str(tmp_path / "images"))
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("kind", "message"),
    [("folder", "a folder"), ("pipe", "a named pipe"), ("link to a device", "a device")],
)
def test_what_is_no_file_is_named(tmp_path, kind, message):
    """In a folder of the user's own it is an error, and nothing waits for it."""
    for path, read in (
        (write_set(tmp_path / "idx") / "t10k-labels-idx1-ubyte", data.mnist),
        (write_set(tmp_path / "gz", packed=True) / "train-images-idx3-ubyte.gz", data.mnist),
        (write_cifar(tmp_path / "cifar") and tmp_path / "cifar" / "test_batch.bin", data.cifar10),
    ):
        path.unlink()
        make_no_file(path, kind)
        with pytest.raises(ValueError, match=f"{path.name}: {message}, where a regular file"):
            read(path.parent)


def test_swapped_files(tmp_path):
    folder = write_set(tmp_path)
    images, labels = (folder / f"train-{k}-ubyte" for k in ("images-idx3", "labels-idx1"))
    other = labels.read_bytes()
    labels.write_bytes(images.read_bytes())
    with pytest.raises(ValueError, match=r"train-labels.*: holds images \(N, H, W\) where labels"):
        data.mnist(folder)
    images.write_bytes(other)
    with pytest.raises(ValueError, match=r"train-images.*: holds labels \(N,\) where images"):
        data.mnist(folder)


def test_sets_that_do_not_agree(tmp_path):
    with pytest.raises(ValueError, match=r"images-idx3-ubyte holds 20 images .* 19 labels"):
        data.mnist(write_set(tmp_path / "count", train_labels=digits(19)[1]))
    with pytest.raises(ValueError, match=r"t10k-labels.*: label 11 at position 4 is outside 0 … 9"):
        bad = digits(10)[1]
        bad[4] = 11
        data.mnist(write_set(tmp_path / "label", t10k_labels=bad))
    with pytest.raises(ValueError, match=r"training images are \(1, 28, 28\), test .*\(1, 8, 9\)"):
        data.mnist(write_set(tmp_path / "shape", t10k_images=digits(10, side=(8, 9))[0]))
    with pytest.raises(ValueError, match=r"train-images.*: holds no images"):
        empty = {"train_images": digits(0)[0], "train_labels": digits(0)[1]}
        data.mnist(write_set(tmp_path / "empty", **empty))


# --- 32×32 colour ----------------------------------------------------------------------------


def write_cifar(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (24, 3, 32, 32)), rng.integers(0, 10, 24)
    records = np.concatenate([labels[:, None], images.reshape(24, -1)], axis=1).astype(np.uint8)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    folder.mkdir(exist_ok=True)
    for name, part in zip(names, np.split(records, 6)):
        part.tofile(folder / name)
    return images, labels


@pytest.mark.parametrize("sub", ["", "cifar-10-batches-bin"])
def test_cifar10(tmp_path, sub):
    images, labels = write_cifar(tmp_path / sub)
    sets = data.cifar10(tmp_path)
    np.testing.assert_array_equal(sets.train.images, images[:20])
    np.testing.assert_array_equal(sets.test.labels, labels[20:])
    assert sets.classes[3] == "cat" and sets.notice == ""


def test_cifar10_errors(tmp_path):
    write_cifar(tmp_path)
    path = tmp_path / "data_batch_2.bin"
    raw = path.read_bytes()
    path.write_bytes(raw[:-1])
    with pytest.raises(ValueError, match=r"data_batch_2.bin: truncated.*3073"):
        data.cifar10(tmp_path)
    path.write_bytes(b"\x0a" + raw[1:])
    with pytest.raises(ValueError, match=r"data_batch_2.bin: label 10 at position 0"):
        data.cifar10(tmp_path)
    path.write_bytes(raw[3073:])
    with pytest.raises(ValueError, match=r"data_batch_2.bin: truncated, it holds 3 pictures .* 4"):
        data.cifar10(tmp_path)
    path.write_bytes(raw * 2501)
    with pytest.raises(ValueError, match=r"data_batch_2.bin: too long, .* 30,730,000 bytes"):
        data.cifar10(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"data_batch_2.bin: truncated, or no CIFAR-10 file: 0"):
        data.cifar10(tmp_path)
    path.rename(tmp_path / "data_batch_2")
    with pytest.raises(FileNotFoundError, match=r"data_batch_2.bin is missing.*pickle"):
        data.cifar10(tmp_path)


def test_synthetic_rgb():
    sets = data.synthetic_rgb(200, seed=3)
    assert sets.train.images.shape == (200, 3, 32, 32) and sets.train.images.dtype == np.uint8
    assert np.bincount(sets.train.labels).tolist() == [20] * 10
    assert "NOT CIFAR-10" in sets.notice and len(sets.test) == 40
    again, other = data.synthetic_rgb(200, seed=3), data.synthetic_rgb(200, seed=4)
    np.testing.assert_array_equal(sets.train.images, again.train.images)
    assert (sets.train.images != other.train.images).any()
    assert sets.train.images.std(axis=(2, 3)).mean() > 20  # there is something to see
    with pytest.raises(ValueError, match="n is 9"):
        data.synthetic_rgb(9)


def test_a_synthetic_test_set_has_every_class():
    """A fifth of the training set, and no fewer than ten pictures."""
    assert [len(data.synthetic_rgb(n).test) for n in (10, 54, 55)] == [10, 10, 11]
    assert sorted(data.synthetic_rgb(10).test.labels) == list(range(10))


AREAS = {  # in units of the radius squared: a disc of radius 1, a ring from 0.55 to 1.05, ...
    "disc": np.pi, "ring": np.pi * (1.05**2 - 0.55**2), "square": 1.7**2,
    "triangle": 1.7**2 / 2, "cross": 2 * 2 * 0.6 - 0.6**2}


@pytest.mark.parametrize("shape", data.cifar.SHAPES)
def test_synthetic_shapes_are_what_they_are_called(shape):
    """Figures have their area, and their middle at the centre; stripes run one way and cover half
    of the picture, chequers turn over across a row and a column, dots are few."""
    label = data.cifar.SHAPES.index(shape)
    masks = data.cifar._masks(label, 200, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    radius, (y, x) = rng.uniform(6, 11, 200), rng.uniform(10, 22, (2, 200))
    whole = np.maximum(abs(y - 15.5), abs(x - 15.5)) + 1.05 * radius < 15.5     # not cut off
    share, row = masks.mean((1, 2)), np.arange(32)
    if shape in AREAS:
        area = share[whole] * 32**2 / radius[whole] ** 2
        assert area.mean() == pytest.approx(AREAS[shape], rel=0.01)
        for axis, middle in ((2, y), (1, x)):
            found = (masks.sum(axis) * row).sum(1) / masks.sum((1, 2))
            off = (found - middle)[whole] - radius[whole] * (0.7 / 3 if shape == "triangle"
                                                             and axis == 2 else 0)
            assert abs(off).max() < 0.6 and abs(off.mean()) < 0.06          # pixels
    elif shape == "dots":
        assert share.mean() == pytest.approx(0.208, abs=0.005)
    else:
        assert share.mean() == pytest.approx(0.5, abs=0.01)
        same = {"rows": masks[:, :, 1:] == masks[:, :, :-1],
                "columns": masks[:, 1:] == masks[:, :-1],
                "down": masks[:, 1:, 1:] == masks[:, :-1, :-1],
                "up": masks[:, 1:, :-1] == masks[:, :-1, 1:]}
        runs = {way: equal.all((1, 2)) for way, equal in same.items()}
        assert runs["rows"].all() == (shape == "rows")
        assert runs["columns"].all() == (shape == "columns")
        if shape == "diagonals":
            assert (runs["down"] ^ runs["up"]).all() and 70 < runs["down"].sum() < 130
        if shape == "chequers":
            lines = masks[:, :1, :] == masks                 # each row is the first or the opposite
            assert (lines.all(2) | ~lines.any(2)).all() and not lines.all((1, 2)).any()


# --- datasets --------------------------------------------------------------------------------


def small(n: int = 10) -> data.ArrayDataset:
    images, labels = digits(n)
    return data.ArrayDataset(images[:, None], labels, tuple("0123456789"))


def test_dataset_conveniences():
    dataset = small()
    assert len(dataset) == 10 and repr(dataset).startswith("ArrayDataset(uint8 (10, 1, 28, 28)")
    image, label = dataset[3]
    assert image.shape == (1, 28, 28) and label == 3 and dataset[-1][1] == 9
    assert dataset[2:5].labels.tolist() == [2, 3, 4]
    assert np.shares_memory(dataset[2:5].images, dataset.images)
    assert dataset[[7, 1]].labels.tolist() == dataset.subset(np.array([7, 1])).labels.tolist()
    assert dataset.subset(dataset.labels > 7).labels.tolist() == [8, 9]
    assert len(dataset.subset([])) == 0 and dataset[:3].classes == dataset.classes
    assert [int(label) for _, label in dataset] == list(range(10))
    with pytest.raises(IndexError):
        dataset[10]


def test_split_is_a_partition():
    train, held_out = small().split(3, seed=1)
    assert len(held_out) == 3
    assert sorted([*train.labels, *held_out.labels]) == list(range(10))
    assert held_out.labels.tolist() == small().split(3, seed=1)[1].labels.tolist()
    assert len(small().split(9)[0]) == 1
    for n in (0, 10):
        with pytest.raises(ValueError, match=f"n is {n}, it must be between 1 and 9"):
            small().split(n)


def test_dataset_errors():
    images, labels = digits(4)
    with pytest.raises(ValueError, match=r"images must be \(N, C, H, W\), got \(4, 28, 28\)"):
        data.ArrayDataset(images, labels)
    images = images[:, None]
    with pytest.raises(ValueError, match=r"labels must be \(4,\), one an image, got \(3,\)"):
        data.ArrayDataset(images, labels[:3])
    with pytest.raises(TypeError, match="labels must be integers, got float64"):
        data.ArrayDataset(images, labels.astype(float))
    with pytest.raises(ValueError, match="label 3 at position 3 is outside 0 … 2"):
        data.ArrayDataset(images, labels, "abc")
    with pytest.raises(ValueError, match="label -1 at position 0"):
        data.ArrayDataset(images, labels.astype(int) - 1)
    with pytest.raises(ValueError, match="label 1000000000 would make 1,000,000,001 classes; more "
                       "than 65,536 must be given by classes="):
        data.ArrayDataset(images[:1], [10**9])
    assert len(data.ArrayDataset(images[:1], [65_535]).classes) == 65_536
    assert data.ArrayDataset(images[:1], [65_536], range(65_537)).labels[0] == 65_536
    with pytest.raises(ValueError, match="arrays differ in length"):
        data.TensorDataset(np.zeros((3, 2)), np.zeros(4))
    for kind in ("uint16", "float16", "complex64", "U3", "O"):
        with pytest.raises(TypeError, match="TensorDataset: "):
            data.TensorDataset(np.zeros((3, 2), kind))
    assert data.TensorDataset([0.5, 1.5], [1, 2]).arrays[0].dtype == np.float32
    with pytest.raises(ValueError, match="first axis"):
        data.TensorDataset()


def test_shipped_files_are_what_was_published():
    """The licence travels with the four files, and nothing else does."""
    names = {path.name for path in mnist_module.FILES.iterdir()}
    assert names == {f"{name}.xz" for name in mnist_module.DIGESTS} | {"LICENCE.txt"}
    labels = mnist_module._unpack(mnist_module.FILES / "t10k-labels-idx1-ubyte.xz", 20_000)
    digest = hashlib.sha256(labels).hexdigest()
    assert digest == mnist_module.DIGESTS["t10k-labels-idx1-ubyte"]


def test_two_processes_may_make_the_cache_at_once(tmp_path, monkeypatch):
    """The other one makes it after this one saw that there is none."""
    folder, is_dir = tmp_path / "above" / "cache", Path.is_dir

    def is_dir_but_late(path):
        found = is_dir(path)
        if path == folder and not found:
            folder.parent.mkdir()
            folder.mkdir(0o700)
        return found
    monkeypatch.setattr(Path, "is_dir", is_dir_but_late)
    make_private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
