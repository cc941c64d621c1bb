"""Pictures of what networks do: curves, images, confusion, latent planes, films.

Every function returns a matplotlib Figure: ``plots.confusion(matrix).savefig("confusion.png")``.
Pass ``figure=plt.figure()`` to draw into a window, a notebook or a page instead of a new one.
matplotlib is imported when the first picture is made, and needs no display. Images are arrays
(N, C, H, W) with pixels in [0, 1]. Pictures of recorded ops: ``plots.sweep``, ``stamps``,
``overlaps``, ``routing``, ``graph``, ``wrong_cells``; most are films, ``.save("sweep.gif")``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREY", "ORANGE", "RED", "STYLE", "TEN", "Film", "bare_axes", "blue_orange",
           "confusion", "curves", "film", "gan_curves", "grid", "kernels", "matplotlib_problem",
           "picture", "plane", "reconstructions", "rows", "scatter", "tile", "vae_curves", "worst"]

BLUE, ORANGE, GREY, RED = "#1f6fb4", "#f0821e", "#6b7280", "#c2410c"
TEN = ["#1f6fb4", "#f0821e", "#2f9e68", "#c8423b", "#7b5ea7",
       "#8c6d4f", "#d678b2", "#6b7280", "#b8a51c", "#27a6b8"]
STYLE = {
    "figure.dpi": 110, "figure.constrained_layout.use": True,
    "font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "axes.edgecolor": "#9ca3af", "axes.labelcolor": "#374151",
    "grid.color": "#e5e7eb", "grid.linewidth": 0.8, "xtick.color": "#374151",
    "ytick.color": "#374151", "lines.linewidth": 2, "legend.edgecolor": "none",
    "legend.framealpha": 0.8,
    "figure.titlesize": 13, "figure.titleweight": "bold", "image.interpolation": "nearest",
}


def matplotlib_problem() -> str | None:
    """Why no picture can be made here, and what to install; None if they can."""
    if importlib.util.find_spec("matplotlib"):
        return None
    return "no pictures, they need matplotlib: python -m pip install matplotlib"


def picture(width: float, height: float, layout: str = "constrained") -> Callable:
    """Makes of draw(figure, ...) a function draw(...) that returns the Figure: a new one of that
    size (inches), or the caller's with ``figure=``, drawn in the style above."""
    def decorate(draw: Callable) -> Callable:
        @functools.wraps(draw)
        def drawn(*args: Any, figure: Figure | None = None, **options: Any) -> Figure:
            if missing := matplotlib_problem():
                raise ImportError(missing)
            import matplotlib
            from matplotlib.figure import Figure
            with matplotlib.rc_context(STYLE):
                if figure is None:
                    figure = Figure(figsize=(width, height))
                if isinstance(figure, Figure):                 # a part of one has no layout
                    figure.set_layout_engine(layout)
                draw(figure, *args, **options)
            return figure

        _, *others = inspect.signature(draw).parameters.values()
        own = inspect.Parameter("figure", inspect.Parameter.KEYWORD_ONLY, default=None,
                                annotation="Figure | None")
        drawn.__signature__ = inspect.Signature([*others, own], return_annotation="Figure")
        return drawn
    return decorate


def blue_orange() -> Any:
    """The colour map from blue (least) over white (the middle) to orange (most)."""
    from matplotlib.colors import LinearSegmentedColormap
    return LinearSegmentedColormap.from_list("blue-orange", [BLUE, "#ffffff", ORANGE])


def tile(images: np.ndarray, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """(N, C, H, W) in [0, 1], C 1 or 3 -> one picture (rows (H+gap) + gap, ..., 3), `columns` to a
    row. Raises ValueError for other shapes."""
    images = np.clip(np.asarray(images, np.float32), 0, 1)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.size:
        raise ValueError("tile: images must be (N, 1, H, W) or (N, 3, H, W) and at least one, "
                         f"got {images.shape}")
    if columns is not None and columns < 1:
        raise ValueError(f"tile: columns is {columns}, at least 1 is needed")
    n, _, h, w = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = np.ones((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), np.float32)
    for i, image in enumerate(images):
        y, x = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        sheet[y:y + h, x:x + w] = image.transpose(1, 2, 0)        # one channel spreads to three
    return sheet


def bare_axes(axes: Any, title: str = "") -> None:
    """An axes for a picture: no ticks, no frame."""
    axes.set_axis_off()
    axes.set_title(title)


def _epochs(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _plot_epochs(axes: Any, history: Sequence[dict], name: str, label: str, color: str,
                 scale: float = 1) -> None:
    """One value of every record that has it, over the epochs."""
    points = [(record["epoch"], scale * record[name]) for record in history if name in record]
    if points:
        axes.plot(*zip(*points), color=color, marker="o", markersize=4, label=label)


def _noisy(axes: Any, steps: Sequence[dict], name: str, color: str, label: str | None = None,
           scale: float = 1) -> None:
    """Single batches, pale; with a `label` their moving average over them."""
    if not steps:
        return
    x = np.array([record["epoch"] for record in steps])
    y = np.array([scale * record[name] for record in steps])
    axes.plot(x, y, color=color, alpha=0.25, linewidth=0.8)
    if label:
        width = min(1 + 2 * (len(y) // 40), len(y))            # odd, about a twentieth of the run
        kernel = np.ones(width)
        smooth = np.convolve(y, kernel, "same") / np.convolve(np.ones_like(y), kernel, "same")
        axes.plot(x, smooth, color=color, label=label)


# --------------------------------------------------------------------------- training
@picture(9, 3.6)
def curves(figure, history: Sequence[dict], steps: Sequence[dict] = ()) -> None:
    """Loss (nats) and accuracy (%) of training and test, epoch by epoch.

    `history`: dicts with "epoch", "loss", "accuracy", "test_loss", "test_accuracy"; `steps`, drawn
    pale behind them: the same of single batches, with fractions of epochs.
    """
    left, right = figure.subplots(1, 2)
    for axes, name, scale in ((left, "loss", 1), (right, "accuracy", 100)):
        _noisy(axes, steps, name, BLUE, scale=scale)
        label = "training (pale: one batch)" if steps else "training"
        _plot_epochs(axes, history, name, label, BLUE, scale)
        _plot_epochs(axes, history, f"test_{name}", "test", ORANGE, scale)
        _epochs(axes)
        axes.legend()
    left.set(title="Cross entropy", ylabel="nats an image", ylim=(0, _loss_limit(steps, history)))
    last = history[-1].get("test_accuracy") if history else None
    right.set(title="Accuracy" + (f": {100 * last:.2f} % on the test set" if last else ""),
              ylabel="% right")
    if last:
        right.set_ylim(_accuracy_limit(history), 100.2)


def _loss_limit(steps: Sequence[dict], history: Sequence[dict]) -> float | None:
    """The loss's upper limit: the first batches of all would hide what comes after them."""
    shown = [record["loss"] for record in steps] or [r["loss"] for r in history]
    return 1.2 * float(np.quantile(shown, 0.97)) if shown else None


def _accuracy_limit(history: Sequence[dict]) -> float:
    """The accuracy's lower limit: what the epochs leave free is cut off."""
    low = min(100 * r[k] for r in history for k in ("accuracy", "test_accuracy") if k in r)
    return max(0.0, low - max(0.6 * (100 - low), 0.2))


@picture(9, 3.6)
def gan_curves(figure, steps: Sequence[dict], scores: bool = False) -> None:
    """The two players' losses, and D's mean output on real and on fake: pale single batches,
    strong their moving average.

    `steps`: dicts with "epoch" (with its fraction), "d_loss", "g_loss", "d_real", "d_fake". With
    `scores` D's output is any number, as in WGAN and LSGAN, and no probability.
    """
    left, right = figure.subplots(1, 2)
    _noisy(left, steps, "d_loss", BLUE, "discriminator D")
    _noisy(left, steps, "g_loss", ORANGE, "generator G")
    _noisy(right, steps, "d_real", BLUE, "on real: D(x)")
    _noisy(right, steps, "d_fake", ORANGE, "on fakes: D(G(z))")
    left.set(title="Losses", ylabel="loss of a batch" if scores else "nats")
    right.set(title="D's scores" if scores else "What D takes for real",
              ylabel="D's output, mean of a batch")
    if not scores:
        left.axhline(2 * math.log(2), color=GREY, linestyle=":", linewidth=1.2,
                     label="D undecided: 2 ln 2")
        right.axhline(0.5, color=GREY, linestyle=":", linewidth=1.2, label="undecided")
        left.set_ylim(bottom=0)
        right.set_ylim(0, 1)
    for axes in (left, right):
        _epochs(axes)
        axes.legend(fontsize=8.5)


@picture(11, 3.4)
def vae_curves(figure, history: Sequence[dict]) -> None:
    """-ELBO and the two parts that it is the sum of, epoch by epoch, in nats an image."""
    titles = {"loss": r"$-$ELBO, the sum of both:", "reconstruction": "Reconstruction loss",
              "kl": "KL divergence"}
    last = history[-1].get("test_loss", history[-1]["loss"])
    titles["loss"] += f" {last:.1f}"
    for axes, (name, title) in zip(figure.subplots(1, 3), titles.items()):
        _plot_epochs(axes, history, name, "training", BLUE)
        _plot_epochs(axes, history, f"test_{name}", "test", ORANGE)
        axes.set(title=title, ylabel="nats an image")
        axes.legend()
        _epochs(axes)


# --------------------------------------------------------------------------- classifiers
@picture(6.4, 5.8)
def confusion(figure, matrix: np.ndarray, classes: Sequence[str] | None = None) -> None:
    """Row: the true class, column: what it was called; counts, coloured by share of the row."""
    matrix = np.asarray(matrix)
    classes = classes or [str(i) for i in range(len(matrix))]
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if len(matrix) <= 20:
        for (i, j), count in np.ndenumerate(matrix):
            if count:
                axes.text(j, i, f"{count}", ha="center", va="center", fontsize=8,
                          color="white" if share[i, j] > 0.5 else
                          "#374151" if i == j else RED)
    right = np.trace(matrix) / max(matrix.sum(), 1)
    turned = {"rotation": 45, "ha": "right"} if max(map(len, classes)) > 3 else {}
    axes.set_xticks(range(len(classes)), classes, **turned)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(title=f"Confusion: {100 * right:.2f} % of {matrix.sum():,} right",
             xlabel="called", ylabel="true class")
    axes.grid(False)
    figure.colorbar(image, label="share of the true class", shrink=0.8)


@picture(8.4, 4.5)
def worst(figure, images: np.ndarray, probabilities: np.ndarray, labels: np.ndarray,
          classes: Sequence[str] | None = None, count: int = 24) -> None:
    """The images whose true class got the least probability: the worst first."""
    classes = classes or [str(i) for i in range(probabilities.shape[1])]
    of_truth = probabilities[np.arange(len(labels)), labels]
    axes = figure.subplots()
    for place, i in enumerate(np.argsort(of_truth, kind="stable")[:count]):
        true, called = labels[i], int(probabilities[i].argmax())
        _draw_in_sheet(axes, place, 8, tile(images[i:i + 1], 1, 0),
                       f"{classes[true]}, called {classes[called]}\np({classes[true]}) = "
                       f"{of_truth[i]:.2g}", GREY if called == true else RED)
    bare_axes(axes, "Where the true class got the least probability")


def kernels(weight: np.ndarray, figure: Figure | None = None) -> Figure:
    """Kernels (O, C, KH, KW), averaged over C: blue is negative, white 0, orange positive."""
    lines = math.ceil(len(weight) / 8)                   # a row more makes a new picture taller
    return picture(7.4, 0.6 + 0.9 * max(lines, 2))(_draw_kernels)(weight, figure=figure)


def _draw_kernels(figure, weight: np.ndarray) -> None:
    weight = np.asarray(weight).mean(1)
    bound = abs(weight).max() or 1.0
    colors = {"cmap": blue_orange(), "vmin": -bound, "vmax": bound}
    axes = figure.subplots()
    for i, kernel in enumerate(weight):
        image = _draw_in_sheet(axes, i, 8, kernel, f"{i}", GREY, **colors)
    size = "×".join(map(str, weight.shape[1:]))
    bare_axes(axes, f"First layer: {len(weight)} kernels of {size}")
    figure.colorbar(image, label="weight", shrink=0.7)


def _draw_in_sheet(axes: Any, i: int, columns: int, picture: np.ndarray, text: str, color: str,
                   **colors: Any) -> Any:
    """Draw picture number i of a sheet, a unit square with `text` above it. (One axes for all of
    them: twenty axes take seconds to lay out.)"""
    lines = 1 + text.count("\n")
    x, y = 1.12 * (i % columns), -(1.12 + 0.16 * lines) * (i // columns)
    image = axes.imshow(picture, extent=(x, x + 1, y, y + 1), **colors)
    axes.text(x + 0.5, y + 1.04, text, ha="center", va="bottom", fontsize=7.5, color=color)
    axes.set(xlim=(-0.02, 1.12 * columns), ylim=(min(y, axes.get_ylim()[0]) - 0.02,
                                                  1.08 + 0.17 * lines))
    return image


# --------------------------------------------------------------------------- images
@picture(6, 6.3)
def grid(figure, images: np.ndarray, title: str = "", columns: int | None = None) -> None:
    """Images (N, C, H, W) beside and below each other."""
    axes = figure.subplots()
    axes.imshow(tile(images, columns))
    bare_axes(axes, title)


def rows(images: dict[str, np.ndarray], figure: Figure | None = None) -> Figure:
    """A row of images (N, C, H, W) for each entry, under its name."""
    if not images:
        raise ValueError("rows: no images")
    return picture(8, 0.95 * len(images))(_draw_rows)(images, figure=figure)


def _draw_rows(figure, images: dict[str, np.ndarray]) -> None:
    for axes, (name, row) in zip(figure.subplots(len(images), squeeze=False)[:, 0], images.items()):
        axes.imshow(tile(row, columns=len(row)))
        bare_axes(axes)
        axes.set_title(name, fontsize=9, fontweight="normal")


class Film:
    """Pictures in a row: `film.frame(i)` is a Figure, `film.save("sweep.gif")` writes all of them,
    and a notebook shows a player. ``draw(figure, i)`` draws one of `count` into an empty figure
    of `size` inches."""

    def __init__(self, draw: Callable, count: int, size: tuple[float, float] = (9, 3.6)):
        self.draw, self.count, self.size = draw, count, size

    def __len__(self) -> int:
        return self.count

    def frame(self, i: int = -1, figure: Figure | None = None) -> Figure:
        """Picture number i, the last one by default, in a new Figure or in the caller's."""
        if not -self.count <= i < self.count:
            raise IndexError(f"frame {i} of a film of {self.count}")

        def draw(figure: Figure) -> None:
            figure.clear()
            figure.set_size_inches(self.size)
            self.draw(figure, i % self.count)
        return picture(*self.size, layout="none")(draw)(figure=figure)

    def save(self, path: str | Path, fps: float = 1.5, dpi: int = 100) -> Path:
        """Write a GIF; its last picture stays for two seconds."""
        figure = self.frame(0)
        from matplotlib.animation import PillowWriter
        writer = PillowWriter(fps=fps)
        writer.setup(figure, str(path), dpi)
        for i in [*range(self.count), *[self.count - 1] * int(2 * fps)]:
            self.frame(i, figure)
            writer.grab_frame()
        writer.finish()            # not `with writer.saving(...)`: after an error that would write
        return Path(path)          # half a film, or fail for want of a first picture

    def _repr_html_(self) -> str:
        from matplotlib.animation import FuncAnimation
        figure = self.frame(0)
        return FuncAnimation(figure, lambda i: self.frame(i, figure), range(self.count),
                             interval=700).to_jshtml()


def film(frames: np.ndarray, path: str | Path, titles: Sequence[str], fps: float = 3) -> Path:
    """Write a GIF: the grids of frames (E, N, C, H, W) under their titles; the last one stays."""
    draw = lambda figure, i: grid(frames[i], titles[i], figure=figure)
    return Film(draw, len(frames), (6, 6.3)).save(path, fps, dpi=90)


@picture(8.4, 7.3)
def reconstructions(figure, images: np.ndarray, again: np.ndarray) -> None:
    """Originals and, below each, what the decoder made of its code: pairs of rows."""
    n, columns = len(images), 12
    rows = []
    for start in range(0, n - n % columns or n, columns):
        rows += [images[start:start + columns], again[start:start + columns]]
    axes = figure.subplots()
    axes.imshow(tile(np.concatenate(rows), min(columns, n)))
    bare_axes(axes, "Test images, and below each what the decoder makes of its code")


@picture(6.6, 6.6)
def plane(figure, decode: Callable[[np.ndarray], np.ndarray], side: int = 16,
          extent: float = 2.5) -> None:
    """The images that a plane of codes (latent 2) decodes to, -extent ... extent on both axes."""
    line = np.linspace(-extent, extent, side, dtype=np.float32)
    z1, z2 = np.meshgrid(line, line[::-1])               # z2 grows upward
    sheet = tile(decode(np.stack([z1.ravel(), z2.ravel()], 1)), side, 0)
    axes = figure.subplots()
    half = extent + extent / (side - 1)                  # a code stands at its image's centre
    axes.imshow(sheet, extent=(-half, half, -half, half))
    axes.grid(False)
    axes.set(title="What the codes $(z_1, z_2)$ decode to", xlabel="$z_1$, standard deviations",
             ylabel="$z_2$, standard deviations")


@picture(6.8, 6)
def scatter(figure, codes: np.ndarray, labels: np.ndarray,
            classes: Sequence[str] | None = None) -> None:
    """Where the test images lie: the first two coordinates of their codes, a colour a class."""
    axes = figure.subplots()
    for c in np.unique(labels):
        chosen = labels == c
        axes.scatter(*codes[chosen, :2].T, s=9, alpha=0.6, linewidths=0, color=TEN[c % 10],
                     label=classes[c] if classes else str(c))
    axes.set(title="Codes of the test images", xlabel=r"$\mu_1$", ylabel=r"$\mu_2$", aspect="equal")
    axes.legend(markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5), title="class")


# --------------------------------------------------------------------------- pictures of traces
_TRACED = {"sweep": "films", "stamps": "films", "overlaps": "films", "routing": "pool_films",
           "wrong_cells": "pictures", "graph": "graphs", "to_dot": "graphs"}
__all__ += _TRACED


def __getattr__(name: str) -> Any:
    """Films and figures of a recorded trace; their modules draw with what stands above."""
    if name in _TRACED:
        return getattr(importlib.import_module(f"minidl.explain.{_TRACED[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
