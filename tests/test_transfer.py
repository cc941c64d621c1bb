"""D3-TRANSFER, examples/transfer.py: the digits it takes, and that the frozen stays as it is."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from examples import EXAMPLES, load_example
from minidl import data, nn
from minidl.models import CNN


@pytest.fixture(scope="module")
def transfer():
    return load_example("transfer")


@pytest.fixture(scope="module")
def digits():
    return data.mnist().train[:400]


def test_only_takes_the_classes_and_numbers_them_from_zero(transfer, digits):
    taken = transfer.only(digits, [7, 2])
    expected = [(image, 0 if label == 7 else 1) for image, label in digits if label in (2, 7)]
    assert len(taken) == len(expected) and taken.classes == (7, 2)
    for (image, label), (true_image, true_label) in zip(taken, expected):
        assert label == true_label and np.array_equal(image, true_image)


def test_few_draws_so_many_of_every_class_without_repeating(transfer, digits):
    source = transfer.only(digits, transfer.SOURCE)
    drawn = transfer.few(source, 7, seed=1)
    assert np.bincount(drawn.labels).tolist() == [7] * 5
    assert len({image.tobytes() for image, _ in drawn}) == 35
    assert np.array_equal(drawn.images, transfer.few(source, 7, seed=1).images)
    assert not np.array_equal(drawn.images, transfer.few(source, 7, seed=2).images)


def test_few_wants_examples_of_every_class(transfer, digits):
    source = transfer.only(digits, transfer.SOURCE)
    for n in (0, 400):
        with pytest.raises(ValueError, match=f"few: n is {n}; of class 0 1 to"):
            transfer.few(source, n, 0)
    without_a_three = source[source.labels != 3]
    with pytest.raises(ValueError, match="n is 1; of class 3 1 to 0"):
        transfer.few(without_a_three, 1, 0)


def test_a_network_begins_with_all_but_the_last_layer(transfer):
    pretrained = CNN(classes=5)
    new = transfer.begun_from(pretrained)
    old = dict(pretrained.named_parameters())
    same = [name for name, p in new.named_parameters() if np.array_equal(p, old[name])]
    assert same == [name for name in old if not name.startswith("11.")] and len(same) == 8


def test_training_what_is_not_frozen_is_training_a_head_on_fixed_features(transfer, digits):
    """Frozen convolutions are one fixed function: the dense layers on its values, computed once,
    learn the same. The frozen bytes stay; unfrozen, they move."""
    examples = transfer.few(transfer.only(digits, transfer.TARGET), 12, seed=0)
    model = transfer.begun_from(CNN(classes=5))
    frozen = transfer.freeze_convolutions(model)
    kinds = [p.ndim for p in frozen]
    assert kinds == [4, 1, 4, 1, 4, 1] and not any(p.requires_grad for p in frozen)

    layers = list(model)
    features = nn.Sequential(*layers[:9])
    head = nn.Sequential(nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 5))
    for mine, theirs in zip(head, layers[9:]):
        mine.load_state_dict(theirs.state_dict())
    (images,), = data.DataLoader((examples.images,), 60)
    fixed = data.TensorDataset(features(images).numpy(), examples.labels)

    transfer.train(model, examples, 5, 1e-3, seed=3)
    transfer.train(head, fixed, 5, 1e-3, seed=3)
    for mine, theirs in zip(head, layers[9:]):
        for a, b in zip(mine.parameters(), theirs.parameters()):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)
    assert all(p.numpy().tobytes() == before and p.grad is None for p, before in frozen.items())

    model.requires_grad_(True)
    transfer.train(model, examples, 1, 1e-3, seed=4)
    assert all(p.numpy().tobytes() != before for p, before in frozen.items())


def test_there_must_be_something_to_freeze(transfer):
    with pytest.raises(ValueError, match="model is a Sequential without Conv2d"):
        transfer.freeze_convolutions(nn.Sequential(nn.Flatten(), nn.Linear(784, 5)))


def test_compare_notices_a_frozen_weight_that_changed(transfer, digits, monkeypatch):
    examples = transfer.few(transfer.only(digits, transfer.TARGET), 2, seed=0)

    def meddling(model, *rest):
        next(model.parameters()).data[0, 0, 0, 0] += 1e-6

    monkeypatch.setattr(transfer, "train", meddling)
    with pytest.raises(RuntimeError, match="changed a frozen weight"):
        transfer.compare(CNN(classes=5), examples, examples, 1, 0)


def test_the_picture_names_its_ticks_only(transfer):
    found = {name: 0.5 for name in transfer.COLORS}
    figure = transfer.draw({5: [found], 10: [found]})
    figure.draw_without_rendering()
    axes, = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["5", "10"]
    assert not any(label.get_text() for label in axes.get_xticklabels(minor=True))


def test_a_picture_that_cannot_be_written_is_refused_at_once(transfer, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["transfer.py", "--out", "no_such_folder/t.png"])
    with pytest.raises(SystemExit):
        transfer.main()
    assert "there is no folder no_such_folder" in capsys.readouterr().err


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    picture = tmp_path / "transfer.png"
    done = subprocess.run([sys.executable, EXAMPLES / "transfer.py", "--quick", "--out", picture],
                          capture_output=True, text=True, check=True, timeout=300)
    assert "every bit as before" in done.stdout
    rows = re.findall(r"^ +(\d+), mean   +([\d.]+)%   +([\d.]+)%   +([\d.]+)%$", done.stdout, re.M)
    assert [row[0] for row in rows] == ["5", "10"]
    assert all(40 < float(value) <= 100 for row in rows for value in row[1:])
    assert picture.read_bytes().startswith(b"\x89PNG")
