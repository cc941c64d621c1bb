"""What a trace has beside its events: programs' lines, networks, passes and turns, gradients that
were cleared, what was cut off, rules as steps, and which cells a check looked at."""

from __future__ import annotations

import gzip
import inspect
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import functional as F
from minidl import nn, optim
from minidl.explain.listing import Listing, backward_code
from minidl.explain.steps import FUNCTIONS, REDUCTIONS
from minidl.explain.trace import Trace
from minidl.models import MODELS
from minidl.op import OPS
from minidl.training import ClassifierSteps

ROOT = Path(__file__).parents[1]


def of(trace, phase):
    return [e for e in trace.events if e["phase"] == phase]


def loaded(trace, tmp_path) -> Trace:
    """The trace, saved and read again."""
    trace.save(tmp_path / "run.json.gz")
    return Trace.load(tmp_path / "run.json.gz")


# --------------------------------------------------------------------------- programs
SCRIPT = '''import minidl
from minidl import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, x):
        return self.inner(x)\t# a tab before, \x1b[31m red

net = Block()

def work(x):
    return net(x).sum()

with minidl.record() as trace:
    loss = work(minidl.ones(1, 2))
trace.save("run.json")
'''


def run(folder, *arguments):
    """A program in a process of its own, with this minidl."""
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True,
                   env={"PYTHONPATH": str(ROOT), "PATH": ""})


def test_a_line_has_its_function_the_lines_around_it_and_those_that_called_it(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(SCRIPT)
    run(tmp_path, "code/train.py")
    trace = Trace.load(tmp_path / "run.json")
    linear = next(trace.calls("linear"))
    line = trace.sources[linear["line"]]
    assert (line["path"], line["line"], line["function"]) == ("code/train.py", 10, "forward")
    assert line["text"] == "return self.inner(x)    # a tab before, \\x1b[31m red"
    assert line["first"] == 5 and len(line["lines"]) == 11
    assert line["lines"][5] == "        " + line["text"]
    callers = [trace.sources[place] for place in linear["callers"]]
    assert [(c["line"], c["function"]) for c in callers] == [(15, "work"), (18, "<module>")]
    assert callers[-1]["lines"][-1] == 'trace.save("run.json")'
    assert trace.meta["script"] == "code/train.py"


def test_nobodys_folders_are_told(tmp_path):
    """From elsewhere, and from a folder above the home folder, a file has its name alone."""
    (tmp_path / "jane").mkdir()
    script = tmp_path / "jane" / "train.py"
    script.write_text("import sys\n" + SCRIPT.replace('"run.json"', "sys.argv[1]"))
    (tmp_path / "other").mkdir()
    out = tmp_path / "run.json"
    run(tmp_path / "other", str(script), str(out))
    assert "jane" not in out.read_text() and Trace.load(out).meta["script"] == "train.py"
    home = {"HOME": str(tmp_path / "jane"), "USERPROFILE": str(tmp_path / "jane"),
            "PYTHONPATH": str(ROOT), "PATH": ""}
    subprocess.run([sys.executable, str(script), str(out)], cwd=tmp_path, env=home, check=True)
    assert "jane" not in out.read_text() and Trace.load(out).meta["script"] == "train.py"
    run(tmp_path, "jane/train.py", str(out))
    assert Trace.load(out).meta["script"] == "jane/train.py"


def test_a_recorded_step_does_not_tell_who_recorded_it():
    """The stack ends with the step: what called record() is no part of it."""
    model = MODELS["cnn"].build()
    steps = ClassifierSteps(model, MODELS["cnn"].optimizer(model.parameters(), 1e-3))
    trace = minidl.record(steps.step, minidl.rand(2, 1, 28, 28), minidl.tensor([1, 2]))
    paths = {source["path"] for source in trace.sources}
    assert paths and all(path.startswith("minidl/") for path in paths)
    called = [trace.sources[place]["function"] for op in trace.ops for place in (
        op["line"], *op["callers"])]
    assert set(called) == {"step", "_loss", "_hits"}


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_op_has_its_forward_and_its_backward_pass(name):
    """By their def, not by the decorator; the backward pass lies in the forward's function or in
    one of its family."""
    sources = []
    listing, forward = Listing(sources), inspect.unwrap(OPS[name].call).__code__
    place = listing.function(forward)
    assert sources[place]["text"].startswith("def ") and sources[place]["function"] == (
        forward.co_name)
    assert sources[place]["path"].startswith("minidl/ops/") and len(sources[place]["lines"]) <= 40
    backward = backward_code(forward)
    if backward is not None:
        inner = sources[listing.function(backward)]
        assert inner["text"].startswith(("def backward(", "return ")) or "lambda" in inner["text"]
        assert inner["line"] > sources[place]["line"]
    assert listing.function(forward) == place and len(sources) <= 2


def test_the_backward_pass_that_ran_is_shown():
    """A user's op too, and one whose backward pass is a lambda."""
    @minidl.op
    def double(x: minidl.Tensor):
        factor = 2.0

        def other(gy):                       # not called backward
            return gy * factor
        return x.data * factor, other

    x = minidl.ones(2, requires_grad=True)
    with minidl.record() as trace:
        double(x * 3)
        with minidl.no_grad():
            x.exp()
    by_name = {op["op"]: op for op in trace.ops}
    shown = trace.sources[by_name["double"]["backward"]]
    assert shown["text"] == "def other(gy):                       # not called backward"
    assert [line.strip() for line in shown["lines"]] == [shown["text"], "return gy * factor"]
    assert trace.sources[by_name["double"]["forward"]]["text"] == "def double(x: minidl.Tensor):"
    assert by_name["exp"]["grad"] is False and by_name["mul"]["grad"] is True
    assert "backward" in trace.sources[by_name["exp"]["backward"]]["text"]


# --------------------------------------------------------------------------- networks
class Two(nn.Module):
    """Two layers, of which only the first is called, and a weight of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(np.ones(3, np.float32))
        self.first = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        return F.relu(self.first(x) * self.scale)


def test_the_module_tree(tmp_path):
    net = Two()
    net.unused.eval()
    with minidl.record() as trace:
        net(minidl.ones(2, 4)).sum().backward()
    trace = loaded(trace, tmp_path)
    by_name = {m["name"]: m for m in trace.modules}
    assert list(by_name) == ["", "first", "first.0", "first.1", "unused"]
    parents = [None if m["parent"] is None else trace.modules[m["parent"]]["name"]
               for m in trace.modules]
    assert parents == [None, "", "first", "first", ""]
    assert [m["class"] for m in trace.modules] == ["Two", "Sequential", "Linear", "Dropout",
                                                   "Linear"]
    assert [m["count"] for m in trace.modules] == [3 + 15 + 6, 15, 15, 0, 6]
    assert by_name["first.1"]["options"] == net.first[1].extra_repr()
    assert by_name["first"]["training"] and not by_name["unused"]["training"]
    names = lambda module: [trace.parameters[p]["name"] for p in module["parameters"]]
    assert names(by_name[""]) == ["scale"]
    assert names(by_name["first.0"]) == ["first.0.weight", "first.0.bias"]
    assert names(by_name["unused"]) == ["unused.weight", "unused.bias"]
    for number, module in enumerate(trace.modules):
        assert all(trace.parameters[p]["module"] == number for p in module["parameters"])
    used = {trace.parameters[n["parameter"]]["name"] for n in trace.nodes
            if n["parameter"] is not None}
    assert used == {"scale", "first.0.weight", "first.0.bias"}
    within = {op["op"]: op["within"] and trace.modules[op["within"]]["name"] for op in trace.ops}
    assert within["linear"] == "first.0" and within["masked"] == "first.1"
    assert within["relu"] == 0 and within["sum"] is None


def test_modules_that_nobody_registered_are_there_too():
    hidden = nn.Linear(2, 2)

    class Outer(nn.Module):
        def forward(self, x):
            return nn.ReLU()(hidden(x))
    with minidl.record() as trace:
        Outer()(minidl.ones(1, 2))
    assert [(m["name"], m["parent"]) for m in trace.modules] == [("", None), ("Linear", 0),
                                                                 ("ReLU", 0)]
    assert {n["name"] for n in trace.nodes if n["role"] == "parameter"} == {"Linear.weight",
                                                                           "Linear.bias"}


def test_a_parameter_is_the_same_one_after_its_update(tmp_path):
    net = nn.Linear(3, 2)
    free = minidl.ones(2, requires_grad=True)
    optimizer = optim.SGD([*net.parameters(), free], lr=0.1)
    with minidl.record() as trace:
        for _ in range(3):
            optimizer.zero_grad()
            (net(minidl.ones(1, 3)) * free).sum().backward()
            optimizer.step()
    trace = loaded(trace, tmp_path)
    assert [p["name"] for p in trace.parameters] == ["weight", "bias", "free"]
    assert trace.parameters[2] == {"name": "free", "shape": [2], "module": None, "learns": True}
    for place in range(3):
        nodes = [n for n in trace.nodes if n["parameter"] == place]
        assert len(nodes) == 3 and {n["name"] for n in nodes} == {trace.parameters[place]["name"]}
        updates = [e for e in of(trace, "update") if trace.nodes[e["node"]]["parameter"] == place]
        for one, following in pairwise(updates):
            assert one["after"] == following["before"] != one["before"]


# --------------------------------------------------------------------------- passes and turns
def test_passes_begin_where_they_began():
    a = minidl.tensor([2.0, 3.0], requires_grad=True)
    with minidl.record() as trace:
        b = a * 3
        b.backward(minidl.tensor([1.0, 10.0]))
        c = (a * a).sum()
        minidl.grad(c, a)
        before = minidl.ones(1, requires_grad=True) * 2
    first, second = trace.passes
    assert [trace.nodes[n]["name"] for n in first["outputs"]] == ["b"] and first["deposits"]
    assert trace.arrays[first["seeds"][0]].tolist() == [1.0, 10.0]
    assert [trace.nodes[n]["name"] for n in second["outputs"]] == ["c"] and not second["deposits"]
    for each in trace.passes:
        inside = trace.events[each["begin"]:each["end"]]
        assert inside and {e["phase"] for e in inside} == {"backward"}
    outside = [n for n in range(len(trace.events)) if not any(
        p["begin"] <= n < p["end"] for p in trace.passes)]
    assert {trace.events[n]["phase"] for n in outside} == {"forward"}
    lines = [trace.sources[p["line"]]["text"] for p in trace.passes]
    assert lines == ["b.backward(minidl.tensor([1.0, 10.0]))", "minidl.grad(c, a)"]
    with minidl.record() as late:
        before.backward()
    assert late.passes == [{"begin": 0, "end": 0, "outputs": [None], "seeds": [0], "line": 0,
                            "deposits": True}]


def test_a_gan_has_two_turns(tmp_path):
    """By the optimisers' steps, in one's own loop: D's, which G's fakes do not reach, and G's, in
    which D is frozen."""
    G, D = nn.Linear(2, 3), nn.Linear(3, 1)
    d_optimizer, g_optimizer = optim.Adam(D.parameters()), optim.Adam(G.parameters())
    with minidl.record() as trace:
        fake = G(minidl.randn(4, 2))
        loss = D(fake.detach()).mean() - D(minidl.randn(4, 3)).mean()
        loss.backward()
        d_optimizer.step()
        D.requires_grad_(False)
        (-D(fake).mean()).backward()
        g_optimizer.step()
        D(fake)
    trace = loaded(trace, tmp_path)
    names = lambda places: [trace.parameters[p]["name"] for p in places]
    d, g = trace.turns
    assert (d["name"], g["name"]) == ("D", "G") and d["optimizer"] == "Adam"
    assert names(d["moved"]) == ["D.weight", "D.bias"] == names(g["frozen"])
    assert names(g["moved"]) == ["G.weight", "G.bias"] and d["frozen"] == []
    assert trace.sources[g["line"]]["text"] == "g_optimizer.step()"
    assert d["begin"] == 0 and d["end"] == g["begin"] and g["end"] < len(trace.events)
    for turn in trace.turns:
        assert trace.events[turn["end"] - 1]["phase"] == "update"
    cut = [n for n in trace.nodes if n["detached_from"] is not None]
    assert [trace.nodes[n["detached_from"]]["name"] for n in cut] == ["fake"]
    assert [n["role"] for n in cut] == ["input"]


def test_one_networks_turn_has_its_name_or_its_layers():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    for learnt, name in (([*net.parameters()], "net"), ([*net[1].parameters()], "1"),
                         ([net[1][0].bias], "1")):
        optimizer = optim.SGD(learnt, lr=0.1)
        with minidl.record() as trace:
            net(minidl.ones(1, 2)).sum().backward()
            optimizer.step()
        assert [turn["name"] for turn in trace.turns] == [name]


@pytest.mark.parametrize("set_to_none, word", [(True, "none"), (False, "zero")])
def test_gradients_that_were_cleared(set_to_none, word, tmp_path):
    """They had come before the recording, or in it; where there are none, nothing is cleared."""
    net, other = nn.Linear(2, 1), nn.Linear(2, 1)
    optimizer = optim.SGD([*net.parameters(), *other.parameters()], lr=0.1)
    net(minidl.ones(1, 2)).sum().backward()
    with minidl.record() as trace:
        loss = net(minidl.ones(1, 2)).sum()
        optimizer.zero_grad(set_to_none)
        loss.backward()
        net(minidl.ones(1, 2)).sum().backward()            # adds to it
        optimizer.step()
        optimizer.zero_grad(set_to_none)
    first, last = loaded(trace, tmp_path).cleared
    names = [trace.parameters[p]["name"] for p in first["parameters"]]
    assert names == ["weight", "bias"] and first["to"] == last["to"] == word
    assert first["event"] == trace.passes[0]["begin"] and last["event"] == len(trace.events)
    earlier = [e for e in of(trace, "backward") if "earlier" in e]
    assert len(earlier) == (2 if set_to_none else 4)       # zeros, too, were there before


def test_what_an_image_is():
    x, w = minidl.rand(2, 3, 6, 6), minidl.rand(3, 3, 3, 3, requires_grad=True)
    with minidl.record() as trace:
        y = F.conv2d(x, w, padding=1)
        F.conv2d(y, w)
    assert [n["name"] or n["role"] for n in trace.nodes if n["image"]] == ["x", "y"]


# --------------------------------------------------------------------------- updates
def evaluated(event, arrays):
    """A rule's steps, by what the file says alone."""
    known = {k: arrays[v["array"]].astype(np.float64) if isinstance(v, dict) else v
             for k, v in event["names"].items()}
    for step in event["steps"]:
        assert step["do"] not in REDUCTIONS
        known[step["name"]] = FUNCTIONS[step["do"]](*(known.get(a, a) for a in step["of"]))
    return {stored: known[name] for stored, name in event["stores"].items()}


@pytest.mark.parametrize("make", [
    lambda p: optim.SGD(p, lr=0.1), lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1),
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.2),
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), lambda p: optim.RMSprop(p, lr=0.1),
    lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1), lambda p: optim.AdamW(p, lr=0.1),
    lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1)])
def test_a_rules_steps_give_what_was_stored(make, tmp_path):
    w = minidl.tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    optimizer = make([w])
    with minidl.record() as trace:
        for k in range(3):
            optimizer.zero_grad()
            (w * w * (k + 1)).sum().backward()
            optimizer.step()
    trace = loaded(trace, tmp_path)
    for event in of(trace, "update"):
        found = evaluated(event, trace.arrays)
        assert found.keys() == {"after", *event["state_after"]} and event["lines"] == [
            step["text"] for step in event["steps"] if "text" in step]
        for stored, expected in found.items():
            place = event["after"] if stored == "after" else event["state_after"][stored]
            np.testing.assert_allclose(trace.arrays[place], expected, rtol=1e-12)
    for one, following in pairwise(of(trace, "update")):
        assert one["state_after"] == following["state"]


def test_a_rule_of_ones_own_has_no_steps(tmp_path):
    class Halving(optim.Optimizer):
        def _update(self, p, g, state, group):
            p *= 0.5
    w = minidl.ones(2, requires_grad=True)
    optimizer = Halving([w])
    with minidl.record() as trace:
        (w * w).sum().backward()
        optimizer.step()
    (event,) = of(loaded(trace, tmp_path), "update")
    assert event["rule"] == "Halving"
    assert (event["lines"], event["steps"], event["names"], event["stores"]) == ([], [], {}, {})
    assert not [c for c in trace.check() if c["status"] == "fail"]


def test_a_state_that_breaks_its_rule_is_found(monkeypatch):
    w = minidl.tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    rule = optim.update_rules._rmsprop.readable

    def wrong(p, g, v, *options):
        rule(p, g, v, *options)
        v[1] *= 2
    monkeypatch.setattr(optim.update_rules, "_rmsprop", wrong)
    optimizer = optim.RMSprop([w], lr=0.1)
    with minidl.record() as trace:
        (w * w).sum().backward()
        optimizer.step()
    (found,) = [c for c in trace.check() if c["status"] == "fail"]
    assert found["reason"].startswith("square_avg of w: by its rule it is another number")
    assert found["cells"] == [[1]] and found["got"][0] == pytest.approx(2 * found["expected"][0])


# --------------------------------------------------------------------------- checks
def test_a_check_says_what_it_looked_at_and_what_should_be_there(tmp_path):
    x, w = minidl.rand(2, 1, 6, 6), minidl.rand(2, 1, 3, 3, requires_grad=True)
    with minidl.record() as trace:
        F.conv2d(x, w).sum().backward()
    event = next(e for e in of(trace, "backward") if trace.nodes[e["node"]]["name"] == "w")
    right = trace.arrays[event["contribution"]]
    wrong = right.copy()
    wrong[1, 0, 2, 1] *= -1
    trace.arrays.append(wrong)
    event["contribution"] = len(trace.arrays) - 1
    trace.check()
    trace = loaded(trace, tmp_path)
    value, *_ = trace.checks
    assert value["proved"] == "all" and value["tried"] == [] == value["cells"]
    (found,) = [c for c in trace.checks if c["status"] == "fail" and c["compared"] == 18
                and "sum of its terms" in c["reason"]]
    assert found["cells"] == [[1, 0, 2, 1]] and found["proved"] == "all"
    assert found["expected"] == pytest.approx([float(right[1, 0, 2, 1])])
    assert found["got"] == [float(wrong[1, 0, 2, 1])]
    (passed,) = [c for c in trace.checks if c["input"] == 0 and c["status"] == "pass"
                 and trace.ops[c["op"]]["op"] == "sum"]
    assert 25 <= len(passed["tried"]) <= 32 and passed["directions"] == 3
    assert all(len(cell) == 4 for cell in passed["tried"])


def test_wrong_cells_are_listed_by_hundreds_not_thousands():
    """The two hundred with the largest errors, in their order; how many there are is said."""
    x = minidl.ones(40, 40)
    with minidl.record() as trace:
        y = x * 2
    wrong = trace.value(trace.ops[0]["outputs"][0]).copy()
    wrong.ravel()[::2] += np.arange(800, 0, -1)
    wrong[0, 0] = np.nan
    trace.arrays.append(wrong)
    trace.nodes[trace.ops[0]["outputs"][0]]["value"] = len(trace.arrays) - 1
    (found,) = trace.check()
    assert found["wrong"] == 800 and len(found["cells"]) == 200 == len(found["got"])
    assert found["cells"] == [[n // 40, n % 40] for n in range(0, 400, 2)]
    assert found["got"][:2] == ["nan", 801.0] and set(found["expected"]) == {2.0}
    assert y.shape == (40, 40)


# --------------------------------------------------------------------------- maps
def test_index_maps_are_small_in_a_file(tmp_path):
    """Whole numbers that count up are stored as differences, which gzip makes short."""
    x = minidl.rand(4, 8, 32, 32)
    with minidl.record() as trace:
        y = x.permute(0, 2, 3, 1).reshape(4, -1)
        minidl.cat([y, y[:, ::2]], 1)
    trace.save(tmp_path / "run.json.gz")
    document = trace.document()
    assert {op["map"]["kind"] for op in document["ops"]} == {"positions"}
    coded = [a for a in document["arrays"] if a.get("coding") == "delta"]
    assert coded and all(a["dtype"] in ("i4", "i8") for a in coded)
    places = 4 * sum(np.prod(a["shape"]) for a in coded)
    assert places > 300_000 and len(gzip.compress(json.dumps(coded).encode())) < places / 20
    again = Trace.load(tmp_path / "run.json.gz")
    assert json.dumps(again.document()) == json.dumps(document)
    for a, b in zip(trace.arrays, again.arrays, strict=True):
        assert a.dtype == b.dtype and (a == b).all()


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_differences_of_whole_numbers_wrap_around(dtype, tmp_path):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    values = np.array([[low, high, 0], [high, low, -1]], dtype)
    with minidl.record() as trace:
        minidl.ones(1) * 2
    trace.frame(0, values=values)
    again = loaded(trace, tmp_path)
    found = again.arrays[again.frames[0]["arrays"]["values"]]
    assert found.dtype == dtype and (found == values).all()
