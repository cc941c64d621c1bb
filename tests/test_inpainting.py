"""D0-INPAINT, examples/inpainting.py: the damages, the plain repairs and the network."""

import re
import subprocess
import sys

import numpy as np
import pytest

import minidl
from examples import EXAMPLES, load_example
from minidl import data


@pytest.fixture(scope="module")
def script():
    return load_example("inpainting")


@pytest.fixture
def digits():
    return data.mnist().test.images[:300] / np.float32(255)


def test_a_square_is_missing_somewhere_in_the_middle(script, digits):
    damaged, known = script.damage(digits, 0, 12, np.random.default_rng(0))
    assert damaged.dtype == known.dtype == np.float32
    np.testing.assert_array_equal(damaged, digits * known)
    corners = set()
    for mask in known[:, 0]:
        rows, columns = np.nonzero(mask == 0)
        top, left = rows.min(), columns.min()
        assert len(rows) == 144 and rows.max() == top + 11 and columns.max() == left + 11
        corners.add((top, left))
    assert {top for top, _ in corners} == {left for _, left in corners} == set(range(4, 13))


def test_noise_is_normal_and_of_each_digits_own_strength(script, digits):
    noise = np.where(np.arange(300) < 150, 0.1, 0.5)
    damaged, known = script.damage(digits, noise, 0, np.random.default_rng(0))
    assert known.min() == 1
    error = (damaged - digits).reshape(2, -1)
    np.testing.assert_allclose(error.std(1), [0.1, 0.5], rtol=0.01)
    np.testing.assert_allclose(error.mean(1), 0, atol=0.005)
    assert (np.abs(error[1]) < 0.5).mean() == pytest.approx(0.683, abs=0.005)


def test_each_digit_may_have_a_square_of_its_own_side(script, digits):
    side = np.arange(300) % 21
    _, known = script.damage(digits, 0, side, np.random.default_rng(0))
    np.testing.assert_array_equal((known == 0).sum((1, 2, 3)), side**2)


@pytest.mark.parametrize("noise, side, told", [
    (-0.1, 5, "noise -0.1 ... -0.1"), (0, -1, "side -1 ... -1"), (0, 21, "side 21 ... 21"),
    ([0.0, -1.0], [0, 5], "noise -1.0 ... 0.0"), (np.nan, 5, "noise nan"),
    ([0.1, np.nan], 5, "noise nan"), (np.inf, 5, "noise inf"), (0, np.nan, "side nan"),
])
def test_damages_that_there_are_not(script, noise, side, told):
    rule = "damage: noise must be finite and at least 0, side in 0 ... 20 for"
    with pytest.raises(ValueError, match=f"{rule}.*{told}"):
        script.damage(np.zeros((2, 1, 28, 28), np.float32), noise, side, np.random.default_rng(0))


def test_filling_with_the_mean_of_what_is_known(script):
    x = np.array([[[[1.0, 2.0], [0.0, 6.0]]], [[[4.0, 0.0], [0.0, 2.0]]]])
    known = np.array([[[[1, 1], [0, 1]]], [[[1, 0], [0, 1]]]])
    np.testing.assert_array_equal(
        script.known_mean(x, known), [[[[1, 2], [3, 6]]], [[[4, 3], [3, 2]]]])


def test_an_image_without_a_known_pixel_has_no_mean(script):
    known = np.ones((2, 1, 2, 2))
    known[1] = 0
    with pytest.raises(ValueError, match="known_mean: an image has no known pixel"):
        script.known_mean(np.zeros((2, 1, 2, 2)), known)


def test_no_pixels_have_no_error(script):
    with pytest.raises(ValueError, match="rmse: `where` chooses no pixel"):
        script.rmse(np.zeros(3), np.ones(3), np.zeros(3))


def test_rmse_is_of_the_chosen_pixels(script):
    assert script.rmse(np.array([1.0, 5.0, 9.0]), np.array([1.0, 2.0, 5.0]),
                       np.array([0, 1, 1])) == pytest.approx(np.sqrt((9 + 16) / 2))


def test_the_network_sees_the_whole_digit_and_keeps_its_size(script):
    model = script.network(width=4)
    x = minidl.rand(1, 2, 28, 28, requires_grad=True)
    y = model(x)
    assert y.shape == (1, 1, 28, 28)
    y[0, 0, 14, 14].backward()
    reached = np.abs(x.grad.numpy()[0]).max(0) > 0
    assert reached[4:24, 4:24].mean() > 0.99, "where the digit is"


def test_a_picture_that_does_not_halve_twice_is_refused(script):
    with pytest.raises(ValueError, match="Residual: x has shape"):
        script.network(width=4)(minidl.zeros(1, 2, 30, 30))


def test_training_learns_and_repeats(script, digits):
    images = data.mnist().train.images[:320]
    damaged, known = script.damage(digits, 0.4, 12, np.random.default_rng(0))
    everywhere, made = np.ones_like(known), []
    for _ in range(2):
        minidl.manual_seed(3)
        model = script.network(width=4)
        script.train(model, images, epochs=1, seed=3)
        made.append(script.repair(model, damaged, known))
    assert made[0].tobytes() == made[1].tobytes()
    assert made[0].min() >= 0 and made[0].max() <= 1
    assert script.rmse(made[0], digits, everywhere) < 0.9 * script.rmse(damaged, digits, everywhere)


def test_the_columns_are_the_plain_repairs_and_the_network(script, digits):
    minidl.manual_seed(0)
    model, mean_digit = script.network(width=4), digits.mean(0)
    damaged, known = script.damage(digits[:2], 0.4, 12, np.random.default_rng(0))
    made = script.repairs(model, damaged, known, mean_digit)
    assert [*made] == ["damaged", "known mean", "mean digit", "3x3 mean", "network"]
    assert made["damaged"] is damaged
    np.testing.assert_array_equal(made["known mean"], script.known_mean(damaged, known))
    filled = known * damaged + (1 - known) * mean_digit
    np.testing.assert_array_equal(made["mean digit"], filled)
    np.testing.assert_allclose(made["3x3 mean"][1, 0, 9, 9], filled[1, 0, 8:11, 8:11].mean(),
                               rtol=1e-5)
    np.testing.assert_array_equal(made["network"], script.repair(model, damaged, known))


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    picture = tmp_path / "digits.png"
    done = subprocess.run([sys.executable, EXAMPLES / "inpainting.py", "--quick", "--out", picture],
                          capture_output=True, text=True, check=True, timeout=300)
    rows = re.findall(r"^(noise|square|both)((?: +[\d.]+){5})$", done.stdout, re.M)
    assert [row[0] for row in rows] == ["noise", "square", "both"]
    for _, numbers in rows:
        damaged, *_, network = map(float, numbers.split())
        assert network < damaged
    assert picture.read_bytes().startswith(b"\x89PNG")
