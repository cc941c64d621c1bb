"""Step into a convolution with Python's own debugger, and count the frames on the way."""

from __future__ import annotations

import bdb
import re
from pathlib import Path

import pytest

import minidl
import minidl.functional as F
from minidl.ops import conv

PAGE = Path(__file__).parent.parent / "docs" / "debug.md"


class Walk(bdb.Bdb):
    """Stops on the first line of one function, and notes the frames above it, innermost first."""

    def __init__(self, function):
        super().__init__()
        self.frames: list[tuple[str, str]] = []
        self.code = code = function.__code__
        first = min(line for *_, line in code.co_lines() if line and line > code.co_firstlineno)
        problem = self.set_break(code.co_filename, first)
        assert problem is None, problem

    def user_line(self, frame):
        if frame.f_code is self.code:
            while frame is not None:
                self.frames.append((frame.f_code.co_name, Path(frame.f_code.co_filename).name))
                frame = frame.f_back
        self.set_continue()

    def above(self, outermost: str) -> list[tuple[str, str]]:
        """The frames from the breakpoint up to the last one in the library, `outermost`."""
        library = {path.name for path in Path(minidl.__file__).parent.rglob("*.py")}
        inside = [k for k, (_, file) in enumerate(self.frames) if file in library - {"__init__.py"}]
        frames = self.frames[: inside[-1] + 1]
        assert frames[-1][0] == outermost
        return frames


@pytest.fixture
def operands():
    minidl.use_kernels("reference")
    x, w = minidl.randn(2, 3, 8, 8), minidl.randn(4, 3, 3, 3)
    yield x, w.requires_grad_()
    minidl.use_kernels("fast")


def test_forward_is_three_frames_from_the_arithmetic(operands):
    walk = Walk(conv._conv2d)
    walk.runcall(F.conv2d, *operands)
    names = [name for name, _ in walk.above("conv2d")]
    assert names == ["_conv2d", "conv2d", "apply", "conv2d"]


def test_backward_is_five_frames_from_the_arithmetic(operands):
    """And the debugger page tells the same frames, in the same order."""
    loss = F.conv2d(*operands).sum()
    walk = Walk(conv._conv2d_weight_grad)
    walk.runcall(loss.backward)
    frames = walk.above("backward")
    assert len(frames) == 1 + 5
    told = re.findall(r"^\| `(\w+)` in `(?:ops/)?(\w+\.py)`", PAGE.read_text("utf-8"), re.MULTILINE)
    assert frames == told


def test_a_gradient_that_nobody_wants_is_not_computed(operands):
    loss = F.conv2d(*operands).sum()
    walk = Walk(conv._conv2d_input_grad)
    walk.runcall(loss.backward)
    assert not walk.frames
