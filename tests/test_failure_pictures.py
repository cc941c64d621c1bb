"""``--gradient-pictures``: what a failing gradient test leaves behind; and over the whole op table,
that a flipped sign in one backward turns cells red in ``trace.check()``.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from optable import few, noise_like, tensor_arguments
from test_mutation import broken, operands

import minidl
import minidl.functional as F
from minidl.explain.trace import Trace
from minidl.testing import GradientError, check_gradients, check_vjp, pytest_plugin
from minidl.testing.domains import DOMAINS

ROOT = Path(__file__).parents[1]
INSTALLED = any(e.name == "minidl" for e in importlib.metadata.entry_points(group="pytest11"))

# Column 1 of the gradient has the wrong sign: the smallest array that shows it has shape (1, 2).
FAILING = """
import numpy as np
import pytest
from hypothesis import given, settings
import minidl
from minidl.testing import GradientError, check_gradients, check_vjp
from minidl.testing.strategies import arrays, shapes

settings.register_profile("here", deadline=None, database=None, derandomize=True)
settings.load_profile("here")

@minidl.op
def slip(x: minidl.Tensor):
    signs = np.where(np.arange(x.size()[-1]) == 1, -1.0, 1.0)
    def backward(gy):
        return gy * 2 * x * minidl.tensor(signs)
    return x.data**2, backward

@given(arrays(shapes(2, 2, max_side=6), 0.5, 2.0))
def test_slip(x):
    check_gradients(slip, x)

def test_within_others():
    check_gradients(lambda x, w: (slip(x * w) + x).sum(), np.ones((2, 3)), 2 * np.ones((2, 3)))

@given(arrays(shapes(1, 1), 0.5, 2.0))
def test_two_bugs(x):
    if x.size > 2:
        check_gradients(lambda x: slip(x) + 0.0, x)
    check_gradients(slip, x)

@pytest.mark.parametrize("name", ["a/b", "a:b"])
def test_plain(name):
    check_vjp(lambda x: 3 * x, lambda gy, x: gy * 2, np.ones(2))

def test_large():
    check_gradients(slip, np.ones((2, 40, 50)))

def test_second_order():
    @minidl.op
    def careless(x: minidl.Tensor):
        return x.data**2, lambda gy: gy * (2 * x.data)
    check_gradients(careless, np.ones(2), order=2)

def test_passes():
    with pytest.raises(GradientError):
        check_gradients(slip, np.ones(3))

def test_fails_for_another_reason():
    raise ValueError("not a gradient")
"""


def run_pytest(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess:
    """pytest in a process of its own, on one file; warnings are errors."""
    (folder / "test_them.py").write_text(text, encoding="utf-8")
    plugin = [] if INSTALLED else ["-p", "pytest_minidl"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *plugin,
         *options, "test_them.py"], cwd=folder, capture_output=True, text=True, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"})


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """(the folder of pictures, what pytest printed)"""
    folder = tmp_path_factory.mktemp("failing")
    done = run_pytest(folder, FAILING, "--gradient-pictures", "pictures")
    assert done.returncode == 1 and "8 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    return folder / "pictures", done.stdout


def red(path: Path) -> float:
    """The share of a picture's pixels that have the red of wrong cells."""
    from matplotlib.image import imread
    pixels = imread(path)[..., :3] * 255
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10, "blank, or nearly"
    return float((np.abs(pixels - [0xd4, 0, 0x2a]).max(axis=2) < 2).mean())


def failures(trace: Trace) -> list[dict]:
    return [c for c in trace.checks if c["status"] == "fail"]


def test_the_smallest_failing_example_is_written(failed):
    folder, printed = failed
    trace = Trace.load(folder / "test_slip.json")
    (op,), (wrong,) = trace.ops, failures(trace)
    assert trace.nodes[op["inputs"][0]]["shape"] == [1, 2]
    assert wrong["cells"] == [[0, 1]] and (wrong["op"], wrong["input"]) == (0, 0)
    # It is the example that Hypothesis names, and the error is of.
    value = trace.value(op["inputs"][0])
    shown = re.search(r"input 0, float64\[1, 2\]:[\sE]+\[\[\s*([\d.]+),\s*([\d.]+)\s*\]\]", printed)
    assert [float(v) for v in shown.groups()] == value.ravel().tolist()
    assert trace.meta["test"] == "test_them.py::test_slip"
    assert trace.site(op).endswith("check_gradients(slip, x)")
    assert trace.nodes[op["inputs"][0]]["name"] == "x"
    assert red(folder / "test_slip.png") > 0.01


def test_the_wrong_op_is_found_among_others(failed):
    trace = Trace.load(failed[0] / "test_within_others.json")
    (wrong,) = failures(trace)
    assert trace.ops[wrong["op"]]["op"] == "slip" and wrong["cells"] == [[0, 1], [1, 1]]
    assert {"x", "w"} <= {n["name"] for n in trace.nodes}
    assert red(failed[0] / "test_within_others.png") > 0.01


def test_of_two_bugs_the_smaller_example_is_drawn(failed):
    trace = Trace.load(failed[0] / "test_two_bugs.json")
    assert trace.nodes[0]["shape"] == [2]


def test_a_large_input_is_drawn_around_a_wrong_cell(failed):
    folder, printed = failed
    assert re.search(r"test_large\.png   input 0\[[01], \d+:\d+, 0:32\]: 32 of 1024 cells differ",
                     printed)
    assert red(folder / "test_large.png") > 0.005
    assert failures(Trace.load(folder / "test_large.json"))


def test_every_file_is_named_and_nothing_else_written(failed):
    folder, printed = failed
    written = {p.name for p in folder.iterdir()}
    assert written == {f"test_{name}.{ending}" for ending in ("png", "json")
                       for name in ("slip", "within_others", "two_bugs", "large")} | {
        "test_plain_a_b.png", "test_plain_a_b-2.png", "test_second_order.png"}
    named = re.findall(r"^pictures/(\S+) ", printed.replace(os.sep, "/"), re.MULTILINE)
    assert set(named) == written
    assert len(re.findall(r"^no pictures\S+json: there is a trace of check_gradients alone",
                          printed, re.MULTILINE)) == 3


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "pictures").write_text("a file")
    done = run_pytest(tmp_path, FAILING, "--gradient-pictures", "pictures", "-k", "within")
    assert done.returncode == 1 and "GradientError" in done.stdout
    assert re.search(r"^no pictures.test_within_others.png: \w+Error", done.stdout, re.MULTILINE)


def test_without_the_option_nothing_is_loaded_or_written(tmp_path):
    done = run_pytest(tmp_path, """
import sys

def test_it():
    assert "pytest_minidl" in sys.modules
    assert not {"minidl", "numpy", "matplotlib"} & set(sys.modules)
""", "-p", "no:hypothesispytest")
    assert done.returncode == 0, done.stdout
    assert [p.name for p in tmp_path.iterdir() if "pycache" not in p.name] == ["test_them.py"]


def test_the_error_carries_what_was_compared():
    with pytest.raises(GradientError) as failure:
        check_gradients(lambda x, y: x * y.detach(), np.ones(2), np.array([1.0, 3.0]))
    check, (k, direction) = failure.value.check, failure.value.direction
    assert k == 1 and direction.tolist() == [1, 0] and check.tensors is not None
    assert [x.tolist() for x in check.inputs] == [[1, 1], [1, 3]]
    assert check.gradients[1] is None and check.upstream[0].shape == (2,)
    with pytest.raises(GradientError, match="2 gradients for 1") as failure:
        check_vjp(lambda x: x, lambda gy, x: (gy, gy), np.ones(2))
    assert failure.value.check is None


# --------------------------------------------------------------------------- the op table
def recorded(name, args, k, mutate) -> Trace:
    """A call of the op and its backward, with gradient k changed; checked."""
    with minidl.record() as trace:
        leaves = [minidl.Tensor(x, requires_grad=x.dtype.kind == "f")
                  for x in tensor_arguments(name, args)]
        y = broken(name, args, k, mutate)(*leaves)
        y.backward(minidl.tensor(noise_like(y.data)))
    trace.check()
    return trace


@pytest.mark.parametrize("name", DOMAINS)
def test_a_flipped_sign_turns_cells_red(name):
    """In each backward of the library, for each operand: exactly that contribution fails, with
    cells, and only where the gradient is not 0 (of which a sign cannot be flipped)."""
    for k in operands(name):
        compared = []

        @few
        @given(DOMAINS[name])
        def turns_red(args):
            right = recorded(name, args, k, lambda g: g)
            assert not failures(right), failures(right)
            gradient = next((right.arrays[e["contribution"]] for e in right.events
                             if e["phase"] == "backward" and e["input"] == k), np.zeros(0))
            if not gradient.any():
                return                     # a drawn mask, clamp or padding let nothing through
            compared.append(gradient)
            (wrong,) = failures(recorded(name, args, k, lambda g: -g))
            assert (wrong["op"], wrong["input"]) == (0, k)
            assert wrong["cells"] and all(gradient[tuple(c)] for c in wrong["cells"])

        turns_red()
        assert compared, f"{name}: every gradient {k} was 0"


def test_an_op_with_arguments_that_a_trace_cannot_keep_is_skipped():
    """A check that replayed it with other arguments would find a mistake where there is none."""
    @minidl.op
    def scaled(x, *, by=2.0):
        return x.data * by, lambda gy: gy * by

    @minidl.op
    def mapped(x, f):
        return f(x.data), lambda gy: -gy

    for call in (lambda x: scaled(x, by=3.0), lambda x: mapped(x, np.negative)):
        with minidl.record() as trace:
            call(minidl.ones(2, requires_grad=True)).sum().backward()
        statuses = {(trace.ops[c["op"]]["op"], c["status"]) for c in trace.check()}
        assert statuses == {(trace.ops[0]["op"], "skipped"), ("sum", "pass")}


@pytest.mark.parametrize("logit", [8.0, 12.0, 17.0, 30.0])
def test_rounding_in_a_saturated_loss_is_not_red(logit):
    """In float32 a slope p - t keeps few digits where p is close to t; that is no mistake."""
    t = minidl.tensor([[1.0, 0.0], [0.0, 1.0]])
    for loss in (F.binary_cross_entropy_with_logits, F.cross_entropy,
                 lambda x, t: (x.sigmoid() + x.tanh() - t).sum()):
        with minidl.record() as trace:
            x = minidl.tensor([[logit, -logit], [-logit / 2, 1.1 * logit]], requires_grad=True)
            loss(x, t).backward()
        trace.check()
        assert not failures(trace), failures(trace)


def test_cells_at_a_kink_have_no_slope_and_are_wrong(tmp_path, monkeypatch):
    """A wrong gradient of |x| at 2, beside 0, where there is none."""
    pytest.importorskip("matplotlib")
    with pytest.raises(GradientError, match=r"entry \(0,\)") as failure:
        check_vjp(np.abs, lambda gy, x: gy * 3 * np.sign(x), np.array([2.0, 0.0, 1.0]))
    from matplotlib.figure import Figure
    drawn = []
    monkeypatch.setattr("minidl.explain.pictures.wrong_cells", lambda *about: (
        drawn.extend(about), Figure())[1])
    said = pytest_plugin.save_picture(failure.value, tmp_path / "picture.png", "tests.py::test_it")
    assert said.endswith("input 0: 3 of 3 cells differ")
    analytic, numeric, wrong, title = drawn
    gy = failure.value.check.upstream[0]
    np.testing.assert_allclose(analytic, gy * [3, 0, 3])
    np.testing.assert_allclose(numeric, gy * [1, np.nan, 1])
    assert wrong.tolist() == [[0], [1], [2]]
    assert title == "test_it\nnan: a kink or a jump, no slope there\ngradient of input 0"
