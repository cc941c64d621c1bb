"""D3-INTERP, examples/latent_space.py: walks, principal components, the linear classifier."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from examples import EXAMPLES, load_example
from minidl import data


@pytest.fixture(scope="module")
def latent_space():
    return load_example("latent_space")


def test_a_walk_is_the_line_between_its_ends(latent_space):
    rng = np.random.default_rng(0)
    for shape in [(20,), (1, 4, 5)]:
        a, b = rng.normal(size=(2, *shape)).astype(np.float32)
        points = latent_space.walk(a, b, 5)
        assert points.dtype == np.float32 and points.shape == (5, *shape)
        assert np.array_equal(points[0], a) and np.array_equal(points[-1], b)
        for k in range(5):
            for x, y, z in zip(a.ravel(), b.ravel(), points[k].ravel()):
                assert z == pytest.approx((1 - k / 4) * x + k / 4 * y, abs=1e-6)


@pytest.mark.parametrize("a, b, steps", [(3, 4, 5), (3, 3, 1)])
def test_a_walk_wants_ends_of_one_shape_and_two_steps(latent_space, a, b, steps):
    with pytest.raises(ValueError, match=rf"walk: a is \({a},\), b \({b},\), steps {steps}"):
        latent_space.walk(np.zeros(a), np.zeros(b), steps)


def test_the_first_example_of_a_digit(latent_space):
    test = data.mnist().test
    for digit in (0, 7):
        i = latent_space.first(test, digit)
        assert test.labels[i] == digit and digit not in test.labels[:i]
    with pytest.raises(ValueError, match="digit is 11"):
        latent_space.first(test, 11)


def test_principal_components_are_the_singular_vectors_of_the_centred_rows(latent_space):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6)) * [9, 1, 5, 2, 3, 7] @ rng.normal(size=(6, 6))
    found = latent_space.principal_components(x, 3)
    directions = np.linalg.svd(x - x.mean(0))[2][:3].T
    np.testing.assert_allclose(abs(found.T @ directions), np.eye(3), atol=1e-9)
    for n in (0, 7):
        with pytest.raises(ValueError, match=f"n is {n}, it must be 1 to 6"):
            latent_space.principal_components(x, n)


def test_the_linear_classifier_separates_what_a_line_separates(latent_space):
    """Ten far-off clouds on a circle; neither the scale nor the place of the rows matters."""
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 10
    angle = 2 * np.pi * labels / 10
    v = np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 0.03, (600, 2))
    found = [latent_space.linear_accuracy(rows[:400], labels[:400], rows[400:], labels[400:], 150,
                                          seed=0) for rows in (v, 1000 * v + 50)]
    assert min(found) > 0.98
    shuffled = rng.permutation(labels[:400])
    assert latent_space.linear_accuracy(v[:400], shuffled, v[400:], labels[400:], 20, seed=0) < 0.5


def test_the_linear_classifier_shuffles_by_its_seed(latent_space, monkeypatch):
    shown = []
    monkeypatch.setattr(latent_space.ClassifierSteps, "step",
                        lambda self, rows, truth: shown.append(truth.numpy().tolist()))
    rng = np.random.default_rng(0)
    v, labels = rng.normal(size=(200, 2)), np.arange(200) % 10
    for seed in (0, 0, 1):
        latent_space.linear_accuracy(v, labels, v, labels, 1, seed)
    orders = shown[0::2]                                     # the first step of each call
    assert len(shown) == 6 and orders[0] == orders[1] != orders[2]
    assert shown[0] != shown[1], "the second rate sees another order"


def test_training_lowers_the_negative_elbo_from_one_seed_alike(latent_space, capsys):
    import minidl
    digits, told = data.mnist().train[:128], []
    for _ in range(2):
        minidl.manual_seed(3)
        vae = latent_space.train_vae(digits, latent=5, seed=3)
        told.append(capsys.readouterr().out)
    assert vae.latent == 5
    (loss, kl), = re.findall(r"step 2/2: -ELBO ([\d.]+) nats, of it KL ([\d.]+)", told[0])
    assert float(kl) < float(loss) < 540, "a fresh network says about 784 ln 2 = 543 nats"
    assert told[0] == told[1]


@pytest.mark.parametrize("latent, reason", [("0", "at least 1 is needed"), ("785", "784 pixels"),
                                            ("many", "is no whole number")])
def test_a_code_has_one_to_784_numbers(latent_space, monkeypatch, capsys, latent, reason):
    monkeypatch.setattr(latent_space, "train_vae", lambda *rest: pytest.fail("it has trained"))
    monkeypatch.setattr(sys, "argv", ["latent_space.py", "--quick", "--latent", latent])
    with pytest.raises(SystemExit):
        latent_space.main()
    said = capsys.readouterr().err
    assert "--latent" in said and reason in said


def test_the_picture_names_its_ticks_only(latent_space):
    found = {name: 0.5 for name in latent_space.COLORS}
    pictures = np.zeros((9, 1, 28, 28))
    figure = latent_space.draw(pictures, [pictures] * len(latent_space.WALKS), pictures,
                               {100: found, 320: found})
    figure.draw_without_rendering()
    right = figure.axes[1]
    assert [label.get_text() for label in right.get_xticklabels()] == ["100", "320"]
    assert not any(label.get_text() for label in right.get_xticklabels(minor=True))


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    picture = tmp_path / "latent_space.png"
    done = subprocess.run([sys.executable, EXAMPLES / "latent_space.py", "--quick", "--out",
                           picture], capture_output=True, text=True, check=True, timeout=300)
    rows = re.findall(r"^ +(\d+) +([\d.]+)% +([\d.]+)% +([\d.]+)%$", done.stdout, re.M)
    assert [row[0] for row in rows] == ["100", "320"]
    assert all(30 < float(value) <= 100 for row in rows for value in row[1:])
    assert picture.read_bytes().startswith(b"\x89PNG")
