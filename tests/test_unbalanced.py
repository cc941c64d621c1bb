"""D2-BALANCE: examples/unbalanced.py."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import minidl
from examples import EXAMPLES, load_example
from minidl import data
from minidl import functional as F

LABELS = np.repeat(np.arange(10), [50, 40, 30, 20, 10, 9, 8, 7, 6, 5])


@pytest.fixture(scope="module")
def script():
    return load_example("unbalanced")


def tiny():
    images = np.random.default_rng(0).integers(0, 256, (len(LABELS), 1, 28, 28)).astype(np.uint8)
    return data.ArrayDataset(images, LABELS)


def test_thinned_keeps_one_in_so_many_of_the_rare(script):
    kept = script.thinned(LABELS, (0, 3), 7)
    by_hand = [i for c in range(10) for j, i in enumerate(np.flatnonzero(LABELS == c))
               if c not in (0, 3) or j % 7 == 0]
    assert kept.tolist() == by_hand
    assert script.counts(LABELS[kept]).tolist() == [8, 40, 30, 3, 10, 9, 8, 7, 6, 5]


def test_class_weights_make_every_class_count_as_much(script):
    weights = script.class_weights(LABELS)
    for c in range(10):
        assert weights[c] == pytest.approx(len(LABELS) / (10 * list(LABELS).count(c)))
        assert weights[LABELS][LABELS == c].sum() == pytest.approx(len(LABELS) / 10)
    assert weights[LABELS].mean() == pytest.approx(1)


@pytest.mark.parametrize("size", [5, 9, 50])
def test_resampled_classes_are_as_large(script, size):
    chosen = script.resampled(LABELS, size, np.random.default_rng(0))
    assert np.bincount(LABELS[chosen]).tolist() == [size] * 10
    for c, n in enumerate(np.bincount(LABELS)):
        if n >= size:                              # enough of them: none twice
            assert len(set(chosen[LABELS[chosen] == c])) == size


def test_the_weighted_loss_is_the_formula():
    rng = np.random.default_rng(0)
    z, y, w = rng.normal(size=(6, 10)), rng.integers(0, 10, 6), rng.uniform(0, 3, 10)
    top = bottom = 0.0
    for n in range(6):
        p = np.exp(z[n]) / sum(np.exp(z[n]))
        top, bottom = top - w[y[n]] * np.log(p[y[n]]), bottom + w[y[n]]
    loss = F.cross_entropy(minidl.tensor(z), minidl.tensor(y), weight=minidl.tensor(w))
    assert loss.item() == pytest.approx(top / bottom)


def test_training_sees_the_weights_and_repeats_from_its_seed(script):
    def weight(**options):
        model = script.train(tiny(), 2, **options)
        return next(iter(model.parameters())).numpy()

    np.testing.assert_array_equal(weight(), weight())
    np.testing.assert_array_equal(weight(), weight(weights=np.ones(10)))
    assert not np.array_equal(weight(), weight(seed=1))
    assert not np.array_equal(weight(), weight(weights=script.class_weights(LABELS)))


def test_a_class_of_weight_0_is_never_learnt(script):
    two = tiny()[LABELS < 2]
    model = script.train(two, 30, weights=[0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    assert (script.called(model, two.images) == 1).all()


def test_every_remedy_has_its_own_set_and_options(script):
    few, whole = tiny(), tiny()
    sizes = {name: len(dataset) for name, dataset, _ in
             script.remedies(few, whole, np.random.default_rng(0))}
    assert sizes["nothing done"] == sizes["class weights"] == sizes["turned, cropped"] == 185
    assert sizes["under-sampled"] == 10 * 5 and sizes["over-sampled"] == 10 * 50


@pytest.mark.parametrize("name", ["counts", "class_weights", "resampled"])
def test_a_class_without_example_is_an_error(script, name):
    rest = {"resampled": (5, np.random.default_rng(0))}.get(name, ())
    with pytest.raises(ValueError, match="class 3 has no example"):
        getattr(script, name)(LABELS[LABELS != 3], *rest)


@pytest.mark.parametrize("weights", [[1] * 9 + [-1], [1] * 9, [1] * 9 + [np.nan], 1.0])
def test_wrong_weights_are_an_error(script, weights):
    with pytest.raises(ValueError, match="train: weights are .* none of them negative"):
        script.train(tiny(), 1, weights=weights)


@pytest.mark.slow
def test_script_runs(tmp_path):
    out = tmp_path / "recall.png"
    command = [sys.executable, EXAMPLES / "unbalanced.py", "--quick", "--out", out]
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    head, titles, *rows = done.stdout.splitlines()
    n = np.array(head.split(":")[1].split(), int)
    assert n[[5, 8, 9]].max() * 30 < n[[0, 1, 2, 3, 4, 6, 7]].min()
    assert titles.split() == ["recall,", "%", *"0123456789", "all"]
    assert len(rows) == 8 and rows[0].startswith("nothing done")
    for row in rows:
        recalls = np.array(row[30:].split(), float)
        assert ((recalls >= 0) & (recalls <= 100)).all() and len(recalls) == 11
        assert recalls[:10].min() <= recalls[10] <= recalls[:10].max()
    nothing, under = (np.array(row[30:].split(), float) for row in rows[:2])
    assert under[[5, 8, 9]].mean() > nothing[[5, 8, 9]].mean() + 10
    assert out.read_bytes().startswith(b"\x89PNG")
