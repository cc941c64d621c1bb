"""A recorded step: complete, in order, copied, put back, proved, and readable from its file."""

from __future__ import annotations

import gzip
import json
import random
import threading
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import data, nn, optim
from minidl import functional as F
from minidl.explain import maps
from minidl.explain.trace import Trace
from minidl.models import MODELS
from minidl.ops.terms import Contract
from minidl.training import ClassifierSteps

ROOT = Path(__file__).parents[1]


@pytest.fixture
def small():
    """A small classifier, its optimiser and a batch of eight."""
    minidl.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(),
                        nn.MaxPool2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(27, 4))
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    x, t = minidl.rand(8, 1, 6, 6), minidl.tensor([0, 1, 2, 3] * 2)

    def step(x, t):
        loss = F.cross_entropy(net(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return net, optimizer, step, x, t


def of(trace, phase):
    return [e for e in trace.events if e["phase"] == phase]


# --------------------------------------------------------------------------- what is recorded
def test_events_come_in_order_and_complete(small):
    net, _, step, x, t = small
    trace = minidl.record(step, x, t)
    phases = [e["phase"] for e in trace.events]
    assert phases == sorted(phases, key=["forward", "backward", "update"].index)
    assert [trace.ops[e["op"]]["op"] for e in of(trace, "forward")] == [
        "conv2d", "reshape", "reshape", "normalized_affine", "relu", "max_pool2d", "masked",
        "reshape", "linear", "cross_entropy_rows", "sum"]
    assert len(of(trace, "update")) == len(list(net.parameters()))
    names = {n["name"] for n in trace.nodes if n["role"] == "parameter"}
    assert names == {name for name, _ in net.named_parameters()}
    assert [n["name"] for n in trace.nodes if n["role"] == "input"] == ["x"]
    assert trace.meta["probe"] == 2 and trace.value(0).shape == (2, 1, 6, 6)
    masks = [n for n in trace.nodes if n["role"] == "mask"]
    assert len(masks) == 1 and set(np.unique(trace.value(masks[0]["id"]))) <= {0.0, 2.0}
    assert [n["role"] for n in trace.nodes if n["shape"] == [2]][:1] == ["label"]
    conv = next(trace.calls("conv2d"))
    assert conv["module"] == "0" and conv["formula"] == "D3-CONV"
    assert trace.site(conv).startswith("tests/test_trace.py:")
    assert trace.sources[conv["forward"]]["path"] == "minidl/ops/conv.py"
    assert trace.maps["conv2d"]["kind"] == "Contract"


def test_contributions_arrive_one_by_one():
    """b = a + a; c = b + b: four contributions, the running sums 1, 2 and then 2, 4."""
    a = minidl.tensor([3.0], requires_grad=True)
    with minidl.record() as trace:
        b = a + a
        c = b + b
        c.backward()
    sums = [(trace.nodes[e["node"]]["name"], float(trace.arrays[e["contribution"]][0]),
             float(trace.arrays[e["sum"]][0]), e["number"], e["of"]) for e in of(trace, "backward")]
    assert sums == [("b", 1.0, 1.0, 1, 2), ("b", 1.0, 2.0, 2, 2),
                    ("a", 2.0, 2.0, 1, 2), ("a", 2.0, 4.0, 2, 2)]


def test_a_second_backward_adds_to_the_first():
    for shape in ((1,), ()):
        a = minidl.ones(shape, requires_grad=True)
        with minidl.record() as trace:
            (a * 2).sum().backward()
            (a * 5).sum().backward()
        arrived = [trace.arrays[e["sum"]].item() for e in of(trace, "backward")
                   if trace.nodes[e["node"]]["name"] == "a"]
        assert arrived == [2.0, 7.0]


def test_a_gradient_that_did_not_arrive_is_none():
    a, b = minidl.ones(2, requires_grad=True), minidl.ones(2, requires_grad=True)
    with minidl.record() as trace:
        unused = b * 3
        (a * 0.0).sum().backward()
    by_name = {n["name"]: n for n in trace.nodes if n["name"]}
    assert trace.grad(by_name["b"]["id"]) is None
    assert trace.grad(by_name["a"]["id"]).tolist() == [0.0, 0.0]
    assert unused.grad is None


def test_two_networks_parameters_have_names_of_their_own():
    class Left(nn.Linear): pass
    class Right(nn.Linear): pass
    with minidl.record() as trace:
        Right(2, 2)(Left(2, 2)(minidl.ones(1, 2))).sum().backward()
    names = {n["name"] for n in trace.nodes if n["role"] == "parameter"}
    assert names == {"Left.weight", "Left.bias", "Right.weight", "Right.bias"}

    G, D = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2))
    with minidl.record() as trace:
        D(G(minidl.ones(1, 2))).sum().backward()
    assert [op["module"] for op in trace.calls("linear")] == ["G.0", "D.0"]
    assert "D.0.weight" in {n["name"] for n in trace.nodes}


def test_values_are_copies(small):
    net, _, step, x, t = small
    weight = net[0].weight.numpy().copy()
    with minidl.record() as trace:
        step(x, t)
    (first,) = [n for n in trace.nodes if n["name"] == "0.weight"]
    assert (trace.value(first["id"]) == weight).all() and (net[0].weight.numpy() != weight).any()
    update = next(e for e in of(trace, "update") if e["node"] == first["id"])
    assert (trace.arrays[update["after"]] == net[0].weight.numpy()).all()
    assert update["rule"] == "Adam" and update["options"]["lr"] == 0.01


def test_a_parameter_that_was_updated_is_a_new_node(small):
    _, _, step, x, t = small
    with minidl.record() as trace:
        step(x, t)
        step(x, t)
    assert len([n for n in trace.nodes if n["name"] == "0.weight"]) == 2


# --------------------------------------------------------------------------- as if nothing had been
def test_a_probe_puts_everything_back(small):
    net, optimizer, step, x, t = small
    step(x, t)
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    gradients = [p.grad.numpy().copy() for p in net.parameters()]
    state, noise = optimizer.state_dict(), minidl.random.default_generator().get_state()
    minidl.record(step, x, t, probe=3)
    assert all((before[k] == v.numpy()).all() for k, v in net.state_dict().items())
    assert all((g == p.grad.numpy()).all() for g, p in zip(gradients, net.parameters()))
    assert minidl.random.default_generator().get_state() == noise
    after = optimizer.state_dict()
    for number, entry in state["state"].items():
        for key, value in entry.items():
            assert np.array_equal(value, after["state"][number][key])
    assert minidl.modes.mode.watchers == ()


def test_a_probe_puts_back_all_that_the_step_can_reach():
    """Gradients cleared before the forward pass, SGD's momentum, a schedule, an average, a target
    network, a generator of one's own, training mode."""
    net, target = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), nn.Linear(3, 3)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    average = [p.detach().clone() for p in net.parameters()]
    generator, history = minidl.random.Generator(3), {"losses": []}

    def step(batch):
        optimizer.zero_grad()
        net.train()
        target.requires_grad_(False)
        random.random()
        loss = (net(batch["x"]) * minidl.randn(2, 3, generator=generator)).sum()
        loss.backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.5
        with minidl.no_grad():
            for a in average:
                a.mul_(0.9)
            target.weight.copy_(net[0].weight)
        history["losses"].append(loss.item())

    batch = {"x": minidl.rand(2, 3)}
    step(batch)
    net.eval()
    target.requires_grad_(True)
    random.seed(5)
    everything = lambda: ([t.numpy().copy() for t in (*net.parameters(), *net.buffers(), *average,
                                                      *target.parameters())],
                          [p.grad.numpy().copy() for p in net.parameters()],
                          [s["momentum_buffer"].copy() for s in optimizer.state.values()])
    before = everything()
    trace = minidl.record(step, batch)
    for one, other in zip(before, everything()):
        assert all((a == b).all() for a, b in zip(one, other))
    assert optimizer.param_groups[0]["lr"] == 0.05 and len(history["losses"]) == 1
    assert generator.counter == 1 and not net.training and not net[1].training
    assert target.weight.requires_grad and random.random() == random.Random(5).random()
    assert "noise" in {n["role"] for n in trace.nodes}


def test_examples_are_cut_wherever_they_stand():
    def step(pair, x):
        assert (len(pair[0]), len(pair[1]["t"]), len(x)) == (3, 3, 3)
    minidl.record(step, (minidl.rand(8, 2), {"t": minidl.arange(8)}), x=minidl.rand(8, 3), probe=3)
    with pytest.raises(TypeError, match="give a step function first"):
        minidl.record(probe=3)


def test_a_probe_puts_back_also_after_an_error(small):
    net, optimizer, step, x, t = small

    def fails(x, t):
        step(x, t)
        raise KeyError("mine")
    weight = net[6].weight.numpy().copy()
    with pytest.raises(KeyError, match="mine"):
        minidl.record(fails, x, t)
    assert (net[6].weight.numpy() == weight).all() and not optimizer.state


def test_start_and_stop():
    recorder = minidl.record().start()
    y = minidl.ones(2) * 3
    trace = recorder.stop()
    assert len(trace.ops) == 1 and y.tolist() == [3, 3] and "1 forward" in repr(trace)


# --------------------------------------------------------------------------- proof
def test_a_sound_step_passes_its_check(small):
    _, _, step, x, t = small
    trace = minidl.record(step, x, t)
    found = trace.check()
    assert not [c for c in found if c["status"] == "fail"]
    assert len(found) == len(trace.ops) + len(of(trace, "backward"))
    assert "0 failed" in repr(trace) and ", 0 failed, " in trace.verdict()


def test_a_wrong_contribution_is_found_cell_by_cell(small):
    _, _, step, x, t = small
    trace = minidl.record(step, x, t)
    event = next(e for e in of(trace, "backward")
                 if trace.nodes[e["node"]]["name"] == "0.weight")
    wrong = -trace.arrays[event["contribution"]]
    trace.arrays.append(wrong)
    event["contribution"] = len(trace.arrays) - 1
    failed, *more = [c for c in trace.check() if c["status"] == "fail"]
    assert (failed["op"], failed["input"]) == (event["op"], 1)
    assert [c["reason"] for c in more] == [
        "the sum is not what had arrived plus this contribution"]
    assert failed["wrong"] == len(failed["cells"]) == int((np.abs(wrong) > 1e-4).sum())
    assert "differ from the sum of its terms" in failed["reason"]


def test_a_wrong_value_is_found(small):
    _, _, step, x, t = small
    trace = minidl.record(step, x, t)
    conv = next(trace.calls("conv2d"))
    values = trace.value(conv["outputs"][0]).copy()
    values[1, 2, 3, 4] += 1
    trace.arrays.append(values)
    trace.nodes[conv["outputs"][0]]["value"] = len(trace.arrays) - 1
    failed = [c for c in trace.check() if c["status"] == "fail"]
    assert [1, 2, 3, 4] in failed[0]["cells"] and failed[0]["op"] == conv["id"]


def test_what_the_tape_itself_does_wrong_is_found(small, monkeypatch):
    """A sum that forgets what was there, a gradient that never comes, an update uphill."""
    a = minidl.tensor([3.0], requires_grad=True)

    def failed(f):
        with minidl.record() as trace:
            f()
        return [c["reason"] for c in trace.check() if c["status"] == "fail"]
    assert not failed(lambda: (a * a + a).backward())
    with monkeypatch.context() as patch:
        patch.setattr("minidl.gradients._add", lambda sums, key, g: sums.__setitem__(key, g))
        (reason, *_) = failed(lambda: (a * 2 + a * 5).backward())
    assert "the sum is not what had arrived plus this" in reason

    @minidl.op
    def forgetful(x: minidl.Tensor, w: minidl.Tensor):
        return x.data * w.data, lambda gy: (gy * w, None)
    (reason,) = failed(lambda: forgetful(a, minidl.tensor([2.0], requires_grad=True)).backward())
    assert "no gradient came" in reason

    _, optimizer, step, x, t = small
    rule = optim.update_rules._adam.readable
    monkeypatch.setattr(optim.update_rules, "_adam", lambda p, g, *rest: rule(p, -g, *rest))
    reasons = {c["reason"] for c in minidl.record(step, x, t).check() if c["status"] == "fail"}
    assert reasons and all("by its rule it is" in r for r in reasons)


@pytest.mark.parametrize("make", [
    lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1),
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3),
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), lambda p: optim.RMSprop(p, lr=0.1),
    lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1), lambda p: optim.AdamW(p, lr=0.1),
    lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1)])
def test_updates_are_those_of_the_rule_and_others_are_found(make):
    w = minidl.tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    optimizer = make([w])
    with minidl.record() as trace:
        for _ in range(3):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
    assert not [c for c in trace.check() if c["status"] == "fail"]
    last = trace.events[-1]
    trace.arrays.append(trace.arrays[last["after"]] * 1.01)
    last["after"] = len(trace.arrays) - 1
    assert [c["event"] for c in trace.check() if c["status"] == "fail"] == [len(trace.events) - 1]


def test_hooks_and_clipping_are_no_failures():
    a = minidl.tensor([3.0, 4.0], requires_grad=True)
    optimizer = optim.SGD([a], lr=0.1)
    with minidl.record() as trace:
        b = a * 2
        b.register_hook(lambda g: g * 3)
        (b * b).sum().backward()
        optim.clip_grad_norm_([a], 1.0)
        optimizer.step()
    assert not [c for c in trace.check() if c["status"] == "fail"]


def test_a_gradient_of_a_gradient_is_recorded():
    x = minidl.tensor([2.0], requires_grad=True)
    with minidl.record() as trace:
        (slope,) = minidl.grad(x * x * x, x, create_graph=True)
        slope.backward()
    assert x.grad.item() == 12.0
    (last,) = [e for e in of(trace, "backward") if trace.nodes[e["node"]]["name"] == "x"][-1:]
    assert trace.arrays[last["sum"]].item() == 12.0
    assert not [c for c in trace.check() if c["status"] == "fail"]


def test_numbers_that_are_not_finite_can_be_saved(tmp_path):
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    with minidl.record() as trace:
        y = minidl.clamp(x, -float("inf"), 1.5) + minidl.full((2,), float("inf"))
        y.sum().backward()
    trace.frame(0, loss=float("nan"))
    trace.check()
    trace.save(tmp_path / "run.json")
    again = Trace.load(tmp_path / "run.json")
    assert again.call(again.ops[0]).args[1] == -float("inf")
    assert {c["status"] for c in again.check()} <= {"pass", "skipped"}
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        trace.save(tmp_path / "nowhere" / "run.json")


def test_an_op_of_the_users_is_not_taken_for_the_librarys(tmp_path):
    @minidl.op
    def exp(x: minidl.Tensor):
        return 2.0**x.data, lambda gy: gy * 0.6931471805599453 * 2.0**x
    with minidl.record() as trace:
        exp(minidl.tensor([1.0], requires_grad=True)).backward()
    assert not [c for c in trace.check() if c["status"] == "fail"]
    trace.save(tmp_path / "run.json")
    again = Trace.load(tmp_path / "run.json")
    assert {c["status"] for c in again.check() if again.ops[c["op"]]["op"] == "exp"} == {
        "skipped"}


def test_two_threads_record_apart():
    traces, both = {}, threading.Barrier(2)

    def work(n):
        with minidl.record() as trace:
            both.wait()
            minidl.randn(4) * n
            both.wait()
        traces[n] = trace
    threads = [threading.Thread(target=work, args=(n,)) for n in (2, 3)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert [len(t.ops) for t in traces.values()] == [1, 1]


def test_a_kink_is_skipped_and_said():
    x = minidl.tensor(np.zeros(3), requires_grad=True)
    with minidl.record() as trace:
        x.abs().sum().backward()
    (found,) = [c for c in trace.check()
                if c["input"] == 0 and trace.ops[c["op"]]["op"] == "abs"]
    assert found["status"] == "skipped" and "kink" in found["reason"]


# --------------------------------------------------------------------------- files
def test_a_file_says_what_the_trace_says(small, tmp_path):
    _, _, step, x, t = small
    trace = minidl.record(step, x, t)
    trace.check()
    trace.save(tmp_path / "run.json")
    again = Trace.load(tmp_path / "run.json")
    assert (again.nodes, again.ops, again.checks) == (trace.nodes, trace.ops, trace.checks)
    for a, b in zip(trace.arrays, again.arrays):
        assert a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    op = next(again.calls("conv2d"))
    assert repr(again.explain(op["id"], (0, 1, 2, 3))) == repr(trace.explain(op["id"],
                                                                             (0, 1, 2, 3)))
    assert not [c for c in again.check() if c["status"] == "fail"]


def test_the_file_keeps_to_its_schema(small, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    _, _, step, x, t = small
    trace = minidl.record(step, x, t)
    trace.check()
    trace.frame(3, loss=minidl.tensor(0.5), samples=np.ones((2, 3), np.float32))
    trace.save(tmp_path / "run.json")
    frame = Trace.load(tmp_path / "run.json").frames[0]
    assert frame["numbers"] == {"loss": 0.5} and trace.arrays[frame["arrays"]["samples"]].all()
    schema = json.loads((ROOT / "docs" / "trace.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    document = json.loads((tmp_path / "run.json").read_text())
    validator.validate(document)
    document["events"][0]["phase"] = "sideways"
    assert list(validator.iter_errors(document))


def test_a_small_budget_cuts_arrays_openly(small, tmp_path):
    """As many as it must, and the file tells: how large they are, and their first numbers."""
    _, _, step, x, t = small
    trace = minidl.record(step, x, t)
    large, little = np.random.default_rng(0).random(5000), np.linspace(0, 1, 100)
    trace.frame(0, large=large, little=little)
    trace.save(tmp_path / "whole.json.gz")
    most = (tmp_path / "whole.json.gz").stat().st_size
    trace.save(tmp_path / "run.json.gz", budget=most - 9000)
    items = json.loads(gzip.decompress((tmp_path / "run.json.gz").read_bytes()))["arrays"]
    (cut,) = [a for a in items if not a["full"]]
    assert (cut["shape"], cut["stats"]["max"]) == ([5000], large.max())
    assert (tmp_path / "run.json.gz").stat().st_size <= most - 9000
    again = Trace.load(tmp_path / "run.json.gz")
    place = items.index(cut)
    assert again.arrays[place] is None
    assert again.first_numbers(place).tolist() == large[:16].tolist()
    assert again.first_numbers(place + 1).tolist() == little[:16].tolist()
    again.save(tmp_path / "again.json")                # what is left stays, and so do the others
    assert json.loads((tmp_path / "again.json").read_text())["arrays"] == items


def test_what_was_cut_is_skipped(small, tmp_path):
    _, _, step, x, t = small
    trace = minidl.record(step, x, t)
    trace.save(tmp_path / "run.json", budget=100)      # all are cut, and it is larger still
    again = Trace.load(tmp_path / "run.json")
    checks = again.check()
    assert {c["status"] for c in checks} == {"pass", "skipped"}
    assert any("left out of the file" in c["reason"] for c in checks)
    assert all(a is None or a.size <= 16 or (a == a.flat[0]).all() for a in again.arrays)


def test_a_gzipped_file_is_a_file(small, tmp_path):
    """What is in it counts, not its name; the same trace makes the same bytes."""
    _, _, step, x, t = small
    trace = minidl.record(step, x, t)
    trace.save(tmp_path / "run.json")
    trace.save(tmp_path / "run.json.gz")
    plain, zipped = (tmp_path / "run.json").read_bytes(), (tmp_path / "run.json.gz").read_bytes()
    assert gzip.decompress(zipped) == plain and len(zipped) < len(plain) / 2
    (tmp_path / "other.json").write_bytes(zipped)
    assert Trace.load(tmp_path / "other.json").ops == Trace.load(tmp_path / "run.json").ops
    trace.save(tmp_path / "again.json.gz")
    assert (tmp_path / "again.json.gz").read_bytes() == zipped
    assert json.loads(plain) == json.loads(json.dumps(trace.document()))


@pytest.mark.parametrize("text, message", [
    ("{", "no trace, or a damaged one"), ("[1]", "JSON, but no trace"),
    ('{"format": "other"}', "JSON, but no trace"),
    ('{"format": "minidl-trace", "version": 99}', "version 99, this minidl reads version 3"),
    ('{"format": "minidl-trace", "version": 2}', "version 2, this minidl reads version 3: record"),
    ('{"format": "minidl-trace", "version": 3}', "a damaged trace: trace: must have 'maps'")])
def test_what_is_no_trace_is_a_clear_error(text, message, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        Trace.load(tmp_path / "run.json")


def test_a_damaged_reference_is_a_clear_error(small, tmp_path):
    _, _, step, x, t = small
    minidl.record(step, x, t).save(tmp_path / "run.json")
    document = json.loads((tmp_path / "run.json").read_text())
    document["ops"][2]["outputs"] = [9999]
    (tmp_path / "run.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"a damaged trace: ops\[2\].outputs\[0\]: must be"):
        Trace.load(tmp_path / "run.json")


def test_wrong_use_is_a_clear_error(small):
    _, _, step, x, t = small
    with pytest.raises(ValueError, match="probe must be at least 1, got 0"):
        minidl.record(step, x, t, probe=0)
    for wrong in (True, 1.5, "2"):
        with pytest.raises(TypeError, match=f"probe must be a whole number, got {wrong!r}"):
            minidl.record(step, x, t, probe=wrong)
    with pytest.raises(TypeError, match="step must be a function, got Tensor"):
        minidl.record(x, t)
    with minidl.record(), pytest.raises(RuntimeError, match="recordings do not nest"):
        minidl.record().start()


# --------------------------------------------------------------------------- whole networks
# In each example, what the two lines go before and after.
ADDED = {"train_cnn.py": ("        loss = F.cross_entropy", "        optimizer.step()\n"),
         "train_gan.py": ("        fake = G(gan.noise", "        g_optimizer.step()\n"),
         "train_vae.py": (None, "        optimizer.step()\n")}


@pytest.mark.slow
@pytest.mark.parametrize("script", ADDED)
def test_the_examples_with_two_added_lines(script, tmp_path, monkeypatch):
    """Every conv, transposed conv and dense layer is explained right: all cells where there are
    fewer than 3 million terms, else some; and each cell is replayed and checked."""
    source = (ROOT / "examples" / script).read_text()
    before, after = ADDED[script]
    if before is None:
        before = source[source.index("    for step, "):].splitlines()[1]
    source = source.replace(before, f"        recorder = minidl.record().start()\n{before}", 1)
    source = source.replace(after, f"{after}        recorder.stop().save('run.json.gz')\n", 1)
    few, loader = data.mnist().train[:2], data.DataLoader
    monkeypatch.setattr(data, "mnist", lambda: type("", (), {"train": few, "test": few}))
    monkeypatch.setattr(data, "DataLoader", lambda d, batch_size, **options: loader(
        d, min(batch_size, 2), **options))
    monkeypatch.setattr("sys.argv", [script, "--epochs", "1"])
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    exec(compile(source, script, "exec"), names)
    trace, rng = names["recorder"].trace, np.random.default_rng(0)
    assert ("noise" in {n["role"] for n in trace.nodes}) == (script != "train_cnn.py")
    assert Path("run.json.gz").stat().st_size < 3_000_000 and Trace.load("run.json.gz").ops
    products = [op for op in trace.ops if isinstance(trace.entry(op).terms, Contract)]
    assert len(products) >= 5
    for op in products:
        call = trace.call(op)
        for index in (tuple(int(rng.integers(n)) for n in call.out.shape) for _ in range(20)):
            found = trace.explain(op["id"], index)
            assert abs(found.difference) <= 1e-5 * found.magnitude
    assert not [c for c in trace.check() if c["status"] == "fail"]
    if script == "train_cnn.py":
        for op in products:
            call = trace.call(op)
            error = np.abs(maps.value(call) - call.out).max()
            assert error <= 1e-5 * np.abs(call.out).max()


def test_a_documents_network_is_recorded_proved_and_put_back(tmp_path):
    model = MODELS["cnn"].build()
    steps = ClassifierSteps(model, MODELS["cnn"].optimizer(model.parameters(), 1e-3))
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    trace = minidl.record(steps.step, minidl.rand(4, 1, 28, 28), minidl.tensor([1, 2, 3, 4]))
    assert all((before[k] == v.numpy()).all() for k, v in model.state_dict().items())
    assert not [c for c in trace.check() if c["status"] == "fail"]
    trace.save(tmp_path / "run.json.gz")
    assert (tmp_path / "run.json.gz").stat().st_size < 3_000_000
    assert not any(a is None for a in Trace.load(tmp_path / "run.json.gz").arrays)


def test_a_bias_longer_than_its_images_are_wide_is_no_image(tmp_path):
    """Of convolutions of both kinds: saved, loaded and checked."""
    x, w, b = minidl.randn(1, 2, 4, 4), minidl.randn(2, 40, 2, 2), minidl.randn(40)
    w.requires_grad_()
    with minidl.record() as trace:
        y = F.conv2d(x, w.permute(1, 0, 2, 3), b, stride=2)
        F.conv_transpose2d(y[:, :2], w, b, stride=2).sum().backward()
    trace.save(tmp_path / "run.json")
    loaded = Trace.load(tmp_path / "run.json")
    assert [op["op"] for op in loaded.ops] == [op["op"] for op in trace.ops]
    assert {found["status"] for found in loaded.check()} == {"pass"}


def test_what_a_hook_computes_is_its_modules():
    """A hook runs where its module is called, and beside its forward()."""
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    net[0].register_forward_hook(lambda module, args, out: out * 2.0)
    with minidl.record() as trace:
        net(minidl.ones(1, 2))
    assert {op["op"]: op["module"] for op in trace.ops} == {"linear": "0", "mul": "0", "relu": "1"}


def test_a_method_that_is_no_call_of_its_module_has_none():
    class Half(nn.Module):
        def twice(self, x):
            return x * 2.0

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.half = Half()

        def forward(self, x):
            return self.half.twice(x)
    whole = Whole()
    with minidl.record() as trace:
        whole.forward(minidl.ones(1))
        whole(minidl.ones(1))
    assert [op["module"] for op in trace.ops] == ["", ""]
