"""Puts a trace, the page's modules and its style into one HTML file.

A browser does not load modules from beside a file that was opened without a server. So each module
stands in the page as a ``data:`` URL, and an import map tells under which name.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path

from ..explain.trace import Trace
from ..files.saving import write_atomically
from .formulas import formulas, rules

POLICY = ("default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; "
          "img-src data:; base-uri 'none'; form-action 'none'")
SHELL = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<script type="importmap">{modules}</script>
</head>
<body>
<noscript><p>This page is made of numbers and a program that walks through them: it needs JavaScript,
and no network.</p></noscript>
<main id="page" aria-busy="true"><p>Unpacking the recorded step ...</p></main>
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
    document = trace.document(budget)
    document["formulas"] = formulas({op["op"] for op in trace.ops if op["library"]})
    document["rules"] = rules({_rule(e) for e in trace.events if e["phase"] == "update"})
    text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    packed = base64.b64encode(gzip.compress(text, 6, mtime=0)).decode()
    title = title or f"A recorded step: {trace.meta.get('script') or 'minidl'}"
    return SHELL.format(policy=escape(POLICY), title=escape(title), trace=packed, style=_text(
        "style.css"), modules=json.dumps({"imports": modules()}))


def save_page(trace: Trace, path: str | Path, budget: int = 3_000_000) -> None:
    """Write the page of a trace. Raises as :func:`page`, and OSError where the path cannot be
    written."""
    write_atomically(path, page(trace, budget).encode())


def _rule(event: dict) -> str:
    """Under which name ``explain.updates`` has an update's rule."""
    options, rule = event["options"], event["rule"].replace("AdamW", "Adam")
    if rule == "SGD" and options.get("momentum"):
        return "nesterov" if options.get("nesterov") else "momentum"
    return rule


@cache
def _text(name: str) -> str:
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
