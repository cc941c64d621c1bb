"""Watching equals not watching: a training that is kept, recorded or timed gives the same bits.

The three systems of the documents, and a critic with a gradient penalty, whose backward pass makes
a graph, are trained for five steps on reference kernels, and on fast ones layer by layer (``fuse``
False). Losses, gradients, weights, statistics, the optimisers' state and the generator's are
compared bit by bit after every step. Fused layers are compared to rounding. The rest is about who
is not watched: another thread, the classes and modules of the engine, and the ops and layers, none
of which asks.
"""

from __future__ import annotations

import ast
import collections
import contextlib
import functools
import itertools
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import data, nn, optim
from minidl.modes import tell
from minidl.training import first_step
from minidl.training.config import config_for
from minidl.training.job import Job
from minidl.watch import Watcher, Watching

PACKAGE = Path(minidl.__file__).parent
STEPS = 5
SYSTEMS = {                                # the documents' networks, those that can be made small
    "cnn": config_for("cnn-dropout", batch_size=2),
    "gan": config_for("gan-16", batch_size=2, latent=8, width=8),
    "wgan-gp": config_for("wgan-gp", batch_size=6, latent=8, width=4),
    "vae": config_for("vae", batch_size=2, latent=2),
}

WATCHERS = {"keep": minidl.keep, "record": minidl.record,
            "profile": lambda: minidl.profile(show=False)}
ALL = tuple(WATCHERS)


@pytest.fixture(autouse=True)
def _same_kernels_afterwards():
    before = minidl.kernels_in_use()
    yield
    minidl.use_kernels(before)


# --------------------------------------------------------------------------- five steps
@contextlib.contextmanager
def watching(*names: str):
    """Under the watchers `names`, the first outermost; they must have seen something."""
    with contextlib.ExitStack() as stack:
        seen = {name: stack.enter_context(WATCHERS[name]()) for name in names}
        yield seen
        assert names in ((), ("profile",)) or kept()
    if "record" in seen:
        assert {event["phase"] for event in seen["record"].events} == {
            "forward", "backward", "update"}
    if "profile" in seen:
        assert seen["profile"].rows and "optimiser" in seen["profile"].parts


def kept() -> bool:
    """Does a tensor that is no leaf have its gradient after backward()?"""
    y = minidl.ones(1, requires_grad=True) * 2
    y.sum().backward()
    return y.grad is not None


@functools.cache
def digits() -> data.Splits:
    """The first of the digits, read once."""
    found = data.mnist()
    return data.Splits(found.train.subset(slice(30)), found.test.subset(slice(2)), found.name)


def job(system: str | dict, fuse: bool = False) -> Job:
    """Model, optimisers and loader of a system, or a config, in their first state."""
    made = Job(SYSTEMS[system] if isinstance(system, str) else system)
    made.splits = digits()
    for module in made.procedure.model.train().modules():
        if isinstance(module, nn.Sequential):
            module.fuse = fuse
    return made


def state(procedure) -> dict[str, np.ndarray]:
    """Copies of everything that a step changes: weights and statistics, gradients (no entry where
    there is none), the optimisers' state, the generator's."""
    model = procedure.model
    found = {"generator": np.array(minidl.random.default_generator().get_state())}
    found |= {name: t.numpy().copy() for name, t in model.state_dict().items()}
    found |= {f"{name}.grad": p.grad.numpy().copy() for name, p in model.named_parameters()
              if p.grad is not None}
    for name, optimizer in procedure.optimizers.items():
        for number, entry in optimizer.state_dict()["state"].items():
            found |= {f"{name}.{number}.{key}": np.array(value) for key, value in entry.items()}
    return found


def five_steps(made: Job, watch=lambda step: contextlib.nullcontext(), loader=None
               ) -> list[dict[str, np.ndarray]]:
    """The states after each of five steps, with the step's losses; step k and the loading of its
    batch run under ``watch(k)``."""
    batches, states = iter(loader or made.train_loader()), []
    for k in range(STEPS):
        with watch(k):
            losses = made.procedure.step(*next(batches))
        states.append({f"step's {name}": value.numpy().copy() for name, value in losses.items()}
                      | state(made.procedure))
    return states


def assert_same_bits(found: list[dict[str, np.ndarray]], expected: list[dict[str, np.ndarray]]):
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.keys() == b.keys(), f"step {k}"
        differ = [name for name in a if a[name].dtype != b[name].dtype
                  or not np.array_equal(a[name], b[name])
                  or a[name].tobytes() != b[name].tobytes()]       # 0 and -0 are equal
        assert not differ, f"step {k}: {differ}"


@pytest.fixture(scope="module")
def unwatched():
    """``unwatched(system, kernels)``: the states of five steps that nobody watches, trained once.
    They move, are numbers, and each kind of array is among them."""
    trained = {}

    def states(system: str, kernels: str):
        minidl.use_kernels(kernels)
        if (system, kernels) not in trained:
            found = trained[system, kernels] = five_steps(job(system))
            assert all(np.isfinite(array).all() for each in found for array in each.values())
            for before, after in itertools.pairwise(found):
                still = {name for name in before if np.array_equal(before[name], after[name])}
                assert not {name for name in still if name.endswith("weight")}, still
        return trained[system, kernels]
    return states


# --------------------------------------------------------------------------- the same bits
def outside():
    """Each watcher, and all in one order; on reference kernels the documents' systems in each."""
    for system, kernels in itertools.product(SYSTEMS, ("reference", "fast")):
        orders = itertools.permutations(ALL) if kernels == "reference" else [ALL]
        for names in [*((name,) for name in ALL), *(orders if system != "wgan-gp" else ())]:
            yield pytest.param(names, system, kernels,
                               id=f"{system}, {kernels}: {' around '.join(names)}")


@pytest.mark.parametrize("names, system, kernels", [*outside()])
def test_five_steps_watched_from_outside_are_the_same_bits(names, system, kernels, unwatched):
    expected, made = unwatched(system, kernels), job(system)
    with watching(*names):
        found = five_steps(made)
    assert_same_bits(found, expected)


SOME = {
    "the first": [ALL, (), (), (), ()],
    "the last": [(), (), (), (), ALL],
    "every other": [(), ("keep",), (), ("record",), ()],
    "in turn": [("record",), ("profile",), ("keep",), (), ("profile", "record")],
}


@pytest.mark.parametrize("kernels", ["reference", "fast"])
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("which", SOME)
def test_some_of_five_steps_watched_are_the_same_bits(which, system, kernels, unwatched):
    expected, made = unwatched(system, kernels), job(system)
    assert_same_bits(five_steps(made, lambda k: watching(*SOME[which][k])), expected)


# --------------------------------------------------------------------------- fused to rounding
class Seen:
    """What a network's activations and poolings are given: the distance from the nearest kink or
    tie, the largest number, and the most numbers."""

    def __init__(self, model: nn.Module):
        self.nearest, self.largest, self.most = np.inf, 0.0, 0
        for module in model.modules():
            if isinstance(module, (nn.ReLU, nn.LeakyReLU, nn.MaxPool2d)):
                module.register_forward_hook(self._look)

    def _look(self, module, args, output):
        x = args[0].numpy()
        self.largest, self.most = max(self.largest, abs(x).max()), max(self.most, x.size)
        if isinstance(module, nn.MaxPool2d):                          # 2x2, without borders
            (n, c, h, w) = (*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2)
            windows = x[:, :, :2 * h, :2 * w].reshape(n, c, h, 2, w, 2).swapaxes(3, 4)
            windows = np.sort(windows.reshape(-1, 4))[:, 2:]
            x = np.diff(windows[windows[:, 1] > 0])         # of a window of zeros all are as good
        self.nearest = min(self.nearest, abs(x).min())


def in_double(system: str, fuse: bool) -> Job:
    """A system with weights of float64, its optimisers SGD with momentum: a step moves a weight by
    the rate times gradients, so that a difference of gradients stays what it is."""
    made = job(system, fuse)
    made.model.double()
    made.procedure = type(made.procedure)(made.model, *(
        optim.SGD([p for group in each.param_groups for p in group["params"]], lr=1e-3,
                  momentum=0.5) for each in made.procedure.optimizers.values()))
    return made


@pytest.mark.skipif(os.environ.get("MINIDL_KEEP", "0") not in ("", "0"),
                    reason="with MINIDL_KEEP nothing is fused")
@pytest.mark.parametrize("system", SYSTEMS)
def test_fused_layers_train_as_layers_one_by_one_to_rounding(system):
    """Fused, a bias has its gradient from a sum in another order. Two orders of n terms differ by
    at most n eps times the sum of the terms' sizes, no sum here has more terms than the largest
    activation has numbers, and five steps make five such differences. Sizes are measured by the
    largest gradient, which sums that cancel may exceed; sums by pairs, whose own bound has log n in
    the place of n, leave the room for that. A kink or a tie within that distance would be another
    matter: the data, drawn from an interval, have none."""
    minidl.use_kernels("fast")
    states, ops = [], []
    for fuse in (False, True):
        made = in_double(system, fuse)
        n, rng = made.config["batch_size"], np.random.default_rng(0)
        images = rng.uniform(0 if made.recipe.kind == "vae" else -1, 1,
                             (STEPS * n, *made.recipe.image))
        loader = data.DataLoader((images, rng.integers(0, 10, STEPS * n)), n)
        if not fuse:                                    # layers with hooks would not be fused
            seen = Seen(made.model)
        minidl.manual_seed(0)
        with minidl.profile(show=False) as profile:
            states.append(five_steps(made, loader=loader))
        ops.append(collections.Counter({row.op: row.calls for row in profile.rows}))
    assert ops[0] != ops[1]                                               # some layers are fused
    bound = STEPS * seen.most * np.finfo(np.float64).eps
    assert seen.nearest > bound * seen.largest and bound < 1e-9
    for k, (found, expected) in enumerate(zip(*states, strict=True)):
        gradient = max(abs(a).max() for name, a in expected.items() if name.endswith(".grad"))
        for name, a in expected.items():
            worst = bound * max(gradient, abs(a).max())
            np.testing.assert_allclose(found[name], a, rtol=0, atol=worst, err_msg=f"{k}: {name}")


# --------------------------------------------------------------------------- another thread
class Unwatched(threading.Thread):
    """Trains five steps of a system by itself, with a draw of noise in each, and counts each
    function of the library that it enters; `turn` is waited for around each step."""

    def __init__(self, made: Job, turn: threading.Barrier):
        super().__init__(daemon=True)
        self.made, self.turn, self.calls, self.states = made, turn, collections.Counter(), None

    def _count(self, frame, event, arg):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)):
            self.calls[code.co_filename, code.co_firstlineno, code.co_name] += 1

    @contextlib.contextmanager
    def _in_turn(self, step: int):
        self.turn.wait(60)
        sys.setprofile(self._count)
        try:
            minidl.Generator(1).normal((3,))                  # a draw, and not the other thread's
            yield
        finally:
            sys.setprofile(None)
            self.turn.wait(60)

    def run(self):
        try:
            self.states = five_steps(self.made, self._in_turn)
        except BaseException:
            self.turn.abort()                              # the other thread is not to wait
            raise


@pytest.mark.parametrize("names", [*((name,) for name in ALL), ALL], ids=" around ".join)
def test_a_thread_beside_a_watched_one_pays_nothing(names):
    """While one thread is watched, another one calls the functions that it calls when nobody is,
    each as often, and both compute the same bits. The step of the one falls within the step of
    which the other is watched."""
    minidl.use_kernels("reference")
    config = config_for("cnn", batch_size=2)                     # draws no noise: threads share it

    def trained(watch) -> tuple[Unwatched, list]:
        beside, mine = job(config), job(config)
        other = Unwatched(beside, turn := threading.Barrier(2))
        other.start()

        @contextlib.contextmanager
        def step(k):
            with watch():
                turn.wait(60)
                yield
                turn.wait(60)
        try:
            states = five_steps(mine, step)
        except BaseException:
            turn.abort()
            raise
        other.join(60)
        return other, states

    trained(contextlib.nullcontext)                              # imports and caches are filled
    alone, expected = trained(contextlib.nullcontext)
    beside, found = trained(lambda: watching(*names))
    assert_same_bits(alone.states, expected)
    assert_same_bits(beside.states, expected)
    assert_same_bits(found, expected)
    assert sum(alone.calls.values()) > 1000
    more = {key: (alone.calls[key], beside.calls[key]) for key in alone.calls | beside.calls
            if alone.calls[key] != beside.calls[key]}
    assert not more


# --------------------------------------------------------------------------- nothing is patched
WINGS = ("explain", "profiling", "training", "testing", "exercises", "gpu_check", "cli", "plots")


def attributes(*instances: object) -> dict[str, object]:
    """What could be put in another's place, by owner and name: everything in the engine's modules
    and in their classes, and the members of lists and dicts there, which may be listeners; of
    `instances` which attributes they have of their own."""
    found: dict[str, object] = {}
    for name, module in sorted(sys.modules.items()):
        top, *inner = name.split(".")
        if top != "minidl" or inner and inner[0] in WINGS:
            continue
        for key, value in list(vars(module).items()):
            if key == "__warningregistry__":
                continue
            found[f"{name}.{key}"] = value
            if isinstance(value, type) and value.__module__ == name:
                found |= {f"{name}.{key}.{own}": each for own, each in list(vars(value).items())
                          if own not in ("__abstractmethods__", "_abc_impl")}
            elif isinstance(value, (list, dict)) and not key.startswith("__"):
                members = value.items() if isinstance(value, dict) else enumerate(value)
                found |= {f"{name}.{key}[{k!r}]": each for k, each in list(members)}
    for number, instance in enumerate(instances):
        found |= {f"{type(instance).__name__} {number}.{key}": ... for key in vars(instance)}
    return found


def assert_same_objects(found: dict[str, object], before: dict[str, object]) -> None:
    missing = object()
    changed = [name for name in before | found
               if found.get(name, missing) is not before.get(name, missing)]
    assert not changed, changed


@pytest.mark.parametrize("names", [*((name,) for name in ALL), ALL], ids=" around ".join)
def test_no_watcher_puts_anything_in_anothers_place(names):
    """Before, inside and after, modules and classes of the engine have the same attributes, and
    optimisers, loader and layers have none more."""
    made, loader = job("gan"), job("gan").train_loader()
    batches, step = iter(loader), made.procedure.step
    with watching(*names):                                       # imports and caches are filled
        step(*next(batches))
    step(*next(batches))
    owners = (loader, *made.procedure.optimizers.values(), *made.model.modules())
    before = attributes(*owners)
    assert {"minidl.gradients.backward", "minidl.optim.optimizer.Optimizer.step",
            "minidl.tensor.Tensor.backward",
            "minidl.data.loader.DataLoader.__iter__", "minidl.random.Generator.normal",
            "minidl.kernels.use_kernels", "minidl.kernels.CPU"} <= before.keys()
    with watching(*names):
        assert_same_objects(attributes(*owners), before)
        step(*next(batches))
        assert_same_objects(attributes(*owners), before)
    assert_same_objects(attributes(*owners), before)


SCRIPT = """
import minidl
from minidl import optim
from test_watching import INSIDE, attributes

INSIDE.append(attributes())
weight = minidl.ones(2, requires_grad=True)
optimizer = optim.SGD([weight], lr=0.1)
(weight * weight).sum().backward()
INSIDE.append(attributes())
optimizer.step()
INSIDE.append("the script went on after its first step")
"""
INSIDE: list = []


def test_a_script_whose_first_step_is_recorded_finds_nothing_patched(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    first_step.of_script(script)                                 # imports and caches are filled
    INSIDE.clear()
    before = attributes()
    assert len(first_step.of_script(script).events) > 3
    assert len(INSIDE) == 2
    for found in (*INSIDE, attributes()):
        assert_same_objects(found, before)


def test_a_patch_would_be_seen(monkeypatch):
    """Or the tests above would show nothing."""
    for owner, name, value in ((optim.Optimizer, "step", print), (minidl.tape, "now", print),
                               (nn.Linear, "forward", print), (minidl.random, "new", print)):
        before = attributes()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value, raising=False)
            with pytest.raises(AssertionError, match=rf"\.{name}'\]"):
                assert_same_objects(attributes(), before)
        assert_same_objects(attributes(), before)
    layer = nn.Linear(2, 3)
    before = attributes(layer)
    layer.forward = print
    with pytest.raises(AssertionError, match=r"Linear 0\.forward"):
        assert_same_objects(attributes(layer), before)


# --------------------------------------------------------------------------- nobody asks
ASKED = {"keep", "watched", "watcher", "watchers", "profile", "kernels_in_use"}
UNASKING = ("ops", "nn", "functional.py", "models")


def askers(tree: ast.Module) -> list[str]:
    """Where a source reads one of ASKED, as an attribute or a name, or imports it: "function, line:
    what", the function "" outside any."""
    found = []

    def visit(node: ast.AST, within: str) -> None:
        asked = {ast.Attribute: lambda: [node.attr], ast.Name: lambda: [node.id],
                 ast.Constant: lambda: [node.value],                  # getattr(mode, "keep")
                 ast.ImportFrom: lambda: [alias.name for alias in node.names],
                 }.get(type(node), lambda: [])()
        found.extend(f"{within}, line {node.lineno}: {name}" for name in asked
                     if isinstance(name, str) and name in ASKED)
        for child in ast.iter_child_nodes(node):
            visit(child, child.name if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
                  else within)

    visit(tree, "")
    return found


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_backward_pass_hides_nothing_but_its_ops(create_graph):
    """A watcher that did not ask for the ops of a backward pass is told all else that happens in
    it: kernels that are compiled there, noise that is drawn there, nodes and contributions."""
    told: list[str] = []

    class Listener(Watcher):
        def compiling(self, kernel):
            told.append(kernel)

        def drawn(self, numbers):
            told.append("noise")

        def op_ends(self, op, args, inputs, outputs):
            told.append(op.name)

        def node_ends(self, node):
            told.append(f"back through {node.op.name}")

    @minidl.op
    def noisy(x: minidl.Tensor):
        def backward(gy):
            tell("compiling", "_weights")
            minidl.rand(2)
            return gy * 2
        return x.data * 2, backward

    x = minidl.ones(3, requires_grad=True)
    with Watching(Listener()):
        noisy(x).backward(minidl.ones(3), create_graph=create_graph)
    inside = ["_weights", "noise", *["mul"] * create_graph]
    assert told[:1 + len(inside) + 1] == ["noisy", *inside, "back through noisy"]
    told.clear()
    noisy(x).backward(minidl.ones(3))
    assert told == []


def test_no_op_layer_or_model_asks_whether_it_is_watched():
    """But for one function of `nn`, which asks before layers are fused."""
    found, fusing = [], set()
    for part in UNASKING:
        path = PACKAGE / part
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        assert files and all(file.is_file() for file in files), part
        for file in files:
            where = file.relative_to(PACKAGE).as_posix()
            for each in askers(ast.parse(file.read_text(encoding="utf-8"))):
                if where in ("nn/fusion.py", "nn/container.py"):
                    fusing.add((where, each.partition(",")[0]))
                else:
                    found.append(f"{where}: {each}")
    assert not found, found
    functions = {(where, function) for where, function in fusing if function}
    assert len(functions) == 1 and {where for where, _ in fusing} == {
        where for where, _ in functions}, fusing


def test_an_asker_would_be_found():
    source = '''
from ..kernels import fast, kernels_in_use
from ..modes import mode as m
def a(keepdim, keep=None):
    """keep"""
    return m.keep
def b():
    def c(): return getattr(m, "watcher")
    return watchers() or kernels_in_use() == "reference"
'''
    assert askers(ast.parse(source)) == [
        ", line 2: kernels_in_use", "a, line 5: keep", "a, line 6: keep", "c, line 8: watcher",
        "b, line 9: watchers", "b, line 9: kernels_in_use"]


# --------------------------------------------------------------------------- comings and goings
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", ["record", "profile", "keep"])
def test_a_watcher_that_comes_or_goes_in_a_hook_leaves_the_thread_as_it_was(name, create_graph):
    """And is told of what happens while it is there."""
    for comes in (True, False):
        watcher, x = WATCHERS[name](), minidl.ones(2, requires_grad=True)
        if not comes:
            watcher.__enter__()
        y = x * 2
        y.register_hook(lambda g: (watcher.__enter__() if comes else watcher.__exit__(
            None, None, None)) and None)
        y.sum().backward(create_graph=create_graph)
        if comes:
            z = x + 1
            watcher.__exit__(None, None, None)
            if name == "record":
                assert next(watcher.trace.calls("add"))
            elif name == "profile":
                assert [row.calls for row in watcher.rows if row.op == "add"] == [1]
            else:
                assert z.why()[1].startswith("  called at test_watching.py")
        mode = minidl.modes.mode
        assert mode.watchers == () and mode.hidden == ()
        (x + 1).sum().backward()                          # nobody is told, nothing fails
        assert not kept()


def test_what_several_watchers_keep_of_a_node_is_each_ones_own():
    class Mine(Watcher):
        watcher = property(lambda self: self)

        def __init__(self):
            self.nodes = []

        def op_ends(self, op, args, inputs, outputs):
            if outputs and outputs[0].node is not None:
                outputs[0].node.kept += (self,)

        def node_begins(self, node, gy):
            self.nodes.append(node.op.name)

    for names in ((), ("keep",)):
        mine, x = Mine(), minidl.ones(2, requires_grad=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(Watching(mine))
            for name in names:
                stack.enter_context(WATCHERS[name]())
            y = (x * 2).sum()
        for _ in range(2):
            y.backward()                                  # it stayed, and `mine` is told
        assert mine.nodes == ["sum", "mul"] * 2 and y.grad.item() == 2.0
        assert y.why()[0].startswith("sum")
        if names:
            assert y.explain().total == 4.0 and len(x.consumers) == 1


def test_an_update_that_raises_is_told_as_none():
    class Half(optim.SGD):
        def _update(self, p, g, state, group):
            if p.size == 1:
                raise ValueError("my update is wrong")
            super()._update(p, g, state, group)

    seen = []

    class Listener(Watcher):
        def update_ends(self, optimizer, moved):
            seen.append(moved and len(moved))

    params = [minidl.ones(2, requires_grad=True), minidl.ones(1, requires_grad=True)]
    optimizer = Half(params, lr=0.1)
    params[0].sum().backward()
    with Watching(Listener()), minidl.record() as trace, minidl.profile(show=False) as p:
        optimizer.step()
        params[1].sum().backward()
        with pytest.raises(ValueError, match="my update is wrong"):
            optimizer.step()
        minidl.ones(3) * 2
    assert seen == [1, None]
    assert [event["phase"] for event in trace.events].count("update") == 1
    assert [row.calls for row in p.rows if row.op == "mul"] == [1]


def test_a_script_whose_update_raises_says_so(tmp_path):
    script = tmp_path / "wrong.py"
    script.write_text("""import minidl
from minidl import optim
class Wrong(optim.SGD):
    def _update(self, p, g, state, group):
        raise ValueError("my update is wrong")
x = minidl.ones(2, requires_grad=True)
optimizer = Wrong([x], lr=0.1)
x.sum().backward()
optimizer.step()
""")
    with pytest.raises(ValueError, match=r"line 5: ValueError: my update is wrong"):
        first_step.of_script(script)


def test_keeping_costs_as_much_for_the_last_use_as_for_the_first():
    """Thousands of uses of one parameter, in one thread and in several: all are there."""
    x, n = minidl.ones(1, requires_grad=True), 300
    with minidl.keep():
        for _ in range(n):
            x + 1
    first = x.history.uses
    with minidl.keep():
        x + 1
    assert x.history.uses is first and len(x.consumers) == n + 1       # no new list

    @minidl.keep()
    def use():
        for _ in range(n):
            x + 1
    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(x.consumers) == 5 * n + 1
