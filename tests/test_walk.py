"""The walk, `minidl step`: every event told once, in order, and nothing by colour alone."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import minidl
from minidl import cli, nn, optim
from minidl import functional as F
from minidl.explain import show
from minidl.explain.choose import select
from minidl.explain.grids import Plane
from minidl.explain.trace import Trace
from minidl.explain.updates import worked
from minidl.explain.walk import Walk
from minidl.training import first_step


class Net(nn.Module):
    """A convolution whose output is used twice, and a layer that nothing uses."""

    def __init__(self):
        super().__init__()
        self.conv1, self.fc, self.idle = nn.Conv2d(1, 2, 3), nn.Linear(18, 3), nn.Linear(2, 2)

    def forward(self, x):
        h = self.conv1(x)
        return self.fc((h * h + h).flatten(1))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A recorded step in a file."""
    minidl.manual_seed(0)
    net = Net()
    optimizer = optim.Adam(net.parameters(), lr=0.01)

    def step(images, labels):
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    path = tmp_path_factory.mktemp("walk") / "step.json"
    minidl.record(step, minidl.rand(1, 1, 5, 5), minidl.tensor([2])).save(path)
    return path


@pytest.fixture
def trace(saved):
    return Trace.load(saved)


def printed(capsys, *arguments) -> str:
    cli.main(["step", *map(str, arguments)])
    out, error = capsys.readouterr()
    return out + error


def find(trace, phase: str, op: str, target: str | None = None) -> int:
    """The number of the first such event."""
    return next(n for n, e in enumerate(trace.events, 1)
                if e["phase"] == phase and trace.ops[e["op"]]["op"].strip("_") == op
                and (target is None or trace.nodes[e["node"]]["name"] == target))


def negated(trace, number: int) -> None:
    """What a flipped sign in an op's backward pass would have recorded."""
    event = trace.events[number - 1]
    trace.arrays.append(-trace.arrays[event["contribution"]])
    event["contribution"] = event["sum"] = len(trace.arrays) - 1


# --------------------------------------------------------------------------- what is told
def test_every_event_is_told_once_and_in_order(trace, saved, capsys):
    text = printed(capsys, saved)
    heads = re.findall(r"^event (\d+) of (\d+), (forward|backward|update), ", text, re.MULTILINE)
    count = len(trace.events)
    assert [(int(n), int(of)) for n, of, _ in heads] == [(n, count) for n in range(1, count + 1)]
    assert [phase for _, _, phase in heads] == [event["phase"] for event in trace.events]
    assert "\x1b" not in text and "THEY DIFFER" not in text and "no terms" not in text


def test_an_events_block_has_its_parts(trace):
    number = find(trace, "backward", "conv2d", "conv1.weight")
    text = Walk(trace).event(number)
    count = len(trace.events)
    assert text.startswith(f"event {number} of {count}, backward, conv2d in module conv1, gradient "
                           "of conv1.weight, contribution 1 of 1\n")
    assert "test_walk.py:" in text and "h = self.conv1(x)" in text
    assert "(D3-CONV)" in text and "  gy " in text and "  x         x (input)" in text
    cell = re.search(r"cell      gw\[([\d,]+)\]", text)[1]
    total, stored = re.search(r"sum (\S+), stored (\S+), difference", text).groups()
    assert float(total) == pytest.approx(float(stored), rel=1e-5)     # both have six digits
    value = trace.grad(trace.events[number - 1]["node"])[tuple(map(int, cell.split(",")))]
    assert float(stored) == pytest.approx(float(value), rel=1e-4)
    assert f"at [{cell}]: None (nothing had arrived), + {value:.6g} = {value:.6g}" in text
    assert "check     not made" in text


def test_a_bias_is_an_operand_and_its_gradient_a_sum_of_gy(trace):
    text = Walk(trace).event(find(trace, "forward", "conv2d"))
    assert "formula   y[n,o,i,j] = b[o], then y[n,o,i,j] += x[n, c, i*SH - PH" in text
    assert "  b         conv1.bias (parameter), shape " in text
    cell = re.search(r"cell      y\[\d+,(\d+),\d+,\d+\]", text)[1]
    assert f"= b[{cell}] + sum over c, u, v of x[" in text and f"      b[{cell}] " in text
    text = Walk(trace).event(find(trace, "backward", "conv2d", "conv1.bias"))
    cell = re.search(r"cell      gb\[(\d+)\]", text)[1]
    assert f"gb[{cell}] = sum over i, j, n of gy[n,{cell},i,j]\n" in text
    assert "  x  " not in text and "  w  " not in text        # it depends on neither


def test_contributions_add_up(trace):
    walk = Walk(trace)
    several = [n for n, e in enumerate(trace.events, 1) if e["phase"] == "backward"
               and e["of"] == 3]
    assert len(several) == 3                              # h * h uses h twice, + h once more
    for i, number in enumerate(several, 1):
        text = walk.event(number)
        assert f"contribution {i} of 3" in text
        before, part, after = re.search(r"so far .*: (.+), \+ (\S+) = (\S+)$", text,
                                        re.MULTILINE).groups()
        assert (before == "None (nothing had arrived)") == (i == 1)
        start = 0.0 if i == 1 else float(before)
        assert start + float(part) == pytest.approx(float(after), abs=1e-5)


def test_result_and_second_operand_have_different_names(trace):
    text = Walk(trace).event(find(trace, "backward", "mul"))
    assert "formula   y = x * z" in text and "gy[" in text and "dy/dx" in text
    assert "out" not in text.split("formula", 1)[1].split("\n")[0]


def test_updates_are_worked_out(trace):
    number = next(n for n, e in enumerate(trace.events, 1) if e["phase"] == "update")
    text = Walk(trace).event(number)
    assert "Adam step 1, conv1.weight" in text and "mh = m / (1 - b1^t)" in text
    assert "THEY DIFFER" not in text and "where the gradient is largest" in text


@pytest.mark.parametrize("rule, options", [
    ("SGD", {}), ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5}), ("RMSprop", {}), ("Adam", {"weight_decay": 0.1}),
    ("AdamW", {}), ("Adagrad", {"lr_decay": 0.1})])
def test_the_rules_are_the_optimisers(rule, options):
    w = minidl.tensor([0.7], dtype=np.float64, requires_grad=True)
    optimizer = getattr(optim, rule)([w], lr=0.05, **options)
    with minidl.record() as trace:
        for factor in (1.0, -3.0, 2.0):
            optimizer.zero_grad()
            (w * w * factor).sum().backward()
            optimizer.step()
    updates = [e for e in trace.events if e["phase"] == "update"]
    assert len(updates) == 3
    for e in updates:
        at = lambda place: float(trace.arrays[place][0])
        lines = worked(rule, at(e["before"]), at(e["gradient"]),
                       {k: at(v) for k, v in e["state"].items()}, e["step"], e["options"],
                       e["first"])
        assert lines[-1][1] == pytest.approx(at(e["after"]), rel=1e-12)


# --------------------------------------------------------------------------- what is chosen
def test_from_only_phase(trace, saved, capsys):
    count = len(trace.events)
    assert select(trace, start=3) == list(range(3, count + 1))
    chosen = select(trace, only="conv1")
    phases = {trace.events[n - 1]["phase"] for n in chosen}
    assert phases == {"forward", "backward", "update"} and len(chosen) < count
    assert select(trace, only="CONV1.weight") == [
        n for n in chosen if "conv1.weight" in Walk(trace).event(n)]
    assert all(trace.events[n - 1]["phase"] == "update" for n in select(trace, phase="update"))
    heads = printed(capsys, saved, "--only", "fc", "--phase", "update").strip().split("\n\n")
    assert len(heads) == 2 and "fc.weight" in heads[0] and "fc.bias" in heads[1]


def test_a_cell_lies_in_the_first_result():
    """Of an operation with further results: the means and variances of batch normalisation have
    another shape than y."""
    x = minidl.rand(2, 3, 4, 4, requires_grad=True)
    with minidl.record() as trace:
        F.batch_norm(x, None, None, training=True)
    assert select(trace, cell=(1, 2, 3, 3)) == [1]
    with pytest.raises(ValueError, match=r"cell: 0,2,0 lies in no result .* \(2, 3, 4, 4\)"):
        select(trace, cell=(0, 2, 0))


def test_a_cell_is_chosen(trace, saved, capsys):
    text = printed(capsys, saved, "--only", "conv2d", "--phase", "forward", "--cell", "0,1,2,0")
    assert "cell      y[0,1,2,0], as chosen" in text
    assert trace.explain(0, (0, 1, 2, 0)).formula[1] in text
    text = printed(capsys, saved, "--only", "conv1", "--cell", "0,1,2,0")
    assert "], the largest in magnitude" in text              # of the bias, which has no such cell


# --------------------------------------------------------------------------- what is wrong
@pytest.mark.parametrize("colour", [False, True])
def test_a_flipped_sign_is_marked(trace, colour):
    number = find(trace, "backward", "conv2d", "conv1.weight")
    negated(trace, number)
    trace.check()
    text = Walk(trace, colour).event(number)
    assert "! WRONG: 18 of 18 cells differ" in text and "THEY DIFFER" in text
    grid = text[text.index("this contribution"):text.index("cell  ")]
    assert grid.count("!") == 9                           # one channel's 3 x 3 weights are shown
    assert ("\x1b[1;31m" in grid) == colour
    assert "the largest of the wrong cells" in text
    assert "!" not in Walk(trace).event(number - 1)


def test_the_status_says_that_something_is_wrong(trace, tmp_path, capsys):
    negated(trace, find(trace, "backward", "conv2d", "conv1.weight"))
    trace.save(tmp_path / "wrong.json")
    assert cli.main(["step", str(tmp_path / "wrong.json"), "--check", "--only", "conv1"]) == 1
    assert "! WRONG" in capsys.readouterr().out


def test_a_wrong_update_is_marked(trace):
    event = trace.events[-1]
    trace.arrays.append(trace.arrays[event["after"]] + 1)
    event["after"] = len(trace.arrays) - 1
    trace.check()
    text = Walk(trace).event(len(trace.events))
    assert "THEY DIFFER" in text and "  check     ! WRONG: " in text
    assert "!" not in Walk(trace).event(len(trace.events) - 1)


def test_a_check_that_passes_is_told(trace):
    trace.check()
    text = Walk(trace).event(find(trace, "backward", "conv2d", "conv1.weight"))
    assert "check     passed: the sum of its terms" in text and "!" not in text


def test_arrays_that_were_cut(trace, tmp_path):
    trace.save(tmp_path / "small.json", budget=200)
    cut = Trace.load(tmp_path / "small.json")
    assert any(a is None for a in cut.arrays)
    walk = Walk(cut)
    texts = [walk.event(n) for n in range(1, len(cut.events) + 1)]
    assert "left out of the file for its size" in texts[0]


def test_a_heat_map_where_there_is_colour():
    with minidl.record() as trace:
        F.relu(minidl.rand(1, 1, 12, 12) - 0.5)
    assert "▀" in Walk(trace, colour=True).event(1)
    assert "▀" not in Walk(trace).event(1)


# --------------------------------------------------------------------------- scripts and models
SCRIPT = """
import minidl
from minidl import optim
print("hello")
w = minidl.ones(3, requires_grad=True)
optimizer = optim.SGD([w], lr=0.1)
for _ in range(20):
    try:
        loss = (w * w).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    except Exception:
        pass
"""


def test_a_script_is_stopped_after_its_first_step(tmp_path, capsys):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    assert cli.main(["step", str(path), "--save", str(tmp_path / "run.json")]) == 0
    out, error = capsys.readouterr()
    assert out.count(", update, SGD step 1, w") == 1 and "script.py:9  loss = (w * w).sum()" in out
    assert "hello" in error and "hello" not in out
    assert len(Trace.load(tmp_path / "run.json").events) == out.count("\nevent") + 1
    assert optim.Optimizer.step.__module__ == "minidl.optim.optimizer"          # put back


def test_a_models_step():
    trace = first_step.of_model("cnn")
    assert trace.nodes[0]["shape"] == [2, 1, 28, 28]
    assert select(trace, only="conv2d", phase="forward")


# --------------------------------------------------------------------------- wrong use
@pytest.mark.parametrize("arguments, message", [
    ([], "give a trace"),
    (["FILE", "--model", "cnn"], "give a trace"),
    (["--model", "cnnn"], "there is no 'cnnn'"),
    (["no.json"], "no.json"),
    (["no.py"], "no.py"),
    (["FILE", "--from", "0"], "outside 1.."),
    (["FILE", "--from", "999"], "outside 1.."),
    (["FILE", "--only", "conv7"], "nothing here is called 'conv7'; there are adam"),
    (["FILE", "--only", "conv2d", "--phase", "forward", "--cell", "0,2,0,0"],
     "lies in no result of the chosen events; their shapes are (1, 2, 3, 3)")])
def test_wrong_use(arguments, message, saved, capsys):
    assert cli.main(["step", *[str(saved) if a == "FILE" else a for a in arguments]]) == 2
    out, error = capsys.readouterr()
    assert message in error and out == ""


def test_a_damaged_file(saved, tmp_path, capsys):
    path = tmp_path / "run.json"
    for change, message in (({"version": 99}, "version 99"), ({"format": "x"}, "no trace"),
                            ({"nodes": []}, "a damaged trace")):
        path.write_text(json.dumps(json.loads(saved.read_text()) | change))
        assert message in printed(capsys, path)
    path.write_text(saved.read_text()[:-100])
    assert "no trace, or a damaged one" in printed(capsys, path)


def test_a_script_that_fails(tmp_path, capsys):
    path = tmp_path / "script.py"
    path.write_text("import minidl\nminidl.ones(2) + minidl.ones(3)\n")
    assert "line 2: ValueError" in printed(capsys, path)
    path.write_text("print(1)\n")
    assert "computed nothing" in printed(capsys, path)


def test_a_cell_that_is_no_cell(saved, capsys):
    with pytest.raises(SystemExit):
        cli.main(["step", str(saved), "--cell", "a,b"])
    assert "no list of whole numbers" in capsys.readouterr().err


def test_columns_of_numbers_are_as_wide_as_their_heads():
    numbers = np.arange(200).reshape(1, 200) % 7
    lines = Plane(numbers, (0, 100), [(0, 100)], []).window("x", colour=False)
    assert lines == ["x[0,:], columns 96..103 of 200:",
                     "         96    97    98    99   100   101   102   103",
                     "          5     6     0     1    [2]    3     4     5"]


def test_the_colours_of_a_heat_map():
    """The largest number yellow, minus the largest blue, a quarter of it half as bright, 0 black;
    of an odd number of rows the last half line is black."""
    numbers = np.zeros((3, 9))
    numbers[0, :4] = 8, -8, 2, np.nan
    numbers[2, 8] = 5
    first, second = Plane(numbers, (0, 0), [], [(2, 8)]).heat()
    above, below = (re.findall(r"\x1b\[38;2;(\d+;\d+;\d+);48;2;(\d+;\d+;\d+)m", line)
                    for line in (first, second))
    assert [pair[0] for pair in above[:5]] == [
        "255;210;60", "70;140;255", "127;105;30", "0;0;0", "0;0;0"]
    assert {pair[1] for pair in above} == {pair[1] for pair in below} == {"0;0;0"}
    assert below[8][0] == "255;0;0" and len(above) == len(below) == 9


@pytest.mark.parametrize("environment, coloured", [
    ({"FORCE_COLOR": "1", "TERM": "xterm-256color"}, True),
    ({"FORCE_COLOR": "1", "TERM": "xterm-256color", "NO_COLOR": "1"}, False),
    ({"FORCE_COLOR": "1", "TERM": "dumb"}, False), ({"TERM": "xterm-256color"}, False)])
def test_colours_where_the_terminal_has_them(environment, coloured, monkeypatch):
    """And none into a file: under pytest the output is none of a terminal, unless it is forced."""
    pytest.importorskip("rich")
    for name in ("FORCE_COLOR", "NO_COLOR", "TERM", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (show._coloured(show._console()) is not None) is coloured


def test_the_numbers_that_a_sum_uses_are_marked():
    """Those of each operand, and below a gradient those that were stretched over it."""
    x = minidl.tensor(np.arange(1.0, 10).reshape(1, 1, 3, 3), requires_grad=True)
    w = minidl.tensor(np.ones((1, 1, 2, 2)), requires_grad=True)
    column = minidl.tensor([[3.0], [2.0]], dtype="float64", requires_grad=True)
    with minidl.record() as trace:
        (F.conv2d(x, w)[0, 0] * column).sum().backward()
    walk = Walk(trace)
    events = {(e["phase"], trace.ops[e["op"]]["op"], e.get("input")): walk.event(number).split("\n")
              for number, e in enumerate(trace.events, 1)}
    told = events["forward", "conv2d", None]
    assert {"        0   1   2   3", "        1   4  [5] [6]", "        2   7  [8] [9]"} < set(told)
    assert told.count("        0  [1] [1]") == 1
    assert "            3  [2]" in events["forward", "mul", None]
    number = next(n for n, e in enumerate(trace.events, 1) if (e["phase"], e.get("input")) == (
        "backward", 0) and trace.ops[e["op"]]["op"] == "mul")
    assert "           [3]  2" in Walk(trace, cell=(0, 1)).event(number)
    assert any("the output of conv2d (event 1), shape" in line
               for line in events["forward", "getitem", None])
