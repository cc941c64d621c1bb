"""Puts a trace, the page's modules and its style into one HTML file.

A browser does not load modules from beside a file that was opened without a server. So each module
stands in the page as a ``data:`` URL, and an import map tells under which name.
"""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
from functools import cache
from html import escape
from importlib.resources import files

from ...checks import whole
from ..trace import Trace, json_of
from .mathml import formulas, line_formulas

# No request can be made. (eval is for browsers' test drivers: the page itself evaluates nothing.)
POLICY = ("default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data:; "
          "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'")
SHELL = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<noscript><p>This page is made of numbers and a program that walks through them: it needs
JavaScript, and no network.</p></noscript>
<main id="page" aria-busy="true"><p>Unpacking the recorded step ... (If this stays, the file is not
whole, or this browser is older than 2023.)</p></main>
<script type="importmap">{modules}</script>
<script type="application/octet-stream" id="trace">{trace}</script>
<script type="module">import {{start}} from "page/main"; start();</script>
</body>
</html>
"""


def page(trace: Trace, budget: int = 3_000_000, title: str | None = None) -> str:
    """The HTML of a trace. `budget`: bytes that its numbers may take, compressed; what is more is
    cut, the largest arrays first, and the page says so. Raises ValueError for a trace without
    events, ImportError without latex2mathml."""
    if not trace.events:
        raise ValueError("page: this trace has no events: nothing was recorded")
    document = (trace if trace.entries else _with_maps_anew(trace)).document(budget)
    document["formulas"] = formulas({op["op"] for op in trace.ops if op["library"]})
    document["signatures"] = {op["op"]: list(trace.entry(op).signature.parameters)
                              for op in trace.ops if trace.entry(op) is not None}
    document["lines"] = line_formulas(_lines(trace))
    packed = base64.b64encode(gzip.compress(json_of(document), 6, mtime=0)).decode()
    title = title or f"A recorded step of {trace.meta.get('model') or trace.meta.get('script')}"
    return SHELL.format(policy=escape(POLICY), title=escape(title), trace=packed, style=_packaged(
        "style.css"), modules=json.dumps({"imports": modules()}))


class Framed:
    """A page within a notebook: what is shown is the page itself, inside an iframe (srcdoc)."""

    def __init__(self, text: str, height: int):
        self.text, self.height = text, height

    def _repr_html_(self) -> str:
        return (f'<iframe srcdoc="{escape(self.text)}" title="a recorded step" loading="lazy" '
                f'style="width:100%;height:{self.height}px;border:1px solid #888"></iframe>')


def framed(trace: Trace, height: int = 900, budget: int = 3_000_000) -> Framed:
    """The page of a trace for a notebook, `height` pixels high. Raises as :func:`page`."""
    return Framed(page(trace, budget), whole("show: height", height, 100))


def _with_maps_anew(trace: Trace) -> Trace:
    """The trace of a file, whose index maps are made from the declarations, and not believed."""
    other = copy.copy(trace)
    other.ops, other.arrays = [{**op, "map": None} for op in trace.ops], [*trace.arrays]
    other._equal = {}
    return other


def _lines(trace: Trace) -> list[list[str]]:
    """The lines of each update rule, and those of each composite op."""
    rules = [event["lines"] for event in trace.events if event["phase"] == "update"]
    steps = [op["map"]["value"] for op in trace.ops
             if op["library"] and op["map"] and op["map"]["kind"] == "composite"]
    return rules + [[step["text"] for step in each if "text" in step] for each in steps]


@cache
def _packaged(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def modules() -> dict[str, str]:
    """The import map: ``page/terms`` and the others as data: URLs."""
    found = {}
    for file in sorted(files(__package__).joinpath("js").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".mjs"):
            text = re.sub(r'(from\s+")\./(\w+)\.mjs"', r'\1page/\2"', file.read_text("utf-8"))
            encoded = base64.b64encode(text.encode()).decode()
            found[f"page/{file.name[:-4]}"] = f"data:text/javascript;charset=utf-8;base64,{encoded}"
    return found
