"""The computational graph of a trace: drawn with matplotlib alone, the gradients arriving one by
one; or as text for Graphviz. A gradient that has not arrived is None: dashed, never drawn as 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..plots import BLUE, GREY, ORANGE
from .pictures import DARK, Film, _short

BOXES = 120                                   # more than these are no picture
WIDE, HIGH, COLUMN, ROW = 1.75, 0.56, 1.95, 0.95      # inches: a box, and the room it has


def _shown(trace: Any) -> tuple[list[int], list[int]]:
    """The nodes that get a box: results of ops, and what ops are given (but plain numbers)."""
    results = [node for op in trace.ops for node in op["outputs"][:1]]
    given = dict.fromkeys(n for op in trace.ops for n in op["inputs"]
                          if trace.nodes[n]["op"] is None and (
                              trace.nodes[n]["shape"] or trace.nodes[n]["name"]))
    return results, list(given)


def _edges(trace: Any) -> list[tuple[int, int]]:
    """(node, result of the op that was given it), once each."""
    boxes = set(sum(_shown(trace), []))
    of = lambda n: n if trace.nodes[n]["op"] is None else trace.ops[trace.nodes[n]["op"]][
        "outputs"][0]
    return list(dict.fromkeys((of(n), op["outputs"][0]) for op in trace.ops for n in op["inputs"]
                              if of(n) in boxes))


def _layers(results: list[int], given: list[int], edges) -> dict[int, int]:
    """Each box's row: an op below all that it is given (its longest path), a leaf just above the
    first op that uses it."""
    row = dict.fromkeys(results, 1)
    into = {b: [a for a, c in edges if c == b] for b in results}
    for b in results:                         # ops stand in the order in which they ran
        row[b] = 1 + max([row[a] for a in into[b] if a in row], default=0)
    return row | {a: min(row[c] for b, c in edges if b == a) - 1 for a in given}


def _bent(edges, row: dict) -> dict[tuple[int, int], list]:
    """Each edge as a path of boxes, with a bend in every row that it crosses; `row` gets them."""
    paths = {}
    for a, b in edges:
        bends = [(a, b, r) for r in range(row[a] + 1, row[b])]
        row |= {bend: bend[2] for bend in bends}
        paths[a, b] = [a, *bends, b]
    return paths


def _places(results: list[int], given: list[int], edges) -> tuple[dict, dict]:
    """Each box's and bend's (column, row), and the edges' paths. From the last row upward: results
    above the middle of those that use them, leaves and bends to the right of those."""
    row, column = _layers(results, given, edges), {}
    paths = _bent(edges, row)
    steps = [step for path in paths.values() for step in zip(path, path[1:])]
    wanted: dict[Any, list[float]] = {}
    for r in range(max(row.values()), -1, -1):
        boxes = [b for b in row if row[b] == r]
        want = {b: float(np.mean(wanted.get(b, [0.0]))) for b in boxes}
        last = -np.inf
        for b in sorted(boxes, key=lambda b: (want[b], b not in results)):
            column[b] = last = max(want[b], last + 1)
        for b in boxes:
            above = [a for a, c in steps if c == b]
            made = [a for a in above if a in results or b not in results]
            beside = [a for a in above if a not in made]
            for k, a in enumerate(made):
                wanted.setdefault(a, []).append(column[b] + k - (len(made) - 1) / 2)
            for k, a in enumerate(beside):
                wanted.setdefault(a, []).append(column[b] + k + (len(made) + 1) / 2 * bool(made))
    left = min(column.values())
    return {b: (column[b] - left, row[b]) for b in row}, paths


def _name(trace: Any, n: int) -> str:
    """What a box is called: its op and module, or its name and role."""
    node = trace.nodes[n]
    if node["op"] is None:
        return node["name"] or node["role"]
    op = trace.ops[node["op"]]
    module = f" ({op['module']})" if op["module"] else ""
    return op["op"].strip("_") + module


def _arrived(trace: Any, steps: list[dict]) -> dict[int, tuple[np.ndarray, str]]:
    """The gradients there are after those backward events: node -> (numbers, what came when)."""
    found: dict[int, tuple[np.ndarray, str]] = {}
    for event in steps:
        start = trace.ops[event["op"]]["outputs"][0]
        found.setdefault(start, (trace.arrays[event["gy"]], "backward starts"))
        count = f" ({event['number']} of {event['of']})" if event["of"] > 1 else ""
        found[event["node"]] = trace.arrays[event["sum"]], count.strip()
    return found


def _gradient(numbers: np.ndarray) -> str:
    """A gradient in a few words."""
    if numbers.size == 1:
        return f"gradient {_short(float(numbers.reshape(-1)[0]))}"
    largest = float(abs(numbers).max(initial=0))
    return f"gradient up to ±{_short(largest)}" if largest else "gradient 0 everywhere"


def graph(trace: Any) -> Film:
    """The graph as it ran, one picture before backward and one after each part of a gradient that
    arrives: filled orange where a gradient is, dashed where there is none. Raises ValueError for
    more than 120 boxes."""
    (results, given), edges = _shown(trace), _edges(trace)
    if len(results) + len(given) > BOXES:
        raise ValueError(f"graph: {len(results) + len(given)} boxes are more than a picture shows "
                         f"({BOXES}); trace.to_dot() has all of them")
    places, paths = _places(results, given, edges)
    events = [e for e in trace.events if e["phase"] == "backward"]
    wide = COLUMN * (1 + max(c for c, _ in places.values())) + 0.3
    high = ROW * (1 + max(r for _, r in places.values())) + 0.8

    def draw(figure: Any, i: int) -> None:
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, max(wide, 5.6)), ylim=(high, 0))
        axes.set_axis_off()
        now = events[i - 1] if i else None
        source = trace.ops[now["op"]]["outputs"][0] if now else None
        arrived = _arrived(trace, events[:i])
        for (a, b), path in paths.items():
            _arrow(axes, [places[p] for p in path],
                   now is not None and a == now["node"] and b == source)
        for n in results + given:
            _box(axes, trace, n, places[n], arrived.get(n), now is not None and n == now["node"])
        axes.text(0.2, 0.3, _told(trace, now, i, len(events)), fontsize=10, weight="bold",
                  color=DARK)
        axes.text(0.2, high - 0.15, "blue: given.  orange: its gradient is here.  dashed: none "
                  "(None, which is not 0)", fontsize=8, color=GREY)
    return Film(draw, 1 + len(events), (max(wide, 5.6), high))


def _told(trace: Any, event: dict | None, i: int, count: int) -> str:
    if event is None:
        return "Forward is done; no gradient yet"
    op = trace.ops[event["op"]]["op"].strip("_")
    part = f", part {event['number']} of {event['of']}: +=" if event["of"] > 1 else ""
    return f"Step {i} of {count}: {op} to {_name(trace, event['node'])}{part}"


def _corner(place: tuple[float, int]) -> tuple[float, float]:
    return 0.2 + COLUMN * place[0], 0.55 + ROW * place[1]


def _arrow(axes: Any, path: list, active: bool) -> None:
    """Along the path, forward; thick, orange and the other way while a gradient goes back."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path
    corners = [(x + WIDE / 2, y) for x, y in map(_corner, path)]
    (x, y), *bends, (u, v) = corners
    points = [(x, y + HIGH), *(p for x, y in bends for p in ((x, y), (x, y + HIGH))), (u, v)]
    axes.add_patch(FancyArrowPatch(
        path=Path(points[::-1] if active else points), arrowstyle="-|>", mutation_scale=11,
        color=ORANGE if active else "#9ca3af", linewidth=3 if active else 1.1, fill=False,
        zorder=3 if active else 1, joinstyle="round"))


def _box(axes: Any, trace: Any, n: int, place, arrived, active: bool) -> None:
    from matplotlib.patches import FancyBboxPatch
    (x, y), leaf = _corner(place), trace.nodes[n]["op"] is None
    here = arrived is not None
    axes.add_patch(FancyBboxPatch(
        (x + 0.04, y + 0.04), WIDE - 0.08, HIGH - 0.08, zorder=4,
        boxstyle="round,pad=0.04,rounding_size=0.12" if leaf else "square,pad=0.04",
        facecolor="#fbd9b8" if here else "#ffffff", linestyle="-" if here else "--",
        edgecolor=ORANGE if active else BLUE if leaf else DARK, linewidth=2.6 if active else 1.1))
    shape = "×".join(map(str, trace.nodes[n]["shape"])) or "a number"
    about = (_gradient(arrived[0]) + (f" {arrived[1]}" if arrived[1].startswith("(") else "")
             if here else "gradient None")
    for dy, text, look in ((0.15, _name(trace, n), {"weight": "bold", "fontsize": 8}),
                           (0.3, shape, {"fontsize": 7}),
                           (0.45, about, {"fontsize": 7, "color": DARK if here else GREY})):
        axes.text(x + WIDE / 2, y + dy, text, ha="center", va="center",
                  **{"color": DARK, "zorder": 5, **look})


def to_dot(trace: Any) -> str:
    """The graph as Graphviz text, ``trace.to_dot()``: for ``dot -Tsvg``, if you have it."""
    (results, given), quote = _shown(trace), lambda s: s.replace("\\", "\\\\").replace('"', '\\"')
    lines = ["digraph minidl {", "  rankdir=TB; node [fontname=\"sans-serif\"];"]
    for n in results + given:
        grad = trace.grad(n)
        shape = "×".join(map(str, trace.nodes[n]["shape"])) or "a number"
        about = "gradient None" if grad is None else _gradient(grad)
        look = "shape=box" if n in results else "shape=ellipse, color=\"#1f6fb4\""
        style = "style=dashed" if grad is None else "style=filled, fillcolor=\"#fbd9b8\""
        lines.append(f'  n{n} [label="{quote(_name(trace, n))}\\n{shape}\\n{about}", {look}, '
                     f"{style}];")
    lines += [f"  n{a} -> n{b};" for a, b in _edges(trace)]
    return "\n".join([*lines, "}"]) + "\n"
