"""Batches and augmentation: repeatable, every example once, in the right range."""

from __future__ import annotations

import fakecupy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import data
from minidl.data import augment


def small(n: int = 10) -> data.ArrayDataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 1, 28, 28), dtype=np.uint8)
    return data.ArrayDataset(images, np.arange(n) % 10, tuple("0123456789"))


# --- batches ---------------------------------------------------------------------------------


def batches(loader) -> list[list[np.ndarray]]:
    return [[np.asarray(tensor) for tensor in batch] for batch in loader]


@given(
    n=st.integers(1, 40),
    batch_size=st.integers(1, 45),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 1000),
    cut=st.integers(0, 45),
)
def test_every_example_once_and_resumable(n, batch_size, shuffle, seed, epoch, cut):
    x = np.arange(n)
    loader = data.DataLoader((x, x * 2.0), batch_size, shuffle=shuffle, seed=seed)
    loader.set_epoch(epoch)
    run = batches(loader)
    seen = np.concatenate([a for a, _ in run])
    assert len(run) == len(loader) and sorted(seen.tolist()) == x.tolist()
    assert all(len(a) == batch_size for a, _ in run[:-1])
    assert shuffle or (seen == x).all()
    for a, b in run:
        np.testing.assert_array_equal(b, a * 2.0)
        assert a.dtype == np.int64 and b.dtype == np.float64
    # A new loader that starts at batch `step` of that epoch shows what was left.
    step = min(cut, len(loader))
    resumed = data.DataLoader((x, x * 2.0), batch_size, shuffle=shuffle, seed=seed)
    resumed.set_epoch(epoch, step)
    for (a, _), (c, _) in zip(batches(resumed), run[step:], strict=True):
        np.testing.assert_array_equal(a, c)
    assert (resumed.epoch, resumed.step) == (epoch + 1, 0)


def test_epochs_and_seeds_give_other_orders_and_the_order_is_fixed():
    dataset = small()
    loader = data.DataLoader(dataset, 10, shuffle=True, seed=5)
    first, second = ([y.tolist() for _, y in batches(loader)][0] for _ in range(2))
    assert first != second and first == loader.order(0).tolist()
    assert data.DataLoader(dataset, 10, shuffle=True, seed=6).order(0).tolist() != first
    # Written down: the same on every machine and in every release of NumPy.
    assert first == [6, 5, 9, 8, 1, 7, 4, 0, 3, 2]


def test_shuffling_is_uniform():
    loader = data.DataLoader((np.arange(5),), 5, shuffle=True)
    counts = np.zeros((5, 5))
    for epoch in range(4000):
        counts[np.arange(5), loader.order(epoch)] += 1
    assert ((counts - 800) ** 2 / 800).sum() < 50  # chi square, about 16 degrees of freedom


def test_last_batch_policy():
    dataset = small()
    assert [len(y) for _, y in batches(data.DataLoader(dataset, 4))] == [4, 4, 2]
    loader = data.DataLoader(dataset, 4, drop_last=True)
    assert len(loader) == 2 and [len(y) for _, y in batches(loader)] == [4, 4]


def test_so_many_batches_whatever_the_epoch():
    loader, same = (data.DataLoader(small(), 4, shuffle=True, seed=3) for _ in range(2))
    wanted = [y.tolist() for _ in range(3) for _, y in same][:7]
    assert [y.tolist() for _, y in loader.batches(7)] == wanted
    loader.set_epoch(0)
    parts = [[y.tolist() for _, y in loader.batches(n)] for n in (2, 0, 1, 4)]
    assert [len(part) for part in parts] == [2, 0, 1, 4] and sum(parts, []) == wanted
    with pytest.raises(ValueError, match="batches: n must be at least 0, got -1"):
        loader.batches(-1)
    for wrong in (2.5, True, None):
        with pytest.raises(TypeError, match=f"batches: n must be a whole number, got {wrong}"):
            loader.batches(wrong)


def test_batches_are_scaled_tensors():
    dataset = small()
    images, labels = next(iter(data.DataLoader(dataset, 4)))
    assert type(images).__name__ == "Tensor" and images.shape == (4, 1, 28, 28)
    x = dataset.images[:4]
    assert np.asarray(images).dtype == np.float32 and np.asarray(labels).dtype == np.int64
    np.testing.assert_array_equal(np.asarray(images), x / np.float32(255))
    (tanh, _), *_ = batches(data.DataLoader(dataset, 4, scale="tanh"))
    np.testing.assert_allclose(tanh, x / 127.5 - 1, atol=1e-6)
    assert tanh.min() == -1 and tanh.max() == 1
    (padded, _), *_ = batches(data.DataLoader(dataset, 4, scale="tanh", pad=2))
    assert padded.shape == (4, 1, 32, 32) and (padded[:, :, :2] == -1).all()
    np.testing.assert_array_equal(padded[:, :, 2:-2, 2:-2], tanh)
    (shrunk, _), *_ = batches(data.DataLoader(dataset, 4, shrink=4))
    expected = (x / 255).reshape(4, 1, 7, 4, 7, 4).mean(axis=(3, 5))
    np.testing.assert_allclose(shrunk, expected, atol=1e-6)
    images.data[:] = 7  # the user's own copy
    np.testing.assert_array_equal(dataset.images[:4], small().images[:4])


def test_plain_arrays_and_tensors():
    x, y = np.random.default_rng(0).random((6, 3), dtype=np.float32), np.arange(6, dtype=np.int32)
    (a, b), _ = batches(data.DataLoader((x, y), 4))
    np.testing.assert_array_equal(a, x[:4])
    assert a.dtype == np.float32 and b.dtype == np.int64
    tensors, _ = next(iter(data.DataLoader((x, y), 3)))
    assert len(list(data.DataLoader(data.TensorDataset(tensors), 2))) == 2
    assert len(next(iter(data.DataLoader((x,), 2)))) == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": True, "scale": "tanh"},
        {"pad": 2, "shrink": 2, "drop_last": True},
        {"shuffle": True, "pad": 2, "scale": "tanh", "shrink": 4},
        {"shuffle": True, "augment": augment.Compose([augment.shift(2), augment.mirror()])},
        {"augment": augment.crop(20), "pad": 2, "shrink": 3},
    ],
)
def test_batches_made_on_a_gpu_are_the_same_bit_for_bit(options, gpu):
    dataset = small(11)
    on_cpu = data.DataLoader(dataset, 4, seed=3, **options)
    on_gpu = data.DataLoader(dataset, 4, seed=3, device="cuda", **options)
    for _ in range(2):
        with fakecupy.counting() as count, fakecupy.forbid_sync():
            found = list(on_gpu)
        for a, b in zip(found, on_cpu, strict=True):
            for x, y in zip(a, b, strict=True):
                assert x.device == "cuda:0" and y.device == "cpu" and x.dtype == y.dtype
                np.testing.assert_array_equal(x.numpy(), y.numpy())
    # The second epoch: the order; or, changed on the host, images and labels of each batch.
    assert count.uploads == (2 * len(on_gpu) if "augment" in options else 1)


def test_a_dataset_is_uploaded_once(gpu):
    dataset = small()
    with fakecupy.counting() as count:
        first, second = (data.DataLoader(dataset, 5, device="cuda") for _ in range(2))
        assert count.uploads == 0  # not before the first batch
        list(first), list(second)
    assert count.uploads == 2 + 2  # images and labels, and the order for each
    assert [array.dtype for array in dataset.on("cuda:0")] == [np.uint8, np.int64]
    assert dataset.on("cpu") is dataset.arrays
    x, y = np.arange(4, dtype=np.int32), np.arange(4.0)
    (a, b), *_ = data.DataLoader((x, y), 4, device="cuda")
    assert (a.dtype, b.dtype) == (np.int64, np.float64) and a.tolist() == x.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "DataLoader: batch_size must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 2**64}, r"seed must be below 2\*\*64, got 18446744073709551616"),
        ({"pad": -1}, "pad must be at least 0, got -1"),
        ({"shrink": 0}, "shrink must be at least 1, got 0"),
        ({"scale": "standard"}, "scale is 'standard'"),
        ({"device": "tpu"}, 'device: expected "cpu", "cuda", "cuda:N" or "auto", got \'tpu\''),
        ({"batch_size": 11, "drop_last": True}, "10 examples make no batch of 11"),
    ],
)
def test_loader_errors(options, message):
    with pytest.raises(ValueError, match=message):
        data.DataLoader(small(), **options)


@pytest.mark.parametrize("name", ["batch_size", "seed", "pad", "shrink"])
@pytest.mark.parametrize("value", [2.5, "64", True, None])
def test_a_number_of_a_loader_is_whole(name, value):
    with pytest.raises(TypeError, match=f"{name} must be a whole number, got {value!r}"):
        data.DataLoader(small(), **{name: value})


@pytest.mark.parametrize("name, value, rule", [
    *((name, value, "True or False") for name in ("shuffle", "drop_last")
      for value in ("no", None, 2)),
    ("scale", None, "a string"), ("device", None, "a string"), ("augment", "flip", "a function")])
def test_an_option_of_a_loader_is_of_its_kind(name, value, rule):
    with pytest.raises(TypeError, match=f"DataLoader: {name} must be {rule}, got {value!r}"):
        data.DataLoader(small(), **{name: value})
    assert not data.DataLoader(small(), 2, np.False_).shuffle


def test_more_loader_errors():
    with pytest.raises(TypeError, match="got ndarray"):
        data.DataLoader(np.zeros(3), 2)
    with pytest.raises(ValueError, match="0 examples make no batch"):
        data.DataLoader(small().subset([]), 2)
    with pytest.raises(ValueError, match=r"step must be in 0 … 5, got 6"):
        data.DataLoader(small(), 2).set_epoch(0, 6)
    for place, name in (((1.5,), "epoch"), ((0, True), "step")):
        with pytest.raises(TypeError, match=f"set_epoch: {name} must be a whole number"):
            data.DataLoader(small(), 2).set_epoch(*place)
    with pytest.raises(ValueError, match="shrink=3 does not divide images of 28x28"):
        next(iter(data.DataLoader(small(), 2, shrink=3)))


# --- augmentation ----------------------------------------------------------------------------

AUGMENTATIONS = {
    "shift": augment.shift(3),
    "rotate": augment.rotate(30),
    "mirror": augment.mirror(),
    "crop": augment.crop(12, padding=2),
    "composed": augment.Compose([augment.shift(1), augment.mirror(), augment.rotate(5)]),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_augmentations_keep_shape_and_dtype(name, dtype, channels):
    images = np.random.default_rng(0).integers(0, 256, (8, channels, 12, 12)).astype(dtype)
    before = images.copy()
    changed, again = (AUGMENTATIONS[name](images, np.random.default_rng(1)) for _ in range(2))
    assert changed.shape == images.shape and changed.dtype == dtype
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(changed, again)
    assert (changed != images).any() and not np.shares_memory(changed, images)
    assert (changed != AUGMENTATIONS[name](images, np.random.default_rng(2))).any()


def test_shift_and_crop_are_windows_of_the_padded_picture():
    images = np.arange(1, 1 + 50 * 2 * 4 * 5).reshape(50, 2, 4, 5)
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for made, h, w in (
        (augment.shift(2)(images, np.random.default_rng(0)), 4, 5),
        (augment.crop((3, 2), padding=2)(images, np.random.default_rng(0)), 3, 2),
    ):
        places = set()
        for image, source in zip(made, padded):
            found = [
                (i, j)
                for i in range(8 - h + 1)
                for j in range(9 - w + 1)
                if (source[:, i : i + h, j : j + w] == image).all()
            ]
            assert found
            places.update(found)
        assert len(places) > 15  # many different places, so each image draws its own
    assert augment.crop(4)(images, np.random.default_rng(0)).shape == (50, 2, 4, 4)


def test_mirror_turns_about_half():
    images = np.random.default_rng(0).random((400, 1, 3, 4))
    made = augment.mirror()(images, np.random.default_rng(0))
    mirrored = (made == images[..., ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (made == images).all(axis=(1, 2, 3))).all() and 160 < mirrored.sum() < 240
    np.testing.assert_array_equal(augment.mirror(1.0)(images, np.random.default_rng(0)),
                                  images[..., ::-1])


class Always:
    """A generator that always draws the largest angle."""

    def uniform(self, low, high, size):
        return np.full(size, high)


def test_rotate_by_known_angles():
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 7, 7), dtype=np.uint8)
    np.testing.assert_array_equal(augment.rotate(0)(images, Always()), images)
    for degrees, turns in ((90, -1), (180, -2), (270, -3)):
        turned = augment.rotate(degrees)(images, Always())
        np.testing.assert_array_equal(turned, np.rot90(images, turns, axes=(2, 3)))
    # A constant disc stays itself; at 45 degrees the corners come from outside, which is 0.
    y, x = np.mgrid[-10:11, -10:11]
    disc = np.where(np.hypot(y, x) < 6, 1.0, 0.0)[None, None]
    assert abs(augment.rotate(45)(disc, Always()) - disc).mean() < 0.05
    square = augment.rotate(45)(np.ones((1, 1, 21, 21)), Always())[0, 0]
    assert square[10, 10] == 1 and square[0, 0] == square[0, -1] == square[-1, 0] == 0


def test_rotate_turns_both_ways_and_rounds():
    images = np.zeros((200, 1, 9, 9), dtype=np.uint8)
    images[:, :, 0, 4] = 255  # a point above the centre moves to the left or to the right
    made = augment.rotate(40)(images, np.random.default_rng(0))[:, 0].astype(float)
    balance = made[:, :, 5:].sum(axis=(1, 2)) - made[:, :, :4].sum(axis=(1, 2))
    assert 70 < (balance > 0).sum() < 130 and len(np.unique(balance)) > 50
    exact = augment.rotate(40)(images.astype(np.float64), np.random.default_rng(0))[:, 0]
    np.testing.assert_allclose(made, exact, atol=0.5 + 1e-4)


def test_rotate_matches_interpolation_point_by_point():
    images = np.random.default_rng(1).random((2, 1, 5, 6))
    made = augment.rotate(20)(images, Always())
    t = np.deg2rad(20)
    for i in range(5):
        for j in range(6):
            y, x = i - 2.0, j - 2.5
            sy = y * np.cos(t) - x * np.sin(t) + 2.0
            sx = y * np.sin(t) + x * np.cos(t) + 2.5
            value = sum(
                images[0, 0, p, q] * max(0, 1 - abs(sy - p)) * max(0, 1 - abs(sx - q))
                for p in range(5)
                for q in range(6)
            )
            assert made[0, 0, i, j] == pytest.approx(value, abs=1e-5)


def test_augmentation_draws_from_seed_epoch_and_step():
    def draws(seed, epoch, step=0):
        seen = []

        def record(images, rng):
            seen.append(int(rng.integers(2**62)))
            return images

        loader = data.DataLoader(small(), 4, seed=seed, augment=record)
        loader.set_epoch(epoch, step)
        list(loader)
        return seen

    assert draws(1, 2) == draws(1, 2) and draws(1, 2)[2:] == draws(1, 2, step=2)
    every = draws(1, 2) + draws(1, 3) + draws(2, 2)
    assert len(set(every)) == len(every) == 9


def test_augmentation_changes_the_first_array_only():
    twice = augment.Compose([augment.mirror(1), augment.mirror(1)])
    loader = data.DataLoader(small(), 10, augment=twice)
    (images, labels), = batches(loader)
    np.testing.assert_array_equal(images, small().images / np.float32(255))
    assert labels.tolist() == list(range(10))
    (images, _), = batches(data.DataLoader(small(), 10, augment=augment.mirror(1)))
    np.testing.assert_array_equal(images, small().images[..., ::-1] / np.float32(255))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.shift(-1), "max_pixels is -1"),
        (lambda: augment.rotate(-5), "max_degrees is -5"),
        (lambda: augment.mirror(1.5), "probability is 1.5"),
        (lambda: augment.crop(0), "size is 0"),
        (
            lambda: augment.crop(9)(np.zeros((1, 1, 8, 8)), np.random.default_rng(0)),
            "9x9 does not fit into images of 8x8 with padding 0",
        ),
        (
            lambda: augment.mirror()(np.zeros((8, 8)), np.random.default_rng(0)),
            r"mirror: images must be \(N, C, H, W\), got shape \(8, 8\)",
        ),
    ],
)
def test_augmentation_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
