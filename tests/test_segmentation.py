"""D2-SEG, examples/segmentation.py: the scenes, the U-Net and the measure."""

import re
import subprocess
import sys

import numpy as np
import pytest

import minidl
from examples import EXAMPLES, load_example
from minidl import data, nn
from minidl import functional as F


@pytest.fixture(scope="module")
def script():
    return load_example("segmentation")


def blocks(labels):
    """Digits that are white all over, but for a grey pixel (0.4) in a corner."""
    images = np.full((len(labels), 1, 28, 28), 255, np.uint8)
    images[:, :, 0, 0] = 102
    return data.ArrayDataset(images, labels)


def test_scenes_are_digits_and_their_classes(script):
    images, target = script.scenes(data.mnist().train, 200, np.random.default_rng(0))
    assert images.shape == (200, 1, 56, 56) and images.dtype == np.float32
    assert target.shape == (200, 56, 56) and target.dtype == np.int64
    assert images.min() == 0 and images.max() == 1
    np.testing.assert_array_equal(images[:, 0] >= 0.5, target > 0)
    assert set(np.unique(target)) == set(range(11))


def test_up_to_four_digits_each_in_its_quarter(script):
    images, target = script.scenes(blocks([7]), 500, np.random.default_rng(0))
    assert set(np.unique(target)) == {0, 8}
    for y in (2, 53):                       # near a corner: 0.8, and three of nine moves each way
        for x in (2, 53):
            assert target[:, y, x].astype(bool).mean() == pytest.approx(0.8 / 9, abs=0.04)
    four = target.astype(bool)[:, [14, 14, 41, 41], [14, 41, 14, 41]]       # inside, however moved
    assert four.mean() == pytest.approx(0.8, abs=0.03)
    assert set(four.sum(1)) >= {1, 2, 3, 4}
    assert (images[:, 0] == np.float32(102 / 255)).sum((1, 2)).max() <= 4


def test_the_later_digit_is_above(script):
    _, target = script.scenes(blocks([0, 1, 2, 3, 4]), 300, np.random.default_rng(0))
    last = target[:, 41, 41]
    inside = target[last > 0, 29:48, 29:48]                     # the last digit's, however moved
    np.testing.assert_array_equal(inside, np.broadcast_to(last[last > 0, None, None], inside.shape))
    assert target[last == 0, 29:36, 29:36].any((1, 2)).mean() > 0.2, "others reach into it"


@pytest.mark.parametrize("shape", [(3, 1, 60, 60), (3, 3, 28, 28), (3, 1, 28, 20)])
def test_digits_of_the_wrong_size_are_refused(script, shape):
    digits = data.ArrayDataset(np.zeros(shape, np.uint8), np.zeros(3, int))
    with pytest.raises(ValueError, match=r"scenes: digits must be \(N, 1, 28, 28\), got \(3"):
        script.scenes(digits, 2, np.random.default_rng(0))


def test_a_unet_of_three_levels_is_what_it_is_made_of(script):
    model = script.unet(2, 3, 4).eval()
    top, last = model
    middle, x = top.below, minidl.rand(2, 1, 8, 12)
    pool = nn.MaxPool2d(2)
    a = top.down(x)
    b = middle.down(pool(a))
    c = middle.below.down(pool(b))
    b = middle.up(minidl.cat([b, middle.double(c)], 1))
    a = top.up(minidl.cat([a, top.double(b)], 1))
    np.testing.assert_allclose(model(x).numpy(), last(a).numpy(), atol=1e-6)
    assert model(x).shape == (2, 11, 8, 12)


def test_a_pixel_of_the_result_depends_on_a_whole_digit(script):
    x = minidl.rand(1, 1, 56, 56, requires_grad=True)
    model = script.unet(4, 4, 4, 4).eval()
    with minidl.no_grad():
        for p in model.parameters():
            p.copy_(np.abs(p.numpy()) + 0.1)                    # no relu is dead
    model(x)[0, :, 28, 28].sum().backward()
    assert (x.grad.numpy()[0, 0, 8:48, 8:48] > 0).mean() > 0.3  # max pooling passes one in four
    rows, columns = x.grad.numpy()[0, 0].nonzero()
    assert min(rows.min(), columns.min()) < 14 and max(rows.max(), columns.max()) >= 42


def test_a_picture_that_does_not_halve_is_refused(script):
    with pytest.raises(ValueError, match="cat"):
        script.unet(2, 3)(minidl.zeros(1, 1, 7, 7))


def test_iou_equals_the_formula(script):
    rng = np.random.default_rng(0)
    target, called = rng.integers(0, 10, (2, 3, 6, 6))          # class 10 is nowhere
    ours = script.iou(target, called)
    for c in range(10):
        true, said = ({i for i, value in enumerate(a.ravel()) if value == c}
                      for a in (target, called))
        assert ours[c] == len(true & said) / len(true | said)
    assert np.isnan(ours[10])
    assert np.nanmean(script.iou(target, target)) == 1


def test_iou_refuses_what_does_not_fit(script):
    with pytest.raises(ValueError, match="confusion_matrix: true and predicted"):
        script.iou(np.zeros((2, 4), int), np.zeros((2, 5), int))


def test_training_learns_and_repeats(script):
    digits, weights = data.mnist().train[:500], []
    images, target = map(minidl.tensor, script.scenes(digits, 4, np.random.default_rng(4)))
    for _ in range(2):
        minidl.manual_seed(3)
        model = script.unet(4, 6)
        before = F.cross_entropy(model(images), target).item()
        script.train(model, digits, 10, np.random.default_rng(3), batch_size=2)
        weights.append(b"".join(p.numpy().tobytes() for p in model.parameters()))
    assert weights[0] == weights[1]
    assert F.cross_entropy(model(images), target).item() < 0.97 * before
    called = script.classify(model, images.numpy())
    assert called.shape == target.shape and called.min() >= 0 and called.max() <= 10


def test_classifying_in_between_changes_nothing_of_the_training(script):
    images, _ = script.scenes(data.mnist().test[:50], 3, np.random.default_rng(4))
    model = script.unet(2, 3)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    called = script.classify(model, images)
    assert all(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert not model.eval()[0].down[1].training
    with minidl.no_grad():
        scores = model(minidl.tensor(images)).numpy()
    np.testing.assert_array_equal(called, scores.argmax(1))


def test_the_picture_has_the_scenes_and_their_classes(script):
    images, target = script.scenes(data.mnist().test[:50], 3, np.random.default_rng(4))
    figure = script.draw(images, target, np.zeros_like(target), n=3)
    (sheet,) = figure.axes[0].images
    pixels = np.asarray(sheet.get_array())
    assert pixels.shape == (3 * 58 + 2, 3 * 58 + 2, 3)
    np.testing.assert_allclose(pixels[2:58, 2:58], images[0].repeat(3, 0).transpose(1, 2, 0))
    below = pixels[60:116, 2:58]
    assert len(np.unique(below[target[0] == 0], axis=0)) == 1
    assert len(np.unique(below.reshape(-1, 3), axis=0)) == len(np.unique(target[0]))
    assert len(np.unique(pixels[118:174, 2:58].reshape(-1, 3), axis=0)) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*"0123456789"]


def test_the_script_refuses_too_few_steps(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["segmentation.py", "--steps", "6"])
    with pytest.raises(SystemExit):
        script.main()
    told = "argument --steps: 6 is too small, at least 7 is needed"
    assert told in capsys.readouterr().err


def test_seven_steps_are_enough_for_the_schedule(script):
    model = script.unet(2)
    script.train(model, data.mnist().train[:20], 7, np.random.default_rng(0), batch_size=1)


def test_a_unet_of_no_sizes_is_an_error(script):
    with pytest.raises(ValueError, match="Level: channels are missing, a number for each size"):
        script.unet()


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    picture = tmp_path / "scenes.png"
    done = subprocess.run(
        [sys.executable, EXAMPLES / "segmentation.py", "--quick", "--out", picture],
        capture_output=True, text=True, check=True, timeout=300)
    rows = re.findall(r"^IoU of (\w+) +([\d.]+)$", done.stdout, re.M)
    assert [row[0] for row in rows] == ["background", *"0123456789", "mean"]
    values = [float(row[1]) for row in rows]
    assert values[-1] == pytest.approx(np.mean(values[:-1]), abs=2e-3)
    assert picture.read_bytes().startswith(b"\x89PNG")
