"""What somebody who steps through a convolution meets: few frames between question and answer.

The standard library's debugger (bdb, on which pdb and the editors' debuggers stand) walks from
``F.conv2d`` to the arithmetic of the product, and from ``loss.backward()`` to that of dW.
"""

from __future__ import annotations

import bdb
import inspect
import sys

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl.ops import conv


class Walker(bdb.Bdb):
    """Runs a function under the debugger; at the first entry into `target` notes the call stack."""

    def __init__(self, target):
        super().__init__()
        self.code, self.stack = target.__code__, None

    def user_call(self, frame, arguments):
        if frame.f_code is self.code and self.stack is None:
            self.stack = []
            while frame is not None:
                self.stack.append(frame)
                frame = frame.f_back

    def user_line(self, frame):
        self.set_step()

    def below(self, function) -> list[str]:
        """The names of the frames under `function`, the target's first. One is not counted: it is
        there for every function that a kernel may replace, and chooses between the two."""
        code, choice = inspect.unwrap(function).__code__, conv._conv2d.__code__
        depth = next(i for i, f in enumerate(self.stack) if f.f_code is code)
        assert self.stack[1].f_code is choice                 # one step into the arithmetic
        return [f.f_code.co_name for f in self.stack[:depth] if f.f_code is not choice]


@pytest.fixture(autouse=True)
def readable_kernels():
    """Step through what stands in the op's own file."""
    before, trace = minidl.kernels_in_use(), sys.gettrace()
    minidl.use_kernels("reference")
    yield
    minidl.use_kernels(before)
    sys.settrace(trace)


def layer():
    x = minidl.randn(2, 3, 6, 6, requires_grad=True)
    return x, minidl.randn(4, 3, 3, 3, requires_grad=True)


def test_forward_three_frames_from_the_function_to_the_arithmetic():
    """D3-CONV: F.conv2d, the op's wrapper, the op, its arithmetic."""
    walker = Walker(conv._conv2d.readable)
    walker.runcall(F.conv2d, *layer(), stride=2, padding=1)
    names = walker.below(F.conv2d)
    assert names[0] == "_conv2d" and len(names) <= 3, names
    assert "conv2d" in names                                  # the op itself is on the way


@pytest.mark.parametrize("arithmetic", [
    conv._conv2d_weight_grad.readable, conv._conv2d_input_grad.readable])
def test_backward_five_frames_to_the_arithmetic_of_the_gradient(arithmetic):
    walker, loss = Walker(arithmetic), F.conv2d(*layer()).sum()
    walker.runcall(loss.backward)
    names = walker.below(minidl.Tensor.backward)
    assert names[0] == arithmetic.__name__ and len(names) <= 5, names
    assert "backward" in names                                # the closure beside the forward pass


def test_what_the_debugger_sees_there():
    """At the arithmetic of dW its operands are plain arrays, in the closure's frame x and gy are
    tensors that can be asked."""
    walker, (x, w) = Walker(conv._conv2d_weight_grad.readable), layer()
    walker.runcall(F.conv2d(x, w).sum().backward)
    arithmetic = walker.stack[0].f_locals
    assert isinstance(arithmetic["x"], np.ndarray) and arithmetic["x"].shape == x.shape
    assert arithmetic["g"].shape == (2, 4, 4, 4)
    closure = next(f for f in walker.stack if f.f_code.co_filename == conv.__file__
                   and f.f_code.co_name == "backward")
    assert closure.f_locals["x"] is x and closure.f_locals["gy"].shape == (2, 4, 4, 4)
    source = inspect.getsource(closure)
    assert "conv2d_weight_grad(x, gy" in source               # the formula is the source line


def test_setting_a_breakpoint_by_line_stops_there():
    """A breakpoint on the closure's line, as an editor sets it."""
    lines, start = inspect.getsourcelines(conv.conv2d)
    line = start + next(i for i, text in enumerate(lines) if "gw = conv2d_weight_grad" in text)
    stops = []

    class Stopper(bdb.Bdb):
        def user_line(self, frame):
            if self.break_here(frame):
                stops.append((frame.f_lineno, frame.f_code.co_name))
            self.set_continue()

    stopper, loss = Stopper(), F.conv2d(*layer()).sum()
    assert stopper.set_break(conv.__file__, line) is None
    try:
        stopper.runcall(loss.backward)
    finally:
        stopper.clear_all_breaks()
    assert stops == [(line, "backward")]
