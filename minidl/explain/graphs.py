"""The computational graph of a trace: drawn with matplotlib alone, the gradients arriving one by
one; or as text for Graphviz. A gradient that has not arrived is None: dashed, never drawn as 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..plots import BLUE, GREY, ORANGE, Film
from .pictures import DARK, short

BOXES = 120                                   # more than these are no picture
WIDE, HIGH, COLUMN, ROW = 1.75, 0.52, 2.5, 0.82       # inches: a box, and the room it has
LEFT, TOP = 1.0, 0.55                         # inches beside and above all boxes


def _boxes(trace: Any) -> tuple[dict[int, list[int]], list[tuple[int, int]]]:
    """What gets a box: results of ops, each with the leaves (but plain numbers) that are used there
    first; and the edges (node, result of the op that was given it), once each."""
    leaves, edges = {}, []
    for op in trace.ops:
        result = op["outputs"][0]
        leaves[result] = []
        for n in op["inputs"]:
            made = trace.nodes[n]["op"]
            if made is None and (trace.nodes[n]["shape"] or trace.nodes[n]["name"]):
                if n not in sum(leaves.values(), []):
                    leaves[result].append(n)
            elif made is None:
                continue
            edges.append((n if made is None else trace.ops[made]["outputs"][0], result))
    return leaves, list(dict.fromkeys(edges))


def _box_corners(leaves: dict[int, list[int]]) -> dict[int, tuple[float, float]]:
    """Each box's upper left corner in inches: results below each other in the order in which they
    ran, and to the right of each, below each other, the leaves that it uses first."""
    places, row = {}, 0
    for result, beside in leaves.items():
        places[result] = LEFT, TOP + ROW * row
        places |= {n: (LEFT + COLUMN, TOP + ROW * (row + i)) for i, n in enumerate(beside)}
        row += max(1, len(beside))
    return places


def _name(trace: Any, n: int) -> str:
    """What a box is called: its op and module, or its name and role."""
    node = trace.nodes[n]
    if node["op"] is None:
        return node["name"] or node["role"]
    op = trace.ops[node["op"]]
    return op["op"] + (f" ({op['module']})" if op["module"] else "")


def _about(trace: Any, n: int, gradient: np.ndarray | None, count: str = "") -> list[str]:
    """The lines in a box: its name, its shape, its gradient in a few words."""
    told = "gradient None"
    if gradient is not None:
        largest = float(abs(gradient).max(initial=0))
        told = (f"gradient {short(float(gradient.ravel()[0]))}" if gradient.size == 1 else
                f"gradient up to ±{short(largest)}" if largest else "gradient 0 everywhere")
    sides = "×".join(map(str, trace.nodes[n]["shape"]))
    shape = f"shape {sides}" if sides else "a number"
    return [_name(trace, n), shape, told + count]


def _arrived(trace: Any, events: list[dict]) -> dict[int, tuple[np.ndarray, str]]:
    """The gradients there are after those backward events: node -> (numbers, which part of how
    many)."""
    found: dict[int, tuple[np.ndarray, str]] = {}
    for event in events:
        found.setdefault(trace.ops[event["op"]]["outputs"][0], (trace.arrays[event["gy"]], ""))
        count = f" ({event['number']} of {event['of']})" if event["of"] > 1 else ""
        found[event["node"]] = trace.arrays[event["sum"]], count
    return found


def graph(trace: Any) -> Film:
    """The graph as it ran, one picture before backward and one after each part of a gradient that
    arrives: filled orange where a gradient is, dashed where there is none. Raises ValueError for
    more than 120 boxes."""
    leaves, edges = _boxes(trace)
    places = _box_corners(leaves)
    if len(places) > BOXES:
        raise ValueError(f"graph: {len(places)} boxes are more than a picture shows ({BOXES}); "
                         "trace.to_dot() has all of them")
    events = [e for e in trace.events if e["phase"] == "backward"]
    following = list(zip(leaves, list(leaves)[1:]))
    wide, high = LEFT + COLUMN + WIDE + 0.3, max(y for _, y in places.values()) + ROW + 0.3

    def draw(figure: Any, i: int) -> None:
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, wide), ylim=(high, 0))
        axes.set_axis_off()
        now, told = (), "Forward is done; no gradient yet"
        if i:
            event = events[i - 1]
            op = trace.ops[event["op"]]
            now = event["node"], op["outputs"][0]
            part = f", part {event['number']} of {event['of']}: +=" if event["of"] > 1 else ""
            told = (f"Step {i} of {len(events)}: {op['op']} to "
                    f"{_name(trace, now[0])}{part}")
        for edge in edges:
            _draw_arrow(axes, *(places[n] for n in edge), edge in following, edge == now)
        arrived = _arrived(trace, events[:i])
        for n, place in places.items():
            lines = _about(trace, n, *arrived.get(n, (None,)))
            _draw_box(axes, place, lines, trace.nodes[n]["op"] is None, n in arrived, n in now[:1])
        axes.text(0.2, 0.3, told, fontsize=10, weight="bold", color=DARK)
        axes.text(0.2, high - 0.15, "blue: given.  orange: its gradient is here.  dashed: none "
                  "(None, which is not 0)", fontsize=8, color=GREY)
    return Film(draw, 1 + len(events), (wide, high))


def _draw_arrow(axes: Any, source: tuple, target: tuple, straight: bool, active: bool) -> None:
    """From a box to one that uses it; thick, orange and the other way while a gradient goes back.
    `straight` to the next; past others in a bow on the left; from a leaf on the right."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path
    (x, y), (u, v) = source, target
    if x > u:
        y, v, bend = y + HIGH / 2, v + HIGH / 2, (x + u + WIDE) / 2
        points = [(x, y), (bend, y), (bend, v), (u + WIDE, v)]
    elif straight:
        points = [(x + WIDE / 2, y + HIGH + k / 3 * (v - y - HIGH)) for k in range(4)]
    else:
        y, v, bend = y + 0.7 * HIGH, v + 0.3 * HIGH, x - min(0.3 + 0.15 * (v - y), 1.2)
        points = [(x, y), (bend, y), (bend, v), (u, v)]
    axes.add_patch(FancyArrowPatch(
        path=Path(points[::-1] if active else points, [Path.MOVETO, *[Path.CURVE4] * 3]),
        arrowstyle="-|>", mutation_scale=11, color=ORANGE if active else "#9ca3af",
        linewidth=3 if active else 1.1, fill=False, zorder=3 if active else 1))


def _draw_box(axes: Any, place: tuple, lines: list[str], leaf: bool, here: bool,
              active: bool) -> None:
    from matplotlib.patches import FancyBboxPatch
    x, y = place
    axes.add_patch(FancyBboxPatch(
        (x + 0.04, y + 0.04), WIDE - 0.08, HIGH - 0.08, zorder=4,
        boxstyle="round,pad=0.04,rounding_size=0.12" if leaf else "square,pad=0.04",
        facecolor="#fbd9b8" if here else "#ffffff", linestyle="-" if here else "--",
        edgecolor=ORANGE if active else BLUE if leaf else DARK, linewidth=2.6 if active else 1.1))
    for dy, text, look in zip((0.12, 0.27, 0.41), lines, (
            {"weight": "bold", "fontsize": 8, "color": DARK}, {"fontsize": 7, "color": DARK},
            {"fontsize": 7, "color": DARK if here else GREY})):
        axes.text(x + WIDE / 2, y + dy, text, ha="center", va="center", zorder=5, **look)


def to_dot(trace: Any) -> str:
    """The graph as Graphviz text, ``trace.to_dot()``: for ``dot -Tsvg``, if you have it."""
    leaves, edges = _boxes(trace)
    lines = ["digraph minidl {", "  rankdir=TB; node [fontname=\"sans-serif\"];"]
    for n in [*leaves, *sum(leaves.values(), [])]:
        grad = trace.grad(n)
        label = "\\n".join(_about(trace, n, grad)).replace('"', '\\"')
        look = "shape=box" if n in leaves else f'shape=ellipse, color="{BLUE}"'
        style = "style=dashed" if grad is None else 'style=filled, fillcolor="#fbd9b8"'
        lines.append(f'  n{n} [label="{label}", {look}, {style}];')
    lines += [f"  n{a} -> n{b};" for a, b in edges]
    return "\n".join([*lines, "}"]) + "\n"
