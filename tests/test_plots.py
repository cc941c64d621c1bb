"""Pictures: every one is drawn, carries its labels, and needs no display."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest

from minidl import plots

pytest.importorskip("matplotlib")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def texts(figure) -> str:
    """All that is written in a figure."""
    return " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def drawn(figure, tmp_path) -> str:
    """Save the figure as a picture; what is written in it."""
    figure.savefig(tmp_path / "picture.png", dpi=40)
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    return texts(figure)


def test_curves_have_units(tmp_path):
    history = [{"epoch": e, "loss": 1 / e, "accuracy": 1 - 0.1 / e, "test_loss": 0.5 / e,
                "test_accuracy": 0.98} for e in (1, 2, 3)]
    steps = [{"epoch": i / 20, "loss": 1.0, "accuracy": 0.5} for i in range(60)]
    written = drawn(plots.curves(history, steps), tmp_path)
    for word in ("epoch", "nats an image", "% right", "training", "test", "98.00 % on the test"):
        assert word in written
    drawn(plots.curves([{"epoch": 1, "loss": 1.0, "accuracy": 0.5}]), tmp_path)      # no test set


def test_gan_curves(tmp_path, rng):
    steps = [{"epoch": i / 50, **dict(zip(("d_loss", "g_loss", "d_real", "d_fake"), rng.random(4)))}
             for i in range(100)]
    written = drawn(plots.gan_curves(steps), tmp_path)
    for word in ("discriminator D", "generator G", "D(x)", "D(G(z))", "2 ln 2", "nats"):
        assert word in written
    drawn(plots.gan_curves(steps[:1]), tmp_path)
    drawn(plots.gan_curves([]), tmp_path)


def test_vae_curves(tmp_path):
    history = [{"epoch": e, "loss": 100.0, "reconstruction": 80.0, "kl": 20.0, "test_loss": 101.25}
               for e in (1, 2)]
    written = drawn(plots.vae_curves(history), tmp_path)
    for word in ("ELBO", "Reconstruction", "KL", "nats an image", "101.2"):
        assert word in written


def test_confusion_counts(tmp_path):
    written = drawn(plots.confusion([[5, 1], [0, 4]], ["cat", "wolf"]), tmp_path)
    for word in ("90.00 % of 10 right", "cat", "wolf", "called", "true class", "5", "1"):
        assert word in written


def test_worst_shows_the_least_probable_truth_first(tmp_path, rng):
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    written = drawn(plots.worst(rng.random((3, 1, 4, 4)), p, np.array([1, 1, 1])), tmp_path)
    assert written.index("p(1) = 0.1") < written.index("p(1) = 0.4") < written.index("p(1) = 0.8")
    assert "1, called 0" in written
    drawn(plots.worst(rng.random((3, 3, 4, 4)), p, np.array([1, 1, 1])), tmp_path)   # colour


def test_kernels(tmp_path, rng):
    figure = plots.kernels(rng.normal(size=(10, 3, 5, 5)))
    assert "10 kernels of 5×5" in drawn(figure, tmp_path)
    bounds = {image.get_clim() for image in figure.axes[0].images}
    assert len(bounds) == 1 and next(iter(bounds))[0] == -next(iter(bounds))[1]      # white is 0


@pytest.mark.parametrize("shape", [(64, 1, 4, 4), (32, 1, 3, 3), (16, 3, 5, 5), (8, 1, 3, 3)])
def test_kernels_fill_the_picture_and_keep_off_their_numbers(shape, tmp_path, rng):
    figure = plots.kernels(rng.normal(size=shape))
    figure.savefig(tmp_path / "kernels.png")
    axes, box = figure.axes[0], lambda artist: artist.get_window_extent()
    assert box(axes).x0 < 0.05 * figure.bbox.width and box(axes).width > 0.75 * figure.bbox.width
    assert box(axes).height > 0.4 * figure.bbox.height
    for i, number in enumerate(axes.texts):
        assert box(number).y0 > box(axes.images[i]).y1
        if i >= 8:
            assert box(number).y1 < box(axes.images[i - 8]).y0


def test_tile_puts_images_in_rows():
    images = np.stack([np.full((1, 2, 2), v, np.float32) for v in (0.1, 0.2, 0.3, 2.0)])
    sheet = plots.tile(images, columns=3, gap=1)
    assert sheet.shape == (2 * 3 + 1, 3 * 3 + 1, 3)
    np.testing.assert_allclose(sheet[1, [1, 4, 7], 0], [0.1, 0.2, 0.3], rtol=1e-6)
    assert sheet[4, 1, 0] == 1.0                                 # 2.0 is clipped
    np.testing.assert_array_equal(plots.tile(np.ones((5, 3, 2, 2))).shape, (10, 14, 3))


def test_grid_and_reconstructions(tmp_path, rng):
    images = rng.random((30, 1, 8, 8))
    assert "after epoch 3" in drawn(plots.grid(images, "after epoch 3"), tmp_path)
    assert "Test images" in drawn(plots.reconstructions(images, images), tmp_path)
    figure = plots.reconstructions(images[:5], np.zeros((5, 1, 8, 8)))
    (shown,) = figure.axes[0].images
    assert shown.get_array().shape == (2 * 10 + 2, 5 * 10 + 2, 3)   # originals, then one row of 0
    assert drawn(figure, tmp_path)


def test_rows_are_named(tmp_path, rng):
    images = {"damaged": rng.random((3, 1, 8, 8)), "repaired": rng.random((5, 1, 8, 8))}
    figure = plots.rows(images)
    assert [axes.get_title("left") for axes in figure.axes] == [*images]
    assert [axes.images[0].get_size() for axes in figure.axes] == [(12, 32), (12, 52)]
    assert "repaired" in drawn(figure, tmp_path)


def test_film_has_a_frame_an_epoch_and_rests_on_the_last(tmp_path, rng):
    from PIL import Image
    path = plots.film(rng.random((3, 4, 1, 8, 8)), tmp_path / "film.gif", list("abc"), fps=2)
    with Image.open(path) as film:
        assert film.n_frames >= 3 and film.info["duration"] >= 500


@pytest.mark.parametrize("at", [0, 1, 3])
def test_what_stops_a_film_is_what_is_raised(at, tmp_path):
    """A signal, as a rule; the writer has its own error for want of pictures."""
    class Stopped(BaseException):
        pass

    times = []

    def draw(figure, i):
        times.append(i)
        if len(times) > at:
            raise Stopped
    with pytest.raises(Stopped):
        plots.Film(draw, 3, (2, 2)).save(tmp_path / "film.gif")
    assert not (tmp_path / "film.gif").exists()


def test_plane_grows_to_the_right_and_upward(tmp_path):
    figure = plots.plane(lambda z: (z[:, 0] + 5 * z[:, 1]).reshape(-1, 1, 1, 1) / 40 + 0.5, side=3)
    (shown,) = figure.axes[0].images
    sheet = shown.get_array()[..., 0]
    assert (np.diff(sheet, axis=1) > 0).all() and (np.diff(sheet, axis=0) < 0).all()
    assert "z_1" in drawn(figure, tmp_path)


def test_scatter_names_the_classes(tmp_path, rng):
    figure = plots.scatter(rng.normal(size=(20, 2)), np.arange(20) % 3, list("xyz"))
    written = drawn(figure, tmp_path)
    assert all(name in written for name in "xyz")


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 2, 8, 8), (0, 1, 8, 8), (1, 1, 0, 8)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match=r"tile: images must be \(N, 1, H, W\) or \(N, 3, H, W\)"):
        plots.tile(np.zeros(shape))


def test_no_rows_and_no_columns_are_refused():
    with pytest.raises(ValueError, match="rows: no images"):
        plots.rows({})
    with pytest.raises(ValueError, match="tile: columns is 0"):
        plots.tile(np.zeros((1, 1, 2, 2)), columns=0)


def test_signatures_are_those_of_the_call():
    assert [*inspect.signature(plots.curves).parameters] == ["history", "steps", "figure"]
    assert inspect.signature(plots.curves).return_annotation == "Figure"


def test_a_part_of_a_figure_can_be_drawn_in(rng):
    from matplotlib.figure import Figure
    left, right = Figure().subfigures(1, 2)
    assert plots.grid(rng.random((4, 1, 8, 8)), figure=right) is right and right.axes


def test_figure_of_the_caller_is_used(rng):
    from matplotlib.figure import Figure
    mine = Figure()
    assert plots.grid(rng.random((4, 1, 8, 8)), figure=mine) is mine and mine.axes


def test_importing_plots_loads_no_matplotlib():
    code = "import sys, minidl.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_matplotlib(monkeypatch):
    monkeypatch.setattr(plots.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plots.grid(np.zeros((1, 1, 2, 2)))


# --------------------------------------------------------------------------- numbers
def lines_of(axes) -> list[np.ndarray]:
    """The heights of every line of points, in the order in which they were drawn."""
    return [np.asarray(line.get_ydata(), float) for line in axes.get_lines()]


def test_a_moving_average_is_over_a_twentieth_of_the_run():
    """At the ends over what there is."""
    impulse = np.zeros(400)
    impulse[[0, 200]] = 21.0
    steps = [{"epoch": i / 50, "d_loss": y, "g_loss": 1.0, "d_real": 0.5, "d_fake": 0.5}
             for i, y in enumerate(impulse)]
    left, right = plots.gan_curves(steps).axes
    pale, smooth, _, level, *_ = lines_of(left)
    np.testing.assert_array_equal(pale, impulse)
    expected = np.zeros(400)
    expected[190:211] = 1.0
    expected[:11] = 21 / np.arange(11, 22)
    np.testing.assert_allclose(smooth, expected, atol=1e-12)
    np.testing.assert_allclose(level, 1.0)


def test_curves_draw_the_numbers_of_the_records():
    history = [{"epoch": 1, "loss": 2.0, "accuracy": 0.0, "test_loss": 1.5, "test_accuracy": 0.25},
               {"epoch": 2, "loss": 1.0, "accuracy": 0.5, "test_loss": 0.5, "test_accuracy": 0.75}]
    loss, accuracy = plots.curves(history).axes
    np.testing.assert_allclose(lines_of(loss), [[2, 1], [1.5, 0.5]])
    np.testing.assert_allclose(lines_of(accuracy), [[0, 50], [25, 75]])
    assert accuracy.get_ylim() == (0.0, 100.2)
    assert loss.get_axisbelow() is accuracy.get_axisbelow() is True        # the grid, below curves
    history = [{"epoch": 1, "loss": 5.0, "reconstruction": 4.0, "kl": 1.0}]
    np.testing.assert_allclose([lines_of(axes)[0] for axes in plots.vae_curves(history).axes],
                               [[5], [4], [1]])


@pytest.mark.parametrize("classes, turned", [(["cat", "dog"], 0), (["ship", "dog"], 45)])
def test_long_names_of_classes_are_turned(classes, turned):
    axes = plots.confusion(np.eye(2, dtype=int), classes).axes[0]
    assert [t.get_rotation() for t in axes.get_xticklabels()] == [turned] * 2


def test_one_image_may_be_of_any_class():
    probabilities = np.full((1, 5), 0.2)
    assert "4, called 0" in texts(plots.worst(np.zeros((1, 1, 2, 2)), probabilities, np.array([4])))


@pytest.mark.parametrize("count, height", [(8, 2.4), (16, 2.4), (17, 3.3), (32, 4.2)])
def test_rows_of_kernels_make_a_picture_taller(count, height):
    figure = plots.kernels(np.zeros((count, 1, 3, 3)))
    np.testing.assert_allclose(figure.get_size_inches(), (7.4, height))
