"""D2-PRUNE, examples/pruning.py: what is pruned and stays so, and what merging filters keeps."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

import minidl
from examples import EXAMPLES, load_example
from minidl import data


@pytest.fixture(scope="module")
def pruning():
    return load_example("pruning")


@pytest.fixture
def network(pruning):
    return pruning.network(4, 6, 6, 8)


def arrays(model):
    return [p.numpy().copy() for p in model.parameters()]


# --------------------------------------------------------------------------- pruning
@pytest.mark.parametrize("share", [0.25, 0.9])
def test_the_smallest_weights_become_zero(pruning, network, share):
    before = arrays(network)
    every = sorted(abs(x) for w in before if w.ndim > 1 for x in w.ravel().tolist())
    position = share * (len(every) - 1)                 # the quantile, between two neighbours
    low = int(position)
    tau = every[low] + (position - low) * (every[low + 1] - every[low])
    small = pruning.pruned(network, share)
    for w, was in zip(arrays(small), before):
        if w.ndim > 1:
            expected = [x if abs(x) > tau else 0.0 for x in was.ravel().tolist()]
            assert w.ravel().tolist() == expected
        else:
            assert np.array_equal(w, was), "biases stay"
    zero = sum(np.count_nonzero(w == 0) for w in arrays(small) if w.ndim > 1)
    assert zero == pytest.approx(share * len(every), abs=1)
    assert all(np.array_equal(*pair) for pair in zip(arrays(network), before)), "a copy is pruned"


def test_what_is_pruned_stays_zero_in_training_and_the_rest_moves(pruning, network):
    small = pruning.pruned(network, 0.7)
    before = arrays(small)
    pruning.train(small, data.mnist().train[:192], [1e-2], seed=0)
    for w, was in zip(arrays(small), before):
        if w.ndim > 1:
            assert not w[was == 0].any() and (w != was).any()


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_share_is_between_none_and_all(pruning, network, share):
    with pytest.raises(ValueError, match=f"pruned: share is {share}"):
        pruning.pruned(network, share)


# --------------------------------------------------------------------------- merging
def merged_by_loops(w, v):
    """The cheapest pair of filters becomes one, written out with lists."""
    length = [sum(x * x for x in row) ** 0.5 for row in w]
    u = [[x / length[i] for x in row] for i, row in enumerate(w)]
    v = [[[length[i] * x for x in v[p][i]] for i in range(len(w))] for p in range(len(v))]
    a = [sum(x * x for p in range(len(v)) for x in v[p][i]) ** 0.5 for i in range(len(w))]
    cost = {(i, j): a[i] * a[j] / (a[i] + a[j]) * (1 - sum(x * y for x, y in zip(u[i], u[j])))
            for i in range(len(w)) for j in range(i + 1, len(w))}
    i, j = min(cost, key=cost.get)
    mean = [a[i] * x + a[j] * y for x, y in zip(u[i], u[j])]
    norm = sum(x * x for x in mean) ** 0.5
    u[i] = [x / norm for x in mean]
    for row in v:
        row[i] = [x + y for x, y in zip(row[i], row[j])]
        del row[j]
    del u[j]
    return np.array(u), np.array(v)


def test_one_merger_equals_the_loops(pruning):
    rng = np.random.default_rng(0)
    for _ in range(20):
        w, v = rng.normal(size=(5, 4)), rng.normal(size=(3, 5, 2))
        for mine, expected in zip(pruning.merge(w, v, 4), merged_by_loops(w.tolist(), v.tolist())):
            np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-12)


def test_multiples_of_a_filter_merge_without_a_trace(pruning, network):
    """In every layer half of the filters are positive multiples of the others."""
    for p in network.parameters():
        half = len(p) // 2
        if len(p) < 10:
            factors = np.linspace(0.5, 3, half, dtype=np.float32)
            p.data[half:] = p.data[:half] * factors.reshape(-1, *[1] * (p.ndim - 1))
    small = pruning.merged(network, 0.5)
    assert [len(p) for p in small.parameters()] == [2, 2, 3, 3, 3, 3, 4, 4, 10, 10]
    images = minidl.rand(5, 1, 28, 28)
    np.testing.assert_allclose(small(images).numpy(), network(images).numpy(), rtol=1e-4, atol=1e-5)


def test_to_keep_all_filters_changes_no_output(pruning, network):
    images = minidl.rand(5, 1, 28, 28)
    same = pruning.merged(network, 1)
    np.testing.assert_allclose(same(images).numpy(), network(images).numpy(), rtol=1e-4, atol=1e-5)


def test_a_dead_filter_goes_first_and_nothing_becomes_infinite(pruning):
    rng = np.random.default_rng(1)
    w, v = rng.normal(size=(4, 3)), rng.normal(size=(2, 4, 1))
    w[2] = 0
    u, after = pruning.merge(w, v, 3)
    alive = [0, 1, 3]
    length = np.linalg.norm(w[alive], axis=1)
    np.testing.assert_allclose(u, w[alive] / length[:, None], atol=1e-9)
    np.testing.assert_allclose(after, v[:, alive] * length[:, None], atol=1e-9)
    u, after = pruning.merge(np.array([[1.0, 0], [-1, 0]]), np.ones((1, 2, 1)), 1)   # opposites
    assert np.isfinite(u).all() and after.tolist() == [[[2.0]]]


@pytest.mark.parametrize("keep", [0, 4])
def test_some_filters_must_stay(pruning, keep):
    with pytest.raises(ValueError, match=f"merge: keep is {keep}, of 3 filters"):
        pruning.merge(np.ones((3, 2)), np.ones((1, 3, 1)), keep)


def test_a_share_of_filters_that_leaves_none_is_refused(pruning, network):
    with pytest.raises(ValueError, match="keep is 0"):
        pruning.merged(network, 0.01)


# --------------------------------------------------------------------------- the script
def labels_shown(pruning, monkeypatch, train):
    """The labels of every batch that `train` trains on."""
    shown = []
    monkeypatch.setattr(pruning.ClassifierSteps, "step",
                        lambda self, images, labels: shown.append(labels.numpy().tolist()))
    train()
    return shown


def test_every_epoch_and_every_seed_has_its_own_order(pruning, network, monkeypatch):
    digits = data.mnist().train[:64]
    first, second = labels_shown(pruning, monkeypatch,
                                 lambda: pruning.train(network, digits, [1e-3, 2e-4], seed=0))
    assert first != second and sorted(first) == sorted(second)
    again, _ = labels_shown(pruning, monkeypatch,
                            lambda: pruning.train(network, digits, [1e-3, 2e-4], seed=0))
    other, _ = labels_shown(pruning, monkeypatch,
                            lambda: pruning.train(network, digits, [1e-3, 2e-4], seed=1))
    assert again == first != other


def test_the_seed_of_the_script_reaches_every_training(pruning, monkeypatch, tmp_path):
    class Digits:
        train, test = data.mnist().train[:384], data.mnist().test[:20]

    monkeypatch.setattr(pruning.data, "mnist", lambda: Digits)
    monkeypatch.setattr(pruning, "PRUNE", [0.5])
    monkeypatch.setattr(pruning, "KEEP", [0.5])
    shown = {}
    for seed in ("0", "1"):
        monkeypatch.setattr(sys, "argv", ["pruning.py", "--quick", "--seed", seed, "--out",
                                          str(tmp_path / "p.png")])
        shown[seed] = labels_shown(pruning, monkeypatch, pruning.main)
    assert len(shown["0"]) == 2 * 6 + 2                     # the whole, then each smaller network
    assert all(a != b for a, b in zip(shown["0"], shown["1"]))


@pytest.mark.slow
def test_the_script_runs(tmp_path, pruning):
    picture = tmp_path / "pruning.png"
    done = subprocess.run([sys.executable, EXAMPLES / "pruning.py", "--quick", "--out", picture],
                          capture_output=True, text=True, check=True, timeout=300)
    rows = re.findall(r"^(pruned|merged) +([\d.]+)% +([\d,]+) +([\d.]+)% +([\d.]+)%$", done.stdout,
                      re.M)
    assert [row[0] for row in rows] == ["pruned"] * 6 + ["merged"] * 5
    left = [float(row[1]) / 100 for row in rows[:6]]
    assert left == pytest.approx([1 - share for share in pruning.PRUNE], abs=2e-3)
    work = [int(row[2].replace(",", "")) for row in rows]
    assert len(set(work[:6])) == 1 and work[0] > work[6] > work[-1], "merging saves work"
    assert picture.read_bytes().startswith(b"\x89PNG")
