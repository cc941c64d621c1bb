"""D0-SR, examples/super_resolution.py: the network, the interpolation and the two measures."""

import math
import re
import subprocess
import sys

import numpy as np
import pytest

import minidl
from examples import EXAMPLES, load_example
from minidl import data
from minidl import functional as F


@pytest.fixture(scope="module")
def script():
    return load_example("super_resolution")


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    original = rng.random((3, 1, 15, 15))
    return np.clip(original + rng.normal(0, 0.2, original.shape), 0, 1), original


def test_the_network_doubles_images_of_any_size(script):
    model = script.srresnet()
    assert sum(p.numpy().size for p in model.parameters()) == (
        (9 + 1) * 32 + (4 * 2 + 1) * (9 * 32 + 1) * 32 + (9 * 32 + 1) * 128 + (9 * 32 + 1))
    model = script.srresnet(width=4)
    for height, width in ((14, 14), (5, 9)):
        assert model(minidl.zeros(2, 1, height, width)).shape == (2, 1, 2 * height, 2 * width)


def test_the_skip_leads_around_the_blocks(script):
    model = script.srresnet(width=4, blocks=2)
    x = minidl.rand(1, 1, 6, 6)
    with minidl.no_grad():
        for p in model[2].function[-1].parameters():            # the body's last convolution
            p.zero_()
        first = F.relu(model[0](x))
        around = model[6](F.relu(F.pixel_shuffle(model[3](first), 2)))
        np.testing.assert_allclose(model(x).numpy(), around.numpy(), atol=1e-6)


def test_bicubic_equals_pillow(script):
    image = pytest.importorskip("PIL.Image")
    x = np.random.default_rng(1).random((14, 14)).astype(np.float32)
    theirs = image.fromarray(x).resize((28, 28), image.Resampling.BICUBIC)
    np.testing.assert_allclose(script.bicubic(x), np.clip(theirs, 0, 1), atol=1e-6)


def test_bicubic_keeps_straight_lines_and_stays_between_0_and_1(script):
    ramp = np.tile(np.arange(8) / 10, (8, 1))
    centre = (np.arange(16) + 0.5) / 2 - 0.5
    inside = slice(4, 12)                                       # two input pixels on each side
    np.testing.assert_allclose(script.bicubic(ramp)[inside, inside],
                               np.tile(centre[inside] / 10, (8, 1)), atol=1e-12)
    edge = np.repeat([0.0, 1.0], 4) * np.ones((8, 1))           # overshoots where it jumps
    assert script.bicubic(edge).min() == 0 and script.bicubic(edge).max() == 1


def test_psnr(script):
    original = np.full((2, 1, 4, 4), 0.5)
    y = original + np.array([0.1, 0.0]).reshape(2, 1, 1, 1)
    assert script.psnr(y, original).ravel().tolist() == [pytest.approx(20), math.inf]


def test_ssim_equals_the_formula_in_loops(script, pictures):
    y, original = (images[0, 0] for images in pictures)
    weight = [[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5**2)) for j in range(11)]
              for i in range(11)]
    total, places = sum(map(sum, weight)), []
    for top in range(5):
        for left in range(5):
            window = [(weight[i][j] / total, y[top + i, left + j], original[top + i, left + j])
                      for i in range(11) for j in range(11)]
            m1, m2 = sum(w * a for w, a, _ in window), sum(w * b for w, _, b in window)
            v1 = sum(w * (a - m1) ** 2 for w, a, _ in window)
            v2 = sum(w * (b - m2) ** 2 for w, _, b in window)
            covariance = sum(w * (a - m1) * (b - m2) for w, a, b in window)
            places.append((2 * m1 * m2 + 1e-4) * (2 * covariance + 9e-4)
                          / ((m1**2 + m2**2 + 1e-4) * (v1 + v2 + 9e-4)))
    assert script.ssim(*pictures)[0, 0] == pytest.approx(np.mean(places), abs=1e-12)
    np.testing.assert_allclose(script.ssim(original, original), 1)


def test_ssim_equals_scikit_image(script, pictures):
    theirs = pytest.importorskip("skimage.metrics").structural_similarity
    digits = data.mnist().test.images[:4] / 255
    for y, original in (pictures, (digits[:2], digits[2:])):
        ours = script.ssim(y, original)
        for i in range(len(y)):
            assert ours[i, 0] == pytest.approx(
                theirs(y[i, 0], original[i, 0], data_range=1, gaussian_weights=True, sigma=1.5,
                       use_sample_covariance=False), abs=1e-12)


@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_measures_refuse_images_that_do_not_fit(script, name):
    with pytest.raises(ValueError, match=rf"{name}: images must be .* got \(1, 28, 28\), \(28, 28"):
        getattr(script, name)(np.zeros((1, 28, 28)), np.zeros((28, 28)))


def test_images_of_the_wrong_size_are_refused(script):
    with pytest.raises(ValueError, match=r"ssim: .* n >= 11, .* got \(10, 10\)"):
        script.ssim(np.zeros((10, 10)), np.zeros((10, 10)))
    for shape in ((3, 4), (4,), (0, 0)):
        with pytest.raises(ValueError, match="bicubic: images must be"):
            script.bicubic(np.zeros(shape))


def test_training_learns_and_repeats(script):
    images = data.mnist().train.images[:320]
    original = images[:32] / np.float32(255)
    small = F.avg_pool2d(minidl.tensor(original), 2).numpy()
    made = []
    for _ in range(2):
        minidl.manual_seed(3)
        model = script.srresnet(width=4, blocks=1)
        before = script.psnr(script.enlarge(model, small), original).mean()
        script.train(model, images, epochs=1, seed=3)
        made.append(script.enlarge(model, small))
    assert script.psnr(made[0], original).mean() > before + 0.1
    assert made[0].tobytes() == made[1].tobytes()


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    picture = tmp_path / "digits.png"
    done = subprocess.run(
        [sys.executable, EXAMPLES / "super_resolution.py", "--quick", "--out", picture],
        capture_output=True, text=True, check=True, timeout=300)
    rows = re.findall(r"^(pixels repeated|bicubic|SRResNet) +([\d.]+) +([\d.]+)$",
                      done.stdout, re.M)
    assert [row[0] for row in rows] == ["pixels repeated", "bicubic", "SRResNet"]
    assert float(rows[1][1]) > float(rows[0][1]) and all(0 < float(row[2]) < 1 for row in rows)
    assert picture.read_bytes().startswith(b"\x89PNG")
