"""D2-MISSING: examples/missing_values.py."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from examples import EXAMPLES, load_example


@pytest.fixture(scope="module")
def script():
    return load_example("missing_values")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_damaged_has_the_share_that_was_asked_for(script, rng):
    known = script.damaged(2000, 0.7, rng, whole=0.25)
    whole = known.all(1)
    assert whole.mean() == pytest.approx(0.25, abs=0.04)
    assert known[~whole].mean() == pytest.approx(0.3, abs=0.005)
    assert not script.damaged(50, 0.7, rng).all(1).any()


@pytest.mark.parametrize("missing", [0, 1, -0.1, 1.5])
def test_a_share_out_of_range_is_an_error(script, rng, missing):
    with pytest.raises(ValueError, match=f"damaged: missing is {missing}, it must be between"):
        script.damaged(3, missing, rng)


def test_constants_are_those_of_the_known_values(script, rng):
    images, known = rng.integers(0, 4, (31, 12)) / 255, rng.random((31, 12)) < 0.6
    found = script.constants(images, known)
    for p in range(12):
        values = sorted(images[n, p] for n in range(31) if known[n, p])
        half = len(values) // 2
        assert found["mean"][p] == pytest.approx(sum(values) / len(values))
        assert found["median"][p] == pytest.approx((values[half] + values[-half - 1]) / 2)
        often = Counter(values)
        assert often[found["mode"][p]] == max(often.values())
        assert found["maximum"][p] == values[-1]


def test_a_pixel_that_is_never_known_is_an_error(script, rng):
    known = np.ones((3, 12), bool)
    known[:, 7] = False
    with pytest.raises(ValueError, match="constants: pixel 7 is missing in every picture"):
        script.constants(rng.random((3, 12)), known)


def by_hand(row, known):
    """The formula, pixel by pixel; a background of zeros at both ends."""
    row, known = [0, *row, 0], [True, *known, True]
    filled = []
    for p in range(1, len(row) - 1):
        a = next(a for a in range(p + 1) if known[p - a])
        b = next(b for b in range(len(row)) if known[p + b])
        filled.append((b * row[p - a] + a * row[p + b]) / (a + b) if a + b else row[p])
    return filled


def test_interpolated_is_the_formula_in_both_directions(script, rng):
    x, known = rng.random((2, 784)), rng.random((2, 784)) < 0.3
    x[~known] = 7                                  # what is missing must not be looked at
    y = script.interpolated(x, known).reshape(2, 28, 28)
    for picture, k, filled in zip(x.reshape(2, 28, 28), known.reshape(2, 28, 28), y):
        across = np.array([by_hand(*row) for row in zip(picture, k)])
        down = np.array([by_hand(*column) for column in zip(picture.T, k.T)]).T
        np.testing.assert_allclose(filled, (across + down) / 2, atol=1e-12)
    np.testing.assert_array_equal(y.reshape(2, 784)[known], x[known])


def test_regression_finds_the_minimum(script, rng):
    whole, x, known = rng.random((40, 9)), rng.random((3, 9)), rng.random((3, 9)) < 0.6
    hidden = np.where(known, x, 7)
    filled = script.regression(whole, 4)(hidden, known)
    centred = whole - whole.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    variances = sizes**2 / 39
    w, sigma2 = np.sqrt(variances[:4, None]) * directions[:4], variances[4:].mean()
    for n in range(3):
        k = known[n]                               # the penalty as four more equations, z = 0
        left = np.vstack([w[:, k].T, np.sqrt(sigma2) * np.eye(4)])
        right = np.concatenate([x[n, k] - whole.mean(0)[k], np.zeros(4)])
        z = np.linalg.lstsq(left, right, rcond=None)[0]
        expected = np.clip(whole.mean(0) + z @ w, 0, 1)
        np.testing.assert_allclose(filled[n, ~k], expected[~k], atol=1e-9)
        np.testing.assert_array_equal(filled[n, k], x[n, k])
    assert (hidden[~known] == 7).all()             # the input is left as it was


def test_regression_fills_pictures_of_few_directions(script, rng):
    """Pictures that are sums of three directions, all but exactly: a few pixels tell the rest."""
    basis = rng.random((3, 60)) / 6
    whole, x = rng.random((200, 3)) @ basis, rng.random((5, 3)) @ basis
    whole += rng.normal(0, 1e-6, whole.shape)
    known = rng.random(x.shape) < 0.3
    filled = script.regression(whole, 3)(np.where(known, x, 0), known)
    np.testing.assert_allclose(filled, x, atol=1e-3)


@pytest.mark.parametrize(("n", "count"), [(1, 1), (2, 1), (40, 9), (40, 10), (40, 0), (40, -1),
                                          (6, 5), (6, 6)])
def test_regression_needs_pixels_and_whole_pictures(script, rng, n, count):
    """More than the directions: what is left of the variance is the noise."""
    with pytest.raises(ValueError, match=rf"regression: count is {count}, .* got pictures \({n},"):
        script.regression(rng.random((n, 9)), count)


@pytest.mark.parametrize(("n", "count"), [(3, 1), (40, 8), (6, 4)])
def test_regression_of_as_many_directions_as_can_be(script, rng, n, count):
    x, known = rng.random((3, 9)), rng.random((3, 9)) < 0.6
    filled = script.regression(rng.random((n, 9)), count)(x, known)
    assert np.isfinite(filled).all()


def test_every_way_keeps_what_is_known_and_looks_at_nothing_else(script, rng):
    images, known = rng.random((80, 784)), script.damaged(80, 0.5, rng, whole=0.8)
    fills = script.fillers(images, known)
    assert list(fills) == ["nothing missing", "deletion", "mean", "median", "mode", "maximum",
                           "interpolation", "regression"]
    x, k = images[:4], script.damaged(4, 0.5, rng)
    for name, fill in list(fills.items())[1:]:
        assert np.isfinite(fill(x, k)).all(), name
        np.testing.assert_array_equal(fill(x, k)[k], x[k], err_msg=name)
        np.testing.assert_array_equal(fill(x, k), fill(np.where(k, x, 0.3), k), err_msg=name)
    assert (fills["deletion"](x, k)[~k] == 0).all()


@pytest.mark.parametrize("share", ["0", "1", "1.5", "nan"])
def test_a_wrong_share_is_refused_before_the_others_are_trained(script, share, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["missing_values.py", "--quick", "--missing", "0.75", share])
    with pytest.raises(SystemExit):
        script.main()
    refused = f"--missing: {share}: a number above 0 and below 1 is needed"
    assert refused in capsys.readouterr().err


@pytest.mark.parametrize("asked, shares", [([], [0.75]), (["--missing", ".5", ".9"], [0.5, 0.9])])
def test_what_is_asked_for_goes_before_quick(script, monkeypatch, asked, shares):
    tried = []
    monkeypatch.setattr(sys, "argv", ["missing_values.py", "--quick", *asked])
    monkeypatch.setattr(script, "compare", lambda train, test, q, *_: tried.append(q) or [])
    monkeypatch.setattr(script, "draw", lambda *_: sys.exit())
    with pytest.raises(SystemExit):
        script.main()
    assert tried == shares


@pytest.mark.slow
def test_script_runs(tmp_path):
    out = tmp_path / "filled.png"
    command = [sys.executable, EXAMPLES / "missing_values.py", "--quick", "--out", out]
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    _, *lines, last = done.stdout.splitlines()
    assert last == f"picture: {out}"
    rows = {line[6:22].strip(): line[22:].split() for line in lines}
    rmse = {name: float(row[0]) for name, row in rows.items()}
    right = {name: float(row[1].rstrip("%")) for name, row in rows.items()}
    assert len(rows) == 8 and rmse["nothing missing"] == 0
    assert rmse["regression"] < rmse["interpolation"] < rmse["mean"] < rmse["maximum"]
    assert right["regression"] > right["mean"] > right["maximum"]
    assert out.read_bytes().startswith(b"\x89PNG")
