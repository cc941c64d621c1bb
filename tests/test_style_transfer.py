"""D1-STYLE, examples/style_transfer.py: Gram matrices, features, the transfer, the script."""

import re
import subprocess
import sys

import numpy as np
import pytest

import minidl
from examples import EXAMPLES, load_example
from minidl import data, nn
from minidl.testing import check_gradients

style = load_example("style_transfer")


def small_pictures():
    rng = np.random.default_rng(0)
    content = rng.random((1, 3, 20, 16), dtype=np.float32)
    return content, style.swirls(20, 16)


def test_gram_matrix_is_the_mean_of_products():
    f = np.random.default_rng(0).normal(size=(1, 3, 4, 5))
    expected = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            for i in range(4):
                for j in range(5):
                    expected[a, b] += f[0, a, i, j] * f[0, b, i, j] / 20
    np.testing.assert_allclose(style.gram(minidl.tensor(f)).numpy(), expected, rtol=1e-12)


def test_gram_matrix_forgets_where_things_are():
    f = np.random.default_rng(0).normal(size=(1, 3, 4, 5))
    moved = f.reshape(1, 3, 20)[..., np.random.default_rng(1).permutation(20)].reshape(f.shape)
    np.testing.assert_allclose(
        style.gram(minidl.tensor(f)).numpy(), style.gram(minidl.tensor(moved)).numpy()
    )


def test_distance_is_relative_and_its_gradients_are_right():
    a, b = np.random.default_rng(0).normal(size=(2, 1, 2, 3, 4))
    found = style.distance(minidl.tensor(a), minidl.tensor(b)).item()
    assert found == pytest.approx(((a - b) ** 2).sum() / (b**2).sum())
    assert style.distance(minidl.tensor(b), minidl.tensor(b)).item() == 0
    check_gradients(lambda x, y: style.distance(style.gram(x), style.gram(y)), a, b)


def test_features_are_the_picture_and_the_five_normalised_convolutions():
    net = style.network(0).eval()
    content, _ = small_pictures()
    found = style.features(net, minidl.tensor(content))
    assert [f.shape[1:] for f in found] == [
        (3, 20, 16), (32, 20, 16), (32, 20, 16), (64, 10, 8), (64, 10, 8), (64, 5, 4),
    ]  # fmt: skip
    np.testing.assert_array_equal(found[0].numpy(), content)
    first = minidl.functional.conv2d(found[0], net[0].weight, padding=1)
    np.testing.assert_allclose(found[1].numpy(), first.numpy() / np.sqrt(1 + 1e-5), rtol=1e-5)


def test_networks_of_one_seed_are_alike_and_of_two_are_not():
    a, b, other = (style.network(seed)[0].weight.numpy() for seed in (0, 0, 1))
    assert (a == b).all() and (a != other).any()


def test_the_untrained_networks_statistics_are_those_of_the_images():
    images = data.synthetic_rgb(200, 0).train.images
    net = style.untrained(1, images).eval()
    x = minidl.tensor(images / np.float32(255))
    for layer in net:
        before = x.numpy().copy()
        x = layer(x)
        if isinstance(layer, nn.BatchNorm2d):
            variance = before.var(axis=(0, 2, 3))                   # of the layer's input, measured
            np.testing.assert_allclose(layer.running_var.numpy(), variance, rtol=0.1)
            values = x.numpy()                                      # the features
            np.testing.assert_allclose(values.mean(axis=(0, 2, 3)), 0, atol=0.05)
            np.testing.assert_allclose(values.std(axis=(0, 2, 3)), 1, atol=0.05)
    for ours, drawn in zip(net.parameters(), style.network(1).parameters()):
        np.testing.assert_array_equal(ours.numpy(), drawn.numpy())


def test_the_seed_reaches_the_order_of_training():
    shapes, first = data.synthetic_rgb(66, 0), []
    for seed in (0, 0, 1):
        net = style.network(0)
        style.train(net, shapes, 1, seed)
        first.append(net[0].weight.numpy())
    assert (first[0] == first[1]).all() and (first[0] != first[2]).any()


def test_transfer_changes_the_picture_alone_and_brings_the_style_nearer():
    net = style.network(0)
    content, bands = small_pictures()
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    picture, terms = style.transfer(net, content, bands, steps=12)
    assert picture.shape == content.shape and picture.dtype == np.float32
    assert picture.min() >= 0 and picture.max() <= 1 and (picture != content).any()
    assert len(terms) == 13
    assert terms[0][0] == 0 and terms[0][1] > 2 * terms[-1][1]
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(p.grad is None for p in net.parameters())

    # The last terms are of the picture that came back: the last step had a learning rate of 0.
    values = [style.features(net, minidl.tensor(p)) for p in (picture, content, bands)]
    assert style.distance(values[0][-1], values[1][-1]).item() == pytest.approx(terms[-1][0])
    far = [style.distance(style.gram(x), style.gram(s)).item() for x, s in zip(*values[::2])]
    assert np.mean(far) == pytest.approx(terms[-1][1], rel=1e-5)


def test_without_a_weight_on_style_the_picture_stays():
    content, bands = small_pictures()
    picture, _ = style.transfer(style.network(0), content, bands, steps=3, beta=0.0, tau=0.0)
    np.testing.assert_array_equal(picture, content)


@pytest.mark.parametrize("shape", [(3, 20, 16), (1, 1, 20, 16), (2, 3, 20, 16), (1, 3, 20, 15)])
def test_a_picture_of_the_wrong_size_is_refused(shape):
    content, bands = small_pictures()
    wrong = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=r"content: shape \(.*\(1, 3, >= 16, >= 16\) is needed"):
        style.transfer(style.network(0), wrong, bands, steps=1)
    with pytest.raises(ValueError, match="style: shape"):
        style.transfer(style.network(0), content, wrong, steps=1)


def test_roughness_alone_makes_the_picture_smoother():
    content, bands = small_pictures()
    picture, _ = style.transfer(style.network(0), content, bands, steps=5, beta=0.0, tau=100.0)
    assert np.square(np.diff(picture)).mean() < 0.8 * np.square(np.diff(content)).mean()


def test_swirls_are_a_picture_of_five_colours():
    picture = style.swirls(60, 48)
    assert picture.shape == (1, 3, 60, 48) and picture.dtype == np.float32
    assert picture.min() >= 0 and picture.max() <= 1
    assert picture.std(axis=(2, 3)).min() > 0.1
    np.testing.assert_array_equal(picture, style.swirls(60, 48))


def test_load_scales_and_crops(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 40:, 0] = 255                                         # black left, red right
    image.fromarray(pixels).save(tmp_path / "red.png")
    picture = style.load(tmp_path / "red.png", 20)
    assert picture.shape == (1, 3, 20, 16) and picture.dtype == np.float32
    assert picture[0, 0, :, 12:].min() == 1 and picture[0, :, :, :4].max() == 0
    assert picture[0, 1:].max() == 0


@pytest.mark.parametrize("option", ["--content", "--style"])
def test_a_file_without_a_picture_is_refused(option, tmp_path, monkeypatch, capsys):
    (tmp_path / "words.png").write_text("no picture")
    for name, told in (("none.png", "No such file"), ("words.png", "cannot identify image")):
        monkeypatch.setattr(sys, "argv", ["style_transfer.py", option, str(tmp_path / name)])
        with pytest.raises(SystemExit):
            style.main()
        said = capsys.readouterr().err
        assert f"error: {option}: " in said and told in said


@pytest.mark.slow
def test_script_draws_its_picture_and_repeats(tmp_path):
    command, done = [sys.executable, str(EXAMPLES / "style_transfer.py"), "--quick"], []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        done.append(subprocess.run(command, cwd=folder, capture_output=True, text=True,
                                   timeout=300))
    assert done[0].returncode == 0, done[0].stderr
    assert done[0].stdout == done[1].stdout
    terms = re.findall(r"^step (\d+): content ([\d.]+), style ([\d.]+)$", done[0].stdout, re.M)
    assert [step for step, _, _ in terms] == ["0", "5", "0", "5"]
    before, after = [float(s) for _, _, s in terms[::2]], [float(s) for _, _, s in terms[1::2]]
    assert all(b < 0.8 * a for a, b in zip(before, after))
    pictures = [(tmp_path / name / "style_transfer.png").read_bytes() for name in "ab"]
    assert pictures[0] == pictures[1]


@pytest.mark.slow
def test_script_takes_other_pictures(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((50, 40, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    command = [sys.executable, str(EXAMPLES / "style_transfer.py"), "--quick"]
    done = subprocess.run([*command, "--content", "grey.png", "--style", "grey.png"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "style_transfer.png").is_file()
