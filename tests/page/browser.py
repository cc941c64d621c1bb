"""A trace's page in a real browser without a network: for the tests of the page.

A :class:`Visit` opens pages and notes what they ask for and complain about. At its end it fails if
anything was asked for that is not in the page itself, or if anything was complained about.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)
MISSING = ("no browser on the path (chromium, chromium-browser or google-chrome)" if BROWSER is None
           else "playwright is not installed, which drives the browser"
           if find_spec("playwright") is None else "")
needs_browser = pytest.mark.skipif(bool(MISSING), reason=MISSING)

SIZE = {"width": 1280, "height": 900}

# What is read of a page at one place of it; `text` and such are asked for by those who need them.
READ = """() => {
  const terms = document.querySelector("[data-panel=terms]");
  const at = document.querySelector("[data-cell]");
  return {hash: location.hash, cell: at && at.dataset.cell, total: terms.dataset.total ?? null,
          stored: terms.dataset.stored ?? null, terms: terms.querySelectorAll("[data-term]").length,
          status: document.querySelector("[role=status]").textContent,
          panels: [...document.querySelectorAll("[data-panel]")].map(p => p.dataset.panel)};
}"""


@contextmanager
def launched() -> Iterator[Any]:
    """A browser; as root it runs without its sandbox, which it has for other users only."""
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """Pages that are opened for one test, each in a context of its own that is offline."""

    def __init__(self, browser: Any, folder: Path):
        self.browser, self.folder, self.contexts = browser, folder, []
        self.asked_for: list[str] = []           # what is neither the page nor in it
        self.complaints: list[str] = []          # errors, and what the console was told

    def page(self, hash_: str = "", to: Path | str = "", **options: Any) -> Shown:
        """A page from a file, at a place of it; `options` are those of a browser's context."""
        context = self.browser.new_context(**{"viewport": SIZE, "offline": True, **options})
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("request", self._requested)
        page.on("pageerror", lambda error: self._complained(str(error)))
        page.on("console", lambda said: self._complained(f"{said.type}: {said.text}"))
        shown = Shown(page)
        if to:
            shown.goto(Path(to).as_uri() + hash_)
        return shown

    def _requested(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.asked_for.append(request.url)

    def _complained(self, text: str) -> None:
        self.complaints.append(re.sub("(base64,.{8})[^:)]*", r"\1...", text)[:500])

    def write(self, text: str) -> Path:
        """A file with this text, for :meth:`page`."""
        path = self.folder / f"{len(list(self.folder.iterdir()))}.html"
        path.write_text(text, encoding="utf-8")
        return path

    def __call__(self, trace: Any, hash_: str = "", **options: Any) -> Shown:
        """The page of a trace, or of an HTML text."""
        from minidl.explain.page import page
        text = trace if isinstance(trace, str) else page(trace)
        return self.page(hash_, self.write(text), **options)

    def end(self) -> None:
        for context in self.contexts:
            context.close()
        assert not self.asked_for, f"the page asked for {self.asked_for}"
        assert not self.complaints, f"the page complained: {self.complaints}"


class Shown:
    """An open page. `frame` is where the page of the trace is: the page, or a frame within it."""

    def __init__(self, page: Any, frame: Any = None):
        self.page, self.frame = page, frame or page

    def goto(self, url: str) -> None:
        self.page.goto(url)
        self.ready()

    def ready(self) -> None:
        self.frame.wait_for_function("document.documentElement.dataset.ready !== undefined")
        assert self.ask("() => document.documentElement.dataset.ready") == "true"

    def ask(self, script: str, argument: Any = None) -> Any:
        return self.frame.evaluate(script, argument)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    # ------------------------------------------------------------------ what stands there
    def read(self) -> dict:
        """Place, cell, sum and stored number, status line."""
        return self.ask(READ)

    def hash(self) -> str:
        return self.ask("() => location.hash")

    def event(self) -> int:
        """The event that is shown, counted from 0."""
        return self.ask("() => Number(document.querySelector('.event[aria-current]')"
                        ".dataset.event) - 1")

    def status(self) -> str:
        return self.text("[role=status]")

    def note(self) -> str:
        """The word beside the status line; it is gone after the next step."""
        return self.text(".note:not([hidden])")

    def text(self, selector: str) -> str:
        """The text of the first element that fits."""
        return self.ask("s => document.querySelector(s)?.textContent ?? ''", selector)

    def count(self, selector: str) -> int:
        return self.ask("s => document.querySelectorAll(s).length", selector)

    def focused(self, attribute: str) -> str | None:
        """An attribute of what has the focus."""
        return self.ask("a => document.activeElement.getAttribute(a)", attribute)

    # ------------------------------------------------------------------ many places at once
    def walk(self, hashes: list[str], read: str = READ) -> list[Any]:
        """Go to each place by the hash; what `read`, a JavaScript function, gives there."""
        return self.ask(f"async hashes => {{ const read = {read}, found = [];" """
          for (const hash of hashes) {
            if (location.hash !== hash) {
              const come = new Promise(done => addEventListener("hashchange", done, {once: true}));
              location.hash = hash;
              await come;
            }
            found.push(read());
          }
          return found;
        }""", hashes)


def hash_of(event: int, cell=None) -> str:
    """The place of an event, counted from 0, and of a cell of it."""
    return f"#event={event + 1}" + (f"&cell={','.join(map(str, cell))}" if cell else "")


def number(text: str) -> float:
    """A number as the page writes it."""
    return float(json.loads(text.replace("\u2212", "-")))
