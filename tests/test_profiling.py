"""Where the time went: every op counted once, nothing lost, and nothing left behind."""

from __future__ import annotations

import gzip
import itertools
import re
import threading

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import cli, data, nn, optim
from minidl.modes import mode, phase
from minidl.training import profiling


class Clock:
    """A clock that stands still until somebody waits, in whole seconds."""

    def __init__(self):
        self.seconds = 0

    def __call__(self):
        return self.seconds * 10**9

    def wait(self, seconds):
        self.seconds += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(profiling, "_clock", clock)
    return clock


@pytest.fixture(autouse=True)
def nothing_stays_on():
    """No test, however it ends, leaves a watcher behind."""
    yield
    assert mode.watchers == type(mode).watchers


def slow_op(clock, forward, backward, inner=None):
    """y = 2x, which takes `forward` seconds, and `backward` back besides calling the op `inner`."""
    @minidl.op
    def slow(x: minidl.Tensor):
        clock.wait(forward)
        def give(gy):
            clock.wait(backward)
            return inner(gy) if inner else gy * 2
        return x.data * 2, give
    return slow


def leaf(*shape):
    return minidl.randn(*shape, requires_grad=True)


def net(x, w, v):
    y = F.max_pool2d(F.relu(F.conv2d(x, w)), 2)
    return (y.reshape(2, 16) @ v).sum()


def quiet():
    return minidl.profile(show=False)


def named(p):
    """Rows by op; there must be one row for each."""
    rows = {row.op: row for row in p.rows}
    assert len(rows) == len(p.rows)
    return rows


def named_by(p, op):
    """The one row of `op`."""
    (row,) = [row for row in p.rows if row.op == op]
    return row


# --------------------------------------------------------------------------- what is counted
def test_every_op_of_a_small_network_with_its_calls_and_shapes():
    x, w, v = minidl.randn(2, 3, 6, 6), leaf(4, 3, 3, 3), leaf(16, 5)
    with quiet() as p:
        for _ in range(3):
            net(x, w, v).backward()
    rows = named(p)
    assert {name: row.calls for name, row in rows.items()} == dict.fromkeys(
        ("conv2d", "relu", "max_pool2d", "reshape", "matmul", "sum"), 3)
    assert rows["conv2d"].shapes == ((2, 3, 6, 6), (4, 3, 3, 3))
    assert rows["matmul"].shapes == ((2, 16), (16, 5)) and rows["matmul"].dtype == "float32"
    for row in p.rows:
        assert row.forward_s > 0 and row.backward_s > 0, row
    assert [row.total_s for row in p.rows] == sorted((r.total_s for r in p.rows), reverse=True)


def test_a_row_for_each_kind_of_input():
    a, b = minidl.randn(3), minidl.randn(4)
    with quiet() as p:
        for x in (a, a, b, a.double()):
            F.relu(x)
    found = {(row.shapes, row.dtype): row.calls for row in p.rows if row.op == "relu"}
    assert found == {(((3,),), "float32"): 2, (((4,),), "float32"): 1, (((3,),), "float64"): 1}
    with minidl.profile(shapes=False, show=False) as p:
        F.relu(a), F.relu(b)
    assert [(row.op, row.shapes, row.calls) for row in p.rows] == [("relu", (), 2)]


def test_ops_of_a_backward_pass_count_to_it_and_not_again():
    x, w = leaf(2, 3, 6, 6), leaf(4, 3, 3, 3)
    with quiet() as p:
        F.conv2d(x, w).sum().backward()
    rows = named(p)
    assert set(rows) == {"conv2d", "sum"}
    inner = rows["conv2d"].inner
    assert {name: calls for name, (calls, _) in inner.items()} == {
        "conv2d_input_grad": 1, "conv2d_weight_grad": 1}
    assert 0 < sum(seconds for _, seconds in inner.values()) < rows["conv2d"].backward_s


def test_each_second_goes_to_its_place(clock):
    helper = slow_op(clock, 5, 0)
    slow = slow_op(clock, 1, 3, inner=helper)
    x = leaf(2)
    with quiet() as p:
        clock.wait(10)
        y = slow(x)
        clock.wait(20)
        loss = y.sum()
        loss.backward()
        with phase("writing"):
            clock.wait(40)
            slow(x).sum().backward()               # in a part: no op of its own
    (row,) = [row for row in p.rows if row.total_s]
    assert (row.op, row.calls, row.forward_s, row.backward_s) == ("slow", 1, 1, 3 + 5)
    assert row.inner == {"slow": (1, 5)}           # the helper
    assert p.parts == {"writing": (1, 49)} and p.rest == 30
    assert p.total == 88


def test_a_gradients_parts_are_added_up_at_the_cost_of_a_node(clock):
    """x is used twice: the sum of its gradients is no forward add."""
    slow, x = slow_op(clock, 1, 3), leaf(2)
    with quiet() as p:
        (slow(x) * slow(x)).sum().backward()
    rows = named(p)
    assert set(rows) == {"slow", "mul", "sum"}
    assert rows["slow"].calls == 2 and rows["slow"].backward_s == 6
    assert {name: calls for name, (calls, _) in rows["slow"].inner.items()} == {
        "mul": 2, "add": 1}


@pytest.mark.parametrize("order", ["first", "create_graph", "no_grad", "exception"])
def test_the_places_add_up_to_the_whole(monkeypatch, order):
    """With a clock that goes on by 1 ms at each look, none of its looks is lost."""
    looks = itertools.count()
    monkeypatch.setattr(profiling, "_clock", lambda: next(looks) * 10**6)
    x, w, v = leaf(2, 3, 6, 6), leaf(4, 3, 3, 3), leaf(16, 5)
    optimizer = optim.SGD([w, v])
    with quiet() as p:
        if order == "no_grad":
            with minidl.no_grad():
                net(x, w, v)
        elif order == "create_graph":
            (g,) = minidl.grad(net(x, w, v), w, create_graph=True)
            (g * g).sum().backward()
        elif order == "exception":
            with pytest.raises(ValueError, match="broadcast"):
                x + leaf(7)
        net(x, w, v).backward()
        optimizer.step()
    whole = next(looks) - 1                        # spaces between the looks
    assert whole > 30
    assert p.total == pytest.approx(whole / 1000, rel=1e-12)
    places = [row.total_s for row in p.rows] + [s for _, s in p.parts.values()] + [p.rest]
    assert sum(places) == pytest.approx(p.total, rel=1e-12)
    assert all(seconds > 0 for seconds in places)


def test_without_a_graph_there_is_no_backward_time():
    with quiet() as p, minidl.no_grad():
        net(minidl.randn(2, 3, 6, 6), leaf(4, 3, 3, 3), leaf(16, 5))
    assert len(p.rows) == 6 and all(row.backward_s == 0 < row.forward_s for row in p.rows)


def test_a_graph_that_is_kept_is_run_twice(clock):
    y = slow_op(clock, 1, 3)(leaf(2)).sum()
    with quiet() as p:
        y.backward(retain_graph=True)
        y.backward()
    assert named(p)["slow"][3:6] == (0, 0, 6)      # its forward pass was before the block


def test_the_gradient_of_a_gradient():
    """What conv2d's backward pass calls is a node of the next graph: it has a row by then."""
    x, w = minidl.randn(2, 3, 6, 6), leaf(4, 3, 3, 3)
    with quiet() as p:
        (g,) = minidl.grad((F.conv2d(x, w) ** 2).sum(), w, create_graph=True)
        first = {row.op: row.calls for row in p.rows}
        (g * g).sum().backward()
    assert "conv2d_weight_grad" not in first and first["conv2d"] == 1
    row = named_by(p, "conv2d_weight_grad")
    assert row.calls == 0 and row.forward_s == 0 < row.backward_s
    row = named_by(p, "conv2d")
    assert row.calls == 1 and row.inner["conv2d_weight_grad"][0] == 2      # its node ran twice


def test_optimiser_and_loader_are_parts():
    images = np.zeros((10, 1, 4, 4), np.uint8)
    loader = data.DataLoader((images, np.arange(10)), batch_size=4)
    model = nn.Linear(16, 10)
    optimizer = optim.Adam(model.parameters())
    with quiet() as p:
        for x, t in loader:
            F.cross_entropy(model(x.reshape(-1, 16)), t).backward()
            optimizer.step()
    assert {name: calls for name, (calls, _) in p.parts.items()} == {"loading": 3, "optimiser": 3}
    assert all(seconds > 0 for _, seconds in p.parts.values())


def test_a_closures_ops_are_not_the_optimisers(clock):
    w, slow = leaf(2), slow_op(clock, 1, 3)
    def closure():
        loss = slow(w).sum()
        loss.backward()
        return loss
    with quiet() as p:
        optim.SGD([w]).step(closure)
    assert named(p)["slow"].total_s == 4 and p.parts == {"optimiser": (1, 0)}


# --------------------------------------------------------------------------- on and off
@pytest.mark.parametrize("where", ["block", "forward", "backward"])
def test_off_after_an_exception(where, clock, capsys):
    def fail(*_):
        clock.wait(7)
        raise KeyError("inside")
    @minidl.op
    def bad(x: minidl.Tensor):
        return (fail() if where == "forward" else x.data), fail
    with pytest.raises(KeyError, match="inside"), minidl.profile() as p:
        assert mode.watchers == (p,)
        loss = (fail if where == "block" else bad)(leaf(2)).sum()
        loss.backward()
    assert mode.watchers == ()
    F.relu(leaf(2)).sum().backward()
    assert "relu" not in named(p) and p.total == 7
    assert p.rest == (7 if where == "block" else 0)
    assert capsys.readouterr().out.startswith("op, shapes")       # what was measured until then


def test_after_a_failure_that_is_caught_the_next_op_has_its_own_row(clock):
    @minidl.op
    def bad(x: minidl.Tensor):
        def backward(gy):
            raise KeyError("inside")
        return x.data, backward
    slow, caught = slow_op(clock, 1, 3), []
    with quiet() as p:
        try:
            bad(leaf(2)).sum().backward()
        except KeyError as error:
            caught.append(error)                   # its traceback keeps backward's frame alive
        slow(leaf(2)).sum().backward()
        with pytest.raises(TypeError, match="unpack"):
            minidl.op(lambda x: clock.wait(1))(leaf(2))
    assert caught and named_by(p, "slow").total_s == 4 and p.total == 5
    assert named_by(p, "<lambda>").dtype == "" and "<lambda> (2) (raised)" in str(p)


def test_profiles_do_not_nest():
    with quiet() as p:
        with pytest.raises(RuntimeError, match="profile: one is running already"), quiet():
            pass
        F.relu(leaf(2))                            # the outer one goes on
    assert named(p)["relu"].calls == 1


def test_entered_again_it_adds(clock):
    slow, p = slow_op(clock, 1, 3), quiet()
    for _ in range(2):
        with p:
            slow(leaf(2))
        clock.wait(100)                            # between the blocks: not counted
    assert named(p)["slow"].calls == 2 and p.total == 2


def test_other_threads_are_not_recorded_and_have_their_own():
    mine, theirs, on, go = quiet(), [], threading.Event(), threading.Event()

    def other():
        F.tanh(leaf(3)).sum().backward()           # under no profile of this thread
        with phase("nobody's"):
            pass
        with quiet() as p:
            on.set()
            go.wait(30)
            F.sigmoid(leaf(3)).sum().backward()    # after the other profile has ended
        theirs.append(p)
        with pytest.raises(RuntimeError, match="already"), mine:
            pass
        stopped.set()
        done.wait(30)

    stopped, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=other)
    with mine:
        thread.start()
        assert on.wait(30)
        F.relu(leaf(3)).sum().backward()
    go.set()
    with mine:                                     # again, beside the other's
        assert stopped.wait(30)
    done.set()
    thread.join()
    assert set(named(mine)) == {"relu", "sum"} and mine.parts == {}
    assert set(named(theirs[0])) == {"sigmoid", "sum"}


def test_a_part_is_nothing_without_a_profile_and_within_a_part(clock):
    with phase("before"):
        clock.wait(1)
    @phase("outer")
    def work():
        clock.wait(2)
        with phase("inner"):
            clock.wait(3)
    with quiet() as p:
        work()
        with pytest.raises(KeyError), phase("failing"):
            clock.wait(4)
            raise KeyError
        clock.wait(5)
    work()
    assert p.parts == {"outer": (1, 5), "failing": (1, 4)} and p.rest == 5


# --------------------------------------------------------------------------- what is shown
def example(clock):
    """A profile of 100 s."""
    slow, quick = slow_op(clock, 30, 40), slow_op(clock, 0, 0)
    with quiet() as p:
        slow(leaf(2, 3)).sum().backward()
        quick(leaf(1))
        with phase("reading"):
            clock.wait(20)
        clock.wait(10)
    return p


def test_the_table(clock):
    lines = str(example(clock)).splitlines()
    assert [re.split(r"\s{2,}", line.strip()) for line in lines] == [
        ["op, shapes of its inputs", "calls", "forward ms", "backward ms", "ms", "share"],
        ["slow (2,3)", "1", "30000.00", "40000.00", "70000.00", "70.0 %"],
        ["2 more, each below 0.1 %", "2", "0.00", "0.00", "0.00", "0.0 %"],
        ["reading", "1", "20000.00", "20.0 %"],
        ["everything else (Python between the ops)", "10000.00", "10.0 %"],
        ["total", "100000.00", "100.0 %"]]


def test_the_tables_columns_line_up(clock):
    head, *lines = str(example(clock)).splitlines()
    ends = [m.end() for m in re.finditer(r"calls|forward ms|backward ms|(?<!d )ms|share", head)]
    assert len(ends) == 5 and ends[-1] == len(head)
    for line in lines:
        assert len(line) == len(head), line
        assert {m.end() for m in re.finditer(r"(?<=  )\d[\d.]*( %)?(?=  |$)", line)} <= set(ends)
    assert all(line[end - 1] != " " for line in lines[:2] for end in ends)


def test_shown_shortly(clock):
    """Many inputs are not all listed; what a backward pass calls is, from one per cent on."""
    helper = slow_op(clock, 50, 0)
    slow = slow_op(clock, 49, 0, inner=helper)
    with quiet() as p:
        minidl.cat([leaf(2) for _ in range(6)])
        slow(leaf(2)).backward(minidl.ones(2))
        with phase("others"):
            clock.wait(1)
    text = str(p)
    assert re.search(r"^    in backward: slow +1 +50000.00 +50000.00 +50.0 %$", text, re.MULTILINE)
    row = named_by(p, "cat")
    assert len(row.shapes) == 6 and profiling._label(row) == "cat (2) (2) and 4 more"
    assert profiling._label(row._replace(dtype="int64")).endswith("and 4 more int64")
    assert repr(p) == "<profile: 2 rows, 100000.00 ms>"


def test_printed_when_left_unless_told_not_to(capsys):
    with minidl.profile() as p:
        F.relu(leaf(2))
    assert capsys.readouterr().out == f"{p}\n"
    with quiet():
        F.relu(leaf(2))
    assert capsys.readouterr().out == ""
    assert str(quiet()).splitlines()[-1].split() == ["total", "0.00", "0.0", "%"]


def test_train_prints_it_after_training(tmp_path, monkeypatch, capsys):
    for name, array in (("images-idx3", np.zeros((32, 28, 28))),
                        ("labels-idx1", np.arange(32) % 10)):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        for which in ("train", "t10k"):
            (tmp_path / f"{which}-{name}-ubyte.gz").write_bytes(
                gzip.compress(header + array.astype(np.uint8).tobytes()))
    monkeypatch.setattr(cli.plots, "matplotlib_problem", lambda: "no pictures")
    command = ["train", "cnn", "--data", str(tmp_path), "--epochs", "1", "--batch-size", "16"]
    assert cli.main([*command, "--profile", "--out", str(tmp_path / "a")]) == 0
    out = capsys.readouterr().out
    table = out[out.index("\nop, shapes of its inputs"):out.index("\ntrained in")]
    assert out.index("epoch 1/1") < out.index("op, shapes")
    assert re.search(r"^conv2d \(16,1,28,28\) \(32,1,3,3\) +2 ", table, re.MULTILINE)
    assert re.search(r"^loading +2 ", table, re.MULTILINE) and "\noptimiser " in table
    assert re.search(r"^test, pictures, checkpoints +3 ", table, re.MULTILINE)
    assert cli.main([*command, "--out", str(tmp_path / "b")]) == 0
    assert "op, shapes" not in capsys.readouterr().out
