"""D2-BALANCE: examples/unbalanced.py."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import minidl
from examples import EXAMPLES, load_example
from minidl import data, nn
from minidl import functional as F
from minidl.training import predict

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


def test_a_class_of_hardly_any_weight_is_never_learnt(script):
    two = tiny()[LABELS < 2]
    model = script.train(two, 30, weights=[1e-6, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    assert (predict(model, two.images).argmax(1) == 1).all()


def test_mean_recall_is_the_mean_of_one_network_for_each_seed(script, monkeypatch):
    def always(dataset, steps, seed, **options):
        """A network that calls everything by its seed."""
        assert (len(dataset), steps, options) == (185, 7, {"augment": None})
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        model.load_state_dict({"1.weight": np.zeros((10, 784), np.float32),
                               "1.bias": np.eye(10, dtype=np.float32)[seed]})
        return model

    monkeypatch.setattr(script, "train", always)
    recall = script.mean_recall(tiny(), tiny()[::2], 7, [3, 4, 4, 6], augment=None)
    assert recall.tolist() == [0, 0, 0, 25, 50, 0, 25, 0, 0, 0]


def test_every_remedy_has_its_own_set_and_options(script):
    few, whole = tiny(), tiny()[np.repeat(np.arange(185), 2)]
    rows = script.remedies(few, whole, np.random.default_rng(0))
    assert {name: len(dataset) for name, dataset, _ in rows} == {
        "nothing done": 185, "under-sampled": 10 * 5, "over-sampled": 10 * 50,
        "class weights": 185, "turned, cropped": 185, "over-sampled, turned, cropped": 10 * 50,
        "the same, and flipped": 10 * 50, "no class is rare": 2 * 185}
    options = {name: told for name, _, told in rows}
    augmented = ["turned, cropped", "over-sampled, turned, cropped", "the same, and flipped"]
    assert [name for name, told in options.items() if list(told) == ["augment"]] == augmented
    assert [name for name, told in options.items() if list(told) == ["weights"]] == [
        "class weights"]
    assert sum(map(len, options.values())) == 4            # the others are told nothing
    np.testing.assert_allclose(options["class weights"]["weights"], script.class_weights(LABELS))

    left = np.zeros((60, 1, 28, 28), np.uint8)             # ink in the left half alone
    left[:, :, 8:20, 4:10] = 255
    for name in augmented:
        images = options[name]["augment"](left, np.random.default_rng(0))
        assert len(np.unique(images, axis=0)) > 50, name   # each is turned and cropped anew
        flipped = np.sum(images[..., 14:].sum((1, 2, 3)) > images[..., :14].sum((1, 2, 3)))
        assert 15 < flipped < 45 if name == "the same, and flipped" else flipped == 0, name


@pytest.mark.parametrize("name", ["counts", "class_weights", "resampled"])
def test_a_class_without_example_is_an_error(script, name):
    rest = {"resampled": (5, np.random.default_rng(0))}.get(name, ())
    with pytest.raises(ValueError, match="class 3 has no example"):
        getattr(script, name)(LABELS[LABELS != 3], *rest)


@pytest.mark.parametrize("weights", [[1] * 9 + [-1], [1] * 9 + [0], [1] * 9,
                                     [1] * 9 + [np.nan], 1.0])
def test_wrong_weights_are_an_error(script, weights):
    with pytest.raises(ValueError, match="train: weights are .* all of them above 0"):
        script.train(tiny(), 1, weights=weights)


@pytest.mark.parametrize("option", ["--steps", "--runs"])
def test_no_steps_and_no_runs_are_refused(script, option, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["unbalanced.py", "--quick", option, "0"])
    with pytest.raises(SystemExit):
        script.main()
    assert f"{option}: 0 is too small, at least 1 is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "asked, steps_runs", [("", "25 1"), ("--runs 2", "25 2"), ("--steps 7", "7 1")]
)  # fmt: skip
def test_what_is_asked_for_goes_before_quick(script, monkeypatch, asked, steps_runs):
    monkeypatch.setattr(sys, "argv", ["unbalanced.py", "--quick", *asked.split()])
    monkeypatch.setattr(script, "mean_recall",
                        lambda *given, **_: sys.exit(f"{given[2]} {len(given[3])}"))
    with pytest.raises(SystemExit, match=f"^{steps_runs}$"):
        script.main()


@pytest.mark.slow
def test_script_runs(tmp_path):
    out = tmp_path / "recall.png"
    command = [sys.executable, EXAMPLES / "unbalanced.py", "--quick", "--out", out]
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    head, titles, *rows, last = done.stdout.splitlines()
    assert last == f"picture: {out}"
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
