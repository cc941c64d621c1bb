"""The page's arithmetic is Python's: every op's cells, values and gradients, asked of both."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optable import call, every_op, few, noise_like, tensor_arguments

import minidl
from minidl.explain.bound import bound_map
from minidl.explain.cells import explain_call
from minidl.explain.gradient_cells import explain_contribution
from minidl.ops.terms import Composite
from minidl.testing.compare import equal, scale_of
from minidl.testing.domains import DOMAINS

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript without a page")


@pytest.fixture(scope="module")
def ask():
    """A question to the page's modules, run by node; its answer."""
    reader = Path(__file__).parent / "page" / "terms_by_line.mjs"
    with subprocess.Popen(["node", str(reader)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, bufsize=1) as node:
        def answer(question):
            node.stdin.write(json.dumps(question, allow_nan=False) + "\n")
            return json.loads(node.stdout.readline())
        yield answer
        node.stdin.close()


def as_json(array):
    return {"shape": list(array.shape), "data": [
        float(v) if np.isfinite(v) else str(float(v)) for v in np.ravel(array).tolist()]}


@every_op
@few
@given(data=st.data())
def test_a_cell_of_the_page_is_pythons(ask, name, data):
    args = data.draw(DOMAINS[name])
    tensors = [minidl.tensor(a) for a in tensor_arguments(name, args)]
    with minidl.record() as trace:
        call(name, args, tensors)
    op = next(trace.calls(name))
    found, recorded = bound_map(trace, op), trace.call(op)
    gy = noise_like(recorded.out)
    question = {"map": found, "operands": [as_json(x) for x in recorded.operands],
                "out": as_json(recorded.out), "gy": as_json(gy),
                "extra": {k: as_json(trace.value(n)) for k, n in found["arrays"].items()},
                "places": {n: as_json(a) for n, a in enumerate(trace.arrays)}}
    draw = lambda shape: [data.draw(st.integers(0, n - 1)) for n in shape]
    if not recorded.out.size:
        return
    index = draw(recorded.out.shape)
    answer, wanted = ask({**question, "index": index}), explain_call(recorded, tuple(index))
    size = max(wanted.magnitude, scale_of(*recorded.operands[:1]) if isinstance(
        recorded.op.terms, Composite) else 0)
    assert equal(float(answer["total"]), wanted.total, 1e-12, size), (answer, wanted)
    assert answer["outside"] == wanted.outside
    for k, x in enumerate(recorded.operands):
        if not x.size or x.dtype.kind != "f":
            continue
        index = draw(x.shape)
        wanted = explain_contribution(recorded, k, tuple(index), gy)
        answer = ask({**question, "index": index, "operand": k})
        size = max(wanted.magnitude, 1e-3 * scale_of(gy))
        assert equal(float(answer["total"]), wanted.total, 1e-9, size), (answer, wanted)
        assert answer["outside"] == wanted.outside
        if not isinstance(recorded.op.terms, Composite):
            assert [t["value"] for t in answer["terms"] if t["value"]] == pytest.approx(
                [t.value for t in wanted.terms if t.value], rel=1e-9, abs=1e-9 * size)


def test_the_steps_have_their_numbers(ask):
    x = minidl.tensor([[1.0, 2.0, 4.0]])
    with minidl.record() as trace:
        minidl.softmax(x, 1)
    op = next(trace.calls("softmax"))
    recorded = trace.call(op)
    answer = ask({"map": bound_map(trace, op), "operands": [as_json(recorded.operands[0])],
                  "out": as_json(recorded.out), "extra": {}, "places": {}, "index": [0, 1]})
    e = np.exp([-3.0, -2.0, 0.0])
    assert [s["value"] for s in answer["steps"]] == pytest.approx([4.0, e[1], e.sum(),
                                                                  e[1] / e.sum()])
    assert [f["index"] for f in answer["terms"][0]["factors"]] == [[0, 1], [0, 0], [0, 2]]
