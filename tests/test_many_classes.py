"""D2-MULTI: examples/many_classes.py."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import minidl
from examples import EXAMPLES, load_example
from minidl import nn


@pytest.fixture(scope="module")
def script():
    return load_example("many_classes")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_codes(script):
    assert script.ONE_VS_ALL.shape == (10, 10) and script.ONE_VS_ONE.shape == (10, 45)
    for k in range(10):
        assert script.ONE_VS_ALL[:, k].tolist() == [1 if c == k else -1 for c in range(10)]
    pairs = set()
    for column in script.ONE_VS_ONE.T:
        assert sorted(column) == [-1] + 8 * [0] + [1]
        pairs.add((column.argmax(), column.argmin()))
    assert pairs == {(a, b) for a in range(10) for b in range(a + 1, 10)}


@pytest.mark.parametrize("code", ["ONE_VS_ALL", "ONE_VS_ONE"])
def test_loss_is_the_formula_and_teaches_no_model_what_is_not_its_own(script, rng, code):
    m = getattr(script, code)
    z, y = rng.normal(size=(7, m.shape[1])), rng.integers(0, 10, 7)
    top = bottom = 0.0
    for n in range(7):
        for k in range(m.shape[1]):
            sign = float(m[y[n], k])
            top += abs(sign) * np.log(1 + np.exp(-sign * z[n, k]))
            bottom += abs(sign)
    logits = minidl.tensor(z, requires_grad=True)
    loss = script.code_loss(logits, minidl.tensor(y), m)
    assert loss.item() == pytest.approx(top / bottom)
    loss.backward()
    gradient = logits.grad.numpy()
    assert ((gradient != 0) == (m[y] != 0)).all()
    assert (np.sign(gradient) == -m[y]).all()              # z moves to the side of its class


def test_votes_are_counted_model_by_model(script, rng):
    m, z = script.ONE_VS_ONE, rng.normal(size=(5, 45))
    counted = np.zeros((5, 10))
    for n in range(5):
        for k, (a, b) in enumerate(script.PAIRS):
            counted[n, a if z[n, k] > 0 else b] += 1
    votes = script.votes(z, m)
    np.testing.assert_array_equal(np.floor(votes), counted)
    assert np.floor(votes).sum() == 5 * 45


def test_equal_votes_go_to_the_surer(script):
    m = np.array([[1, 1, 0], [-1, 0, 1], [0, -1, -1]])     # 0 beats 1, 1 beats 2, 2 beats 0
    votes = script.votes(np.array([[2.0, -0.1, 0.5]]), m)
    assert np.floor(votes).tolist() == [[1, 1, 1]] and votes.argmax() == 0
    p = lambda z: 1 / (1 + np.exp(-z))
    sure = [p(2) + p(-0.1), p(-2) + p(0.5), p(0.1) + p(-0.5)]
    np.testing.assert_allclose(votes[0] - 1, 0.999 * np.array(sure) / 2)


def test_votes_of_models_that_are_sure_beyond_what_exp_can_hold(script):
    z = np.full((2, 45), [[1000], [-1000]], np.float32)
    with np.errstate(over="raise"):
        votes = script.votes(z, script.ONE_VS_ONE)
    up = np.arange(10)[::-1]                               # at z > 0, a < b: class 0 wins all nine
    np.testing.assert_allclose(votes, [up + 0.999 * up / 9, up[::-1] + 0.999 * up[::-1] / 9],
                               atol=1e-6)


def test_confusions_by_hand(script):
    """Three examples: the model of 2 and 5 is wrong about one of the two 2, right about the 5."""
    labels, z = np.array([2, 2, 5]), np.zeros((3, 45))
    for n, c in enumerate(labels):
        z[n] = script.ONE_VS_ONE[c]                        # all that know the class say it
    k = script.PAIRS.index((2, 5))
    z[1, k] = -1
    expected = np.zeros((10, 10))
    expected[2, 5] = 50
    assert script.confusions(z, labels).tolist() == expected.tolist()
    z[:, k] = -1, 1, 1                                     # and now about the 5 too
    expected[5, 2] = 100
    assert script.confusions(z, labels).tolist() == expected.tolist()


def test_two_digits_are_both_in_the_picture(script, rng):
    images = np.zeros((3, 28, 28), np.uint8)
    for c, value in enumerate((50, 100, 200)):
        images[c, 10:14, 10:14] = value                    # far enough apart never to meet
    pictures, many = script.two_digits(images, np.array([4, 7, 9]), 40, rng)
    assert pictures.shape == (40, 1, 32, 48) and pictures.dtype == np.uint8
    assert (many.sum(1) == 2).all() and set(many.ravel()) == {0, 1, 2}
    for picture, count in zip(pictures, many):
        ink = [np.sum(picture == value) / 16 for value in (50, 100, 200)]
        assert ink == count[[4, 7, 9]].tolist() and count[[4, 7, 9]].sum() == 2
        columns = np.flatnonzero(picture.any((0, 1)))
        assert columns.min() < 18 and columns.max() >= 26  # one on the left, one on the right


def test_digits_that_touch_keep_the_brighter_pixel(script, rng):
    full = np.full((1, 28, 28), 9, np.uint8)
    pictures, _ = script.two_digits(full, np.array([0]), 20, rng)
    assert set(np.unique(pictures)) == {0, 9}              # no sum


def test_pictures_of_the_wrong_size_are_an_error(script, rng):
    with pytest.raises(ValueError, match=r"images must be \(N, 28, 28\), got \(3, 1, 28, 28\)"):
        script.two_digits(np.zeros((3, 1, 28, 28)), np.zeros(3, int), 2, rng)


def test_network_takes_two_digits(script):
    assert script.network()(minidl.zeros(2, 1, 32, 48)).shape == (2, 10)


@pytest.mark.parametrize("code", ["ONE_VS_ALL", "ONE_VS_ONE"])
def test_yes_and_no_are_enough_to_learn_ten_classes(script, rng, code):
    m = getattr(script, code)
    centres = 3 * rng.normal(size=(10, 5))
    y = np.arange(300) % 10
    x = (centres[y] + 0.1 * rng.normal(size=(300, 5))).astype(np.float32)
    model = nn.Sequential(nn.Linear(5, 64), nn.Tanh(), nn.Linear(64, m.shape[1]))
    z = script.learned("x", model, lambda z, y: script.code_loss(z, y, m), (x, y), x, 200)
    score = z if code == "ONE_VS_ALL" else script.votes(z, m)
    assert (score.argmax(1) == y).mean() > 0.95


def test_the_picture_says_what_was_called(script):
    there = np.zeros((12, 10), bool)
    there[1, [3, 7]] = True
    count = np.zeros((12, 10), np.float32)
    count[1, 2], count[2, 2] = 2, -1
    wrong = np.full((10, 10), 2.0)
    wrong[4, 9] = 9
    figure = script.draw(wrong, np.zeros((12, 1, 32, 48)), there, count)
    cells, *pictures = figure.axes
    assert [axes.get_xlabel() for axes in pictures[:3]] == [
        "which: none\nhow many: none", "which: 3 7\nhow many: 2 2", "which: none\nhow many: none"]
    colors = {text.get_text(): text.get_color() for text in cells.texts}
    assert colors["9.0"] == "white" and colors["2.0"] == "black"


@pytest.mark.slow
def test_script_runs(tmp_path):
    out = tmp_path / "classes.png"
    command = [sys.executable, EXAMPLES / "many_classes.py", "--quick", "--out", out]
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["softmax", "one-vs-all", "one-vs-one"]
    assert all(float(line.split()[1].rstrip("%")) > 50 for line in lines[:3])
    assert lines[3].startswith("one-vs-all: no yes for")
    assert [line[:14].strip() for line in lines[4:6]] == ["which digits?", "how many?"]
    assert lines[6:] == [f"picture: {out}"]
    assert out.read_bytes().startswith(b"\x89PNG")
