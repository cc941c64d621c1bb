"""A call enters few functions, and they are short: the bounds of reach.py."""

from __future__ import annotations

import importlib.util

import pytest
import reach


@pytest.fixture(scope="module")
def found():
    return reach.measured()


@pytest.mark.parametrize("name", reach.BOUNDS)
def test_a_call_reaches_no_further_than_its_bounds(name, found):
    functions, (most, longest) = found[name], reach.BOUNDS[name]
    lines = sum(f.lines for f in functions)
    if len(functions) > most or lines > longest:
        pytest.fail("\n  ".join([reach.summary(name, functions), *map(str, functions)]),
                    pytrace=False)


def test_order_and_environment_change_no_figure(found, monkeypatch):
    monkeypatch.setenv("MINIDL_KEEP", "1")
    monkeypatch.setenv("MINIDL_KERNELS", "fast")
    assert reach.measured(*reversed(reach.BOUNDS)) == found


COUNTED = '''\
def decorate(function):
    return function


@decorate
def outer(n):
    """Six lines, with the decorator."""
    squares = [k * k for k in range(n)]
    return Thing().method(
        squares)


class Thing:
    def method(self, numbers):
        def inner(k): return k
        total = sum(inner(k) for k in numbers)
        return (lambda t:
                t + 1)(total)

    def never(self):
        return lambda: 0
'''


def test_what_is_counted(tmp_path):
    """Functions, methods, closures and lambdas that are entered; no comprehension, no generator
    expression, nothing of another package."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "counted.py").write_text(COUNTED, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("counted", package / "counted.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert [str(f) for f in reach.entered(lambda: module.outer(4), package)] == [
        "package/counted.py:5 outer (6)",
        "package/counted.py:14 Thing.method (5)",
        "package/counted.py:17 Thing.method.<lambda> (2)",
        "package/counted.py:15 Thing.method.inner (1)",
    ]
    assert reach.entered(lambda: module.outer(4), tmp_path / "other") == []
