"""Pictures of traces: what is drawn are the op's numbers, in any geometry."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

import minidl
from minidl import functional as F
from minidl import plots
from minidl.explain.pictures import WRONG, short

to_hex = pytest.importorskip("matplotlib.colors").to_hex
QuadMesh = pytest.importorskip("matplotlib.collections").QuadMesh
Text = pytest.importorskip("matplotlib.text").Text

GEOMETRIES = [  # size, kernel, stride, padding, dilation
    ((5, 6), (3, 3), 2, 1, 1),
    ((7, 5), (2, 3), 1, (0, 2), 2),
    ((6, 6), (1, 2), (3, 1), 0, 1),
    ((4, 4), (3, 3), 1, (2, 1), 1),
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def leaf(rng, *shape):
    return minidl.tensor(rng.normal(size=shape), requires_grad=True)


def drawn(figure):
    """The arrays in a figure, in the order in which they were drawn; nan where no number is."""
    return [np.ma.filled(mesh.get_array().astype(float), np.nan)
            for axes in figure.axes for mesh in axes.collections if isinstance(mesh, QuadMesh)]


def texts(figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text"))]


def inner(array):
    """Without the padding, in which there are no numbers."""
    kept = ~np.isnan(array)
    return array[np.ix_(kept.any(1), kept.any(0))]


def backward_of(trace, name):
    """The contributions of an op, by operand."""
    return {e["input"]: e for e in trace.events
            if e["phase"] == "backward" and trace.ops[e["op"]]["op"] == name}


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("size, kernel, stride, padding, dilation", GEOMETRIES)
def test_a_convolution_ends_as_the_engine_ended(rng, size, kernel, stride, padding, dilation,
                                                with_bias):
    x, w, b = leaf(rng, 2, 2, *size), leaf(rng, 3, 2, *kernel), leaf(rng, 3)
    with minidl.record() as trace:
        y = F.conv2d(x, w, b if with_bias else None, stride, padding, dilation)
        (y * minidl.tensor(rng.normal(size=y.shape))).sum().backward()
    op, parts = next(trace.calls("conv2d")), backward_of(trace, "conv2d")
    cases = [(plots.sweep(trace, op, part=4), y.numpy()[1, 1]),
             (plots.stamps(trace, op, part=2), y.numpy()[0, 2]),
             (plots.sweep(trace, parts[0], part=1), x.grad.numpy()[0, 1]),
             (plots.stamps(trace, parts[0], part=3), x.grad.numpy()[1, 1]),
             (plots.sweep(trace, parts[1], part=5), w.grad.numpy()[2, 1]),
             (plots.stamps(trace, parts[1]), w.grad.numpy()[0, 0])]
    if with_bias:
        cases += [(plots.sweep(trace, parts[2]), b.grad.numpy()[None]),
                  (plots.stamps(trace, parts[2]), b.grad.numpy()[None])]
    for film, expected in cases:
        np.testing.assert_allclose(inner(drawn(film.frame())[-1]), expected, atol=1e-12)


def test_a_step_of_the_sweep_shows_its_products(rng):
    x, w = leaf(rng, 1, 1, 4, 4), leaf(rng, 1, 1, 3, 3)
    with minidl.record() as trace:
        y = F.conv2d(x, w, padding=1)
    film = plots.sweep(trace, trace.ops[0])
    assert len(film) == 16
    figure = film.frame(5)
    *_, result = drawn(figure)
    assert (~np.isnan(result)).ravel().sum() == 6                     # the rest is not there yet
    listed = next(t for t in texts(figure) if t.startswith("y[0,0,1,1] ="))
    numbers = [float(line.rsplit("= ", 1)[1]) for line in listed.splitlines()[1:10]]
    np.testing.assert_allclose(sum(numbers), float(y[0, 0, 1, 1]), atol=0.05)
    listed = next(t for t in texts(film.frame(0)) if t.startswith("y[0,0,0,0] ="))
    assert "5 in the padding: not added" in listed


def test_a_step_of_the_scatter_adds_one_number_times_the_kernel(rng):
    x, w = leaf(rng, 1, 1, 5, 5), leaf(rng, 1, 1, 3, 3)
    with minidl.record() as trace:
        y = F.conv2d(x, w, stride=2)
        (y * y).sum().backward()
    film = plots.stamps(trace, backward_of(trace, "conv2d")[0])
    (_, _, _, before), (gy, _, adds, after) = (drawn(film.frame(i)) for i in (0, 1))
    np.testing.assert_allclose(gy, 2 * y.detach().numpy()[0, 0])
    np.testing.assert_allclose(adds[0:3, 2:5], gy[0, 1] * w.detach().numpy()[0, 0])
    assert np.isnan(adds).sum() == 25 - 9
    np.testing.assert_allclose(after, before + np.nan_to_num(adds))
    assert any(" += " in t for t in texts(film.frame(1)))


def test_a_bias_is_drawn_and_added(rng):
    """In a sweep it is the last operand; stamps are added to a result that began as it."""
    x, w, b = leaf(rng, 1, 1, 3, 3), leaf(rng, 1, 2, 3, 3), leaf(rng, 2)
    with minidl.record() as trace:
        y = F.conv_transpose2d(x, w, b, stride=2, padding=1)
        y.sum().backward()
    sweep = plots.sweep(trace, trace.ops[0], part=1)
    _, _, bias, result = drawn(sweep.frame())
    np.testing.assert_array_equal(bias, b.detach().numpy()[None])
    np.testing.assert_allclose(inner(result), y.numpy()[0, 1], atol=1e-12)
    listed = next(t for t in texts(sweep.frame(3)) if t.startswith("y[0,1,0,3] ="))
    assert f"and the bias b[1] {short(b[1].item())}" in listed
    total, stored = (line.split()[1] for line in listed.splitlines()[-2:])
    assert total == stored == short(y[0, 1, 0, 3].item())
    stamps = plots.stamps(trace, trace.ops[0], part=1)
    *_, adds, first = drawn(stamps.frame(0))
    np.testing.assert_allclose(inner(first), b[1].item() + np.nan_to_num(adds)[1:-1, 1:-1])
    assert any("y began as the bias b" in t for t in texts(stamps.frame(0)))
    listed = next(t for t in texts(plots.sweep(trace, backward_of(trace, "conv2d_input_grad")[2])
                                   .frame(1)) if t.startswith("gb[1] ="))
    assert "and 16 more" in listed and listed.endswith("sum    25\nstored 25")
    with minidl.record() as zero:
        F.linear(leaf(rng, 1, 2), leaf(rng, 2, 2), minidl.zeros(2, dtype=minidl.float64))
    assert any("and the bias b[0] 0" in t for t in texts(plots.sweep(zero, zero.ops[0]).frame(0)))


def test_other_sums_of_products(rng):
    x, w = leaf(rng, 3, 4), leaf(rng, 2, 4)
    with minidl.record() as trace:
        y = F.linear(x, w, leaf(rng, 2))
        y.sum().backward()
        F.relu(y)
    np.testing.assert_allclose(drawn(plots.sweep(trace, trace.ops[0]).frame())[-1], y.numpy())
    with pytest.raises(TypeError, match="relu is no sum of products"):
        plots.sweep(trace, next(trace.calls("relu")))
    with minidl.record() as deep:
        F.conv2d(leaf(rng, 1, 5, 3, 3), leaf(rng, 1, 5, 3, 3))
    assert {"x, 3 of 5 slices", "w, 3 of 5 slices", "y"} <= set(
        texts(plots.sweep(deep, deep.ops[0]).frame()))
    many = plots.sweep(trace, trace.ops[0], most=4)
    assert len(many) == 4
    np.testing.assert_allclose(drawn(many.frame())[-1], y.numpy())


@pytest.mark.parametrize("kernel, stride, padding, dilation",
                         [(3, 2, 0, 1), (4, 2, 1, 1), (3, 1, 1, 2), (2, 3, 0, 1)])
def test_overlaps_are_counted(rng, kernel, stride, padding, dilation):
    x, w, b = leaf(rng, 1, 2, 3, 4), leaf(rng, 2, 1, kernel, kernel), leaf(rng, 1)
    with minidl.record() as trace:
        y = F.conv_transpose2d(x, w, b, stride=stride, padding=padding, dilation=dilation)
    counts = np.zeros(y.shape[2:])
    for i, j in np.ndindex(3, 4):
        for u, v in np.ndindex(kernel, kernel):
            p, q = i * stride - padding + u * dilation, j * stride - padding + v * dilation
            if 0 <= p < y.shape[2] and 0 <= q < y.shape[3]:
                counts[p, q] += 2                                     # once for each channel of x
    figure = plots.overlaps(trace, trace.ops[0])
    found = next(a for a in drawn(figure) if not np.isnan(a).all())
    np.testing.assert_array_equal(inner(found), counts)
    at = {t.get_text(): np.array(t.get_position()) for t in figure.findobj(Text)}
    for i, j in np.ndindex(2, 2):                 # each label in the first cell of its own stamp
        assert at[f"[{i},{j}]"] - at["[0,0]"] == pytest.approx([j * stride, i * stride])
    np.testing.assert_allclose(
        inner(drawn(plots.stamps(trace, trace.ops[0]).frame())[-1]), y.numpy()[0, 0], atol=1e-12)


@pytest.mark.parametrize("window, stride, padding", [(3, 2, 1), (2, 2, 0), (3, 1, 1)])
def test_routing_returns_the_gradient_to_what_was_taken(rng, window, stride, padding):
    x = leaf(rng, 2, 1, 7, 5)
    with minidl.record() as trace:
        y = F.max_pool2d(x, window, stride, padding)
        (y * y).sum().backward()
    film = plots.routing(trace, next(trace.calls("max_pool2d")))
    assert len(film) == y[0, 0].numel()
    values, pooled, gx, gy = drawn(film.frame())
    np.testing.assert_array_equal(values, x.detach().numpy()[0, 0])
    np.testing.assert_array_equal(pooled, y.detach().numpy()[0, 0])
    np.testing.assert_allclose(gx, x.grad.numpy()[0, 0])
    np.testing.assert_allclose(gy, 2 * pooled)
    with minidl.record() as forward:
        F.max_pool2d(x.detach(), window, stride, padding)
    assert len(drawn(plots.routing(forward, forward.ops[0]).frame())) == 2     # no gradient came


# --------------------------------------------------------------------------- graphs
def branched():
    w, x = minidl.tensor([2.0, -1], requires_grad=True), minidl.tensor([0.0, 3])
    with minidl.record() as trace:
        h = w * x
        loss = (h.tanh() * h + w).sum()
        h.exp()                                                       # nothing comes back from here
        loss.backward()
    return trace


def test_the_graph_has_every_op_once_and_gradients_arrive():
    trace = branched()
    film = plots.graph(trace)
    backward = [e for e in trace.events if e["phase"] == "backward"]
    assert len(film) == 1 + len(backward)
    for i in (0, len(backward)):
        written = texts(film.frame(i))
        for op in {op["op"] for op in trace.ops}:
            assert written.count(op.strip("_")) == len(list(trace.calls(op)))
        assert written.count("w") == written.count("x") == 1
    count = lambda i, start: sum(t.startswith(start) for t in texts(film.frame(i)))
    assert count(0, "gradient None") == 8 and count(0, "gradient ") == 8
    assert count(len(backward), "gradient None") == 2                 # x, which wants none, and exp
    assert not any(re.search(r"gradient (up to ±)?0\b", t) for t in texts(film.frame(0)))


def test_a_gradient_of_zero_is_not_one_that_is_missing():
    u, v = (minidl.tensor([a], requires_grad=True) for a in (0.0, 1.0))
    with minidl.record() as trace:
        (u * u + u * 0 * v.detach()).sum().backward()
    written = texts(plots.graph(trace).frame())
    assert "gradient 0" in " ".join(written) and "gradient None" in " ".join(written)


def test_dot_has_the_same_graph():
    trace = branched()
    text = trace.to_dot()
    assert text.startswith("digraph") and text.count("{") == text.count("}") == 1
    nodes = re.findall(r'^  (n\d+) \[label="[^"]*", .*\];$', text, re.MULTILINE)
    edges = re.findall(r"^  (n\d+) -> (n\d+);$", text, re.MULTILINE)
    assert len(set(nodes)) == len(nodes) == len(trace.ops) + 2
    assert len(edges) == len(set(edges)) == 9 and {n for e in edges for n in e} <= set(nodes)
    assert text.count("gradient None") == 2 == text.count("style=dashed")
    assert plots.to_dot(trace) == text


def test_a_graph_too_large_to_draw_says_so():
    with minidl.record() as trace:
        x = minidl.tensor([1.0])
        for _ in range(121):
            x = x.exp()
    with pytest.raises(ValueError, match="122 boxes.*to_dot"):
        plots.graph(trace)
    assert trace.to_dot().count("->") == 121


# --------------------------------------------------------------------------- wrong cells, films
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 2, 2), (40, 3, 3), (1, 30, 60)])
def test_wrong_cells_are_red_and_crossed(rng, shape):
    expected = rng.normal(size=shape)
    recorded, cell = np.array(expected), tuple(n - 1 for n in shape)
    recorded[cell] = np.nan
    figure = plots.wrong_cells(recorded, expected, [cell], "gw")
    left, right = figure.axes
    red, elsewhere = ([c for c in axes.collections if WRONG in map(to_hex, c.get_facecolor())]
                      for axes in (left, right))
    assert len(red) == 1 == len(red[0].get_paths()) and not elsewhere
    assert len(left.collections[-1].get_offsets()) == 1               # the cross
    assert "gw: 1 of" in figure.get_suptitle()
    assert len(drawn(figure)) <= 2 * 12
    for axes in (left, right):                                        # all tiles, and no more room
        corners = np.concatenate([mesh.get_coordinates().reshape(-1, 2)
                                  for mesh in axes.collections if isinstance(mesh, QuadMesh)])
        room = corners.max(0) + (0.4 + 0.05 * (shape or (1,))[-1],
                                 0.7 + 0.05 * (1, 1, *shape)[-2])
        assert (axes.get_xlim()[1], axes.get_ylim()[0]) == pytest.approx(tuple(room))
    if len(shape) > 2:                                                # the slice with the wrong one
        assert np.isnan(drawn(figure)[0]).any()
    with pytest.raises(ValueError, match="shapes"):
        plots.wrong_cells(recorded, np.zeros(7), [])


def test_a_film_is_written_as_a_gif(rng, tmp_path):
    image = pytest.importorskip("PIL.Image")
    x, w = leaf(rng, 1, 1, 3, 3), leaf(rng, 1, 1, 2, 2)
    with minidl.record() as trace:
        F.conv2d(x, w)
    film = plots.sweep(trace, trace.ops[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = film.save(tmp_path / "sweep.gif", fps=2, dpi=50)
    with image.open(path) as gif:
        shown = 0
        for i in range(gif.n_frames):                  # equal pictures in a row become one, longer
            gif.seek(i)
            shown += gif.info["duration"]
        assert gif.n_frames == len(film) == 4 and shown == 500 * (4 + 4)
    assert "<img" in film._repr_html_()
    with pytest.raises(IndexError, match="film of 4"):
        film.frame(4)


# --------------------------------------------------------------------------- where things stand
def test_the_boxes_of_a_graph_hold_their_text_and_the_picture_its_boxes():
    """And while a gradient arrives, its box alone has a thick edge."""
    patches = pytest.importorskip("matplotlib.patches")
    trace = branched()
    film = plots.graph(trace)
    for i in range(len(film)):
        (axes,) = film.frame(i).axes
        boxes = [p for p in axes.patches if isinstance(p, patches.FancyBboxPatch)]
        right = max(b.get_x() + b.get_width() for b in boxes)
        low = max(b.get_y() + b.get_height() for b in boxes)
        assert axes.get_xlim() == pytest.approx((0, right + 0.34))         # inches, as the figure
        assert 0.3 < axes.get_ylim()[0] - low < 1
        written = [(*t.get_position(), t.get_text()) for t in axes.texts]
        for box in boxes:
            heights = sorted((y, text) for x, y, text in written
                             if x == pytest.approx(box.get_x() + box.get_width() / 2)
                             and box.get_y() < y < box.get_y() + box.get_height())
            name, shape, gradient = (text for _, text in heights)
            assert shape.startswith(("shape", "a number")) and gradient.startswith("gradient")
        thick = [b for b in boxes if b.get_linewidth() > 2]
        assert len(thick) == (i > 0) and all(b.get_linewidth() >= 1 for b in boxes)
        assert [to_hex(b.get_edgecolor()) for b in thick] == [plots.ORANGE] * (i > 0)


def test_lines_of_a_film_stand_above_and_below_its_panels(rng):
    x, w = leaf(rng, 1, 2, 5, 6), leaf(rng, 3, 2, 3, 3)
    with minidl.record() as trace:
        F.conv2d(x, w, padding=1)
    film = plots.sweep(trace, trace.ops[0])
    (axes,) = film.frame().axes
    panels = np.concatenate([mesh.get_coordinates().reshape(-1, 2) for mesh in axes.collections
                             if isinstance(mesh, QuadMesh)])
    heights = {t.get_text(): t.get_position()[1] for t in axes.texts}
    head = next(y for text, y in heights.items() if text.startswith("conv2d, stride"))
    titles = [heights[name] for name in "xwy"]
    assert 0 < head < min(titles) < panels[:, 1].min()
    assert panels[:, 1].max() < axes.get_ylim()[0] and panels[:, 0].max() < axes.get_xlim()[1]
    lines = [c for c in axes.collections if type(c).__name__ in ("LineCollection", "QuadMesh")]
    widths = {float(c.get_linewidth()[0]) for c in lines}
    assert widths == {0.6, 2}                              # between cells, and around used ones


def test_overlaps_are_no_step_of_a_film(rng):
    x, w = leaf(rng, 1, 1, 3, 3), leaf(rng, 1, 1, 2, 2)
    with minidl.record() as trace:
        F.conv_transpose2d(x, w)
    assert "conv2d_input_grad, stride 1, padding 0, dilation 1" in texts(
        plots.overlaps(trace, trace.ops[0]))
    film = plots.stamps(trace, trace.ops[0])
    assert any(t.endswith(": step 9 of 9") for t in texts(film.frame()))


@pytest.mark.parametrize("shape", [(5,), (10, 10), (16, 16), (14, 4), (2, 3, 2, 2), (40, 3, 3)])
def test_a_cell_has_room_for_six_characters(shape):
    """A digit is about 0.56 of the letters' size wide."""
    canvas = pytest.importorskip("matplotlib.backends.backend_agg").FigureCanvasAgg
    figure = plots.wrong_cells(np.zeros(shape), np.zeros(shape), [(0,) * len(shape)])
    canvas(figure).draw()
    for axes in figure.axes:
        wide, high = np.abs(np.diff(axes.transData.transform([(0, 0), (1, 1)]), axis=0))[0]
        sizes = {t.get_fontsize() for t in axes.texts if t.get_text() == "0"}
        assert len(sizes) == 1 and min(wide, high) * 72 / figure.dpi >= 6 * 0.56 * sizes.pop()
