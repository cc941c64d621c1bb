"""How the tests run: three Hypothesis profiles, slow tests apart, and no state left behind.

    python -m pytest                                  quick: the same examples on every run
    python -m pytest --full                           more examples, and the tests marked `slow`
    python -m pytest --browsing                       and the long tests of the page in a browser
    python -m pytest --hunt                           the tests marked `hunt` alone, many rounds
    python -m pytest --hypothesis-profile=thorough    a long hunt with fresh random examples
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import fakecupy
import pytest
from hypothesis import HealthCheck, Phase, settings
from page.browser import Visit, launched

import minidl

# deadline=None: a shared machine may pause anywhere, which says nothing about the code.
# too_slow is about drawing large arrays, which is what these tests are for.
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=16, derandomize=True, **_common)
settings.register_profile("full", max_examples=100, derandomize=True, **_common)
settings.register_profile("thorough", max_examples=2000, print_blob=True, **_common)
settings.register_profile("first", settings.get_profile("quick"),      # no simplest failure sought
                          phases=[Phase.explicit, Phase.generate])
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="more examples a property, and the slow tests too"
    )
    parser.addoption(
        "--hunt", action="store_true", help="only the tests marked `hunt`, and many rounds of them"
    )
    parser.addoption(
        "--beyond-quick", action="store_true", help="of --full, what a quick run does not do: "
        "properties, slow tests, and what is held to packages that may not have been there"
    )
    parser.addoption(
        "--browsing", action="store_true", help="also the long tests of the page, in a browser"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--full") and not config.getoption("--hypothesis-profile"):
        settings.load_profile("full")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in several processes, where pytest-xdist is installed. Whoever names a
    file or a test, or wants a debugger, or chooses with `-n`, gets what was asked for."""
    option = config.option
    if (not config.pluginmanager.hasplugin("xdist") or hasattr(config, "workerinput")
            or option.numprocesses is not None or option.tx or option.usepdb or option.trace
            or option.capture == "no" or option.keyword
            or not all(Path(name).is_dir() for name in config.args)):
        return
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    option.numprocesses = min(cores, 4)          # more would mostly compile the same kernels
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(cores // option.numprocesses))
    if option.dist == "no":
        option.dist = "worksteal"                # neighbours stay together, and with them fixtures


# Files whose tests compare with a package (CuPy, scikit-learn, PyTorch ...) where it is there.
HELD_TO_PACKAGES = re.compile(
    "test_(gpu|cuda|fakecupy|device|checks|metrics|trace|tune|music|super_resolution|"
    "from_torch)")


def _beyond_quick(item: pytest.Item) -> bool:
    """Does this test do more, or something else, under --full?"""
    return (not {"slow", "hunt"}.isdisjoint(item.keywords)
            or hasattr(getattr(item, "obj", None), "hypothesis")
            or bool(HELD_TO_PACKAGES.match(item.path.name)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for option, chosen in (("--beyond-quick", _beyond_quick),
                           ("--hunt", lambda item: "hunt" in item.keywords)):
        if config.getoption(option):
            config.hook.pytest_deselected(items=[i for i in items if not chosen(i)])
            items[:] = [i for i in items if chosen(i)]
    asked = config.getoption("-m") or ""
    for mark in ("slow", "hunt"):
        if config.getoption("--full") or config.getoption("--hunt") or mark in asked:
            continue
        skip = pytest.mark.skip(reason=f"{mark}: runs with --full")
        for item in items:
            if mark in item.keywords:
                item.add_marker(skip)
    if not config.getoption("--browsing") and "browsing" not in asked:
        for item in items:
            if "browsing" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="browsing: runs with --browsing"))


@pytest.fixture
def rounds(request: pytest.FixtureRequest):
    """How long a test marked `hunt` searches: ``rounds(few, many)`` is `many` with --hunt."""
    return lambda few, many: many if request.config.getoption("--hunt") else few


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Every test starts from the same seed, whatever ran before it."""
    minidl.manual_seed(0)


@pytest.fixture
def gpu():
    """A GPU for this test: the strict stand-in for CuPy of fakecupy, with which minidl works as
    with the real one. The fixture's value is the module."""
    with fakecupy.installed() as cupy:
        yield cupy


@pytest.fixture(scope="module")
def browser():
    """A browser; for one module's tests, since as long as it runs so does an event loop."""
    with launched() as running:
        yield running


@pytest.fixture
def show(browser, tmp_path):
    """``show(trace)`` is its page in the browser, without a network: a ``page.browser.Shown``. The
    test fails if a page asks for anything that is not in it, or complains."""
    visit = Visit(browser, tmp_path)
    yield visit
    visit.end()


@pytest.fixture(autouse=True)
def _nothing_leaks():
    """Fail a test that leaves gradients switched off, or a recording on: the next one would test
    nothing."""
    yield
    mode = minidl.tape.mode
    if mode.watchers != type(mode).watchers or mode.hidden:
        mode.watchers, mode.hidden = type(mode).watchers, ()
        pytest.fail("this test left a recording, a profile or keep() on")
    leaked = not minidl.is_grad_enabled()
    if leaked:
        minidl.set_grad_enabled(True)
        pytest.fail("this test left gradients switched off (no_grad entered, never left)")
