"""`minidl gpu-check`, run on the fake CuPy: that every part works, and that a wrong kernel, a wrong
op, a crash and a missing GPU are said."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cuda_on_cpu
import fakecupy
import numpy as np
import pytest

import minidl
from minidl import gpu_check, kernels
from minidl.cli import main
from minidl.gpu_check import cases, clock, cuda_graphs, learning, results, values
from minidl.kernels.gpu import launch, twins
from minidl.ops import activation
from minidl.testing.domains import WITHOUT_DOMAIN

needs_kernels = pytest.mark.skipif(cuda_on_cpu.problem() is not None,
                                   reason=f"no CUDA on the CPU: {cuda_on_cpu.problem()}")
OPTIONAL = "hypothesis pytest numba rich safetensors matplotlib scipy torch threadpoolctl".split()
ROOT = Path(__file__).parent.parent


def run(out, *options: str) -> tuple[int, dict]:
    """The command's exit status, and the JSON it wrote."""
    status = main(["gpu-check", "--quick", "--one-process", "--out", str(out), *options])
    return status, json.loads(out.read_text(encoding="utf-8"))


def failed(result: dict) -> set[tuple[str, str]]:
    """Name and column of every check that failed."""
    return {(e["name"], e["of"]) for part in result["parts"] for e in part["entries"]
            if e["ok"] is False}


def found(part: dict) -> dict[tuple[str, str], object]:
    return {(e["name"], e["of"]): e["value"] for e in part["entries"]}


# --------------------------------------------------------------------------- the whole command
@needs_kernels
def test_all_parts_run_with_numpy_and_cupy_alone(tmp_path):
    """In a process where nothing else that may be installed can be imported."""
    out = tmp_path / "check.json"
    code = (f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL}))\n"
            "import fakecupy\nfrom minidl.cli import main\n"
            "with fakecupy.installed():\n"
            f"    sys.exit(main(['gpu-check', '--quick', '--one-process', '--out', {str(out)!r}]))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=ROOT / "tests", env=_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["passed"] and result["quick"]
    parts = {part["part"]: part for part in result["parts"]}
    assert list(parts) == list(gpu_check.PARTS) and all(p["entries"] for p in parts.values())
    assert all(e["note"] for p in parts.values() for e in p["entries"]
               if e["value"] == results.UNASKED), "what cannot be asked says why"
    ops = found(parts["ops"])
    for name in minidl.OPS:
        for of in ("float32 fast", "float32 reference", "float64 fast", "float64 reference"):
            assert 0 <= ops[name.strip("_"), of] <= values.LIMITS[np.dtype(of.split()[0])]
        assert name.strip("_") in done.stdout
    assert found(parts["training"])["cnn", "the CPU uses"] == "NumPy alone"
    assert found(parts["steps"])["vae, batch 2", "minidl ms"] > 0
    assert found(parts["steps"])["PyTorch", "TF32"] == results.UNASKED
    assert found(parts["graphs"])["our noise is fresh each time", "answer"] == results.UNASKED
    assert found(parts["calls"])["kernel by our launcher", "median"] > 0
    assert "everything passed" in done.stdout


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {**os.environ, "PYTHONPATH": path, "CUPY_TF32": "0"}


def test_without_a_gpu_it_says_why_and_what_to_install(tmp_path, monkeypatch, capsys):
    why = "CuPy is not installed; python -m pip install cupy-cuda13x"
    monkeypatch.setattr(minidl.cuda, "cuda_problem", lambda: why)
    out = tmp_path / "check.json"
    assert main(["gpu-check", "--out", str(out)]) == 2
    assert why in capsys.readouterr().err and not out.exists()


def test_an_unknown_part_and_a_missing_folder_are_refused_at_once(gpu, tmp_path, capsys):
    assert main(["gpu-check", "--only", "ops,kernel"]) == 2
    assert "no part 'kernel'; there are versions, ops, kernels" in capsys.readouterr().err
    assert main(["gpu-check", "--out", str(tmp_path / "none" / "check.json")]) == 2
    assert "versions" not in capsys.readouterr().out


def test_importing_it_loads_numpy_alone():
    names = [path.stem for path in Path(gpu_check.__file__).parent.glob("*.py")
             if path.stem != "peer"]
    code = (f"import sys, importlib\nfor n in {names}: importlib.import_module("
            "f'minidl.gpu_check.{n}'.replace('.__init__', ''))\n"
            f"print(sorted({{'cupy', *{OPTIONAL}}} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=_environment())
    assert done.stdout.strip() == "[]"


# --------------------------------------------------------------------------- complete
def test_every_op_has_cases():
    table = cases.op_cases()
    assert set(table) == set(minidl.OPS) - set(WITHOUT_DOMAIN)
    assert all(table.values())


def test_every_kernel_has_cases():
    table = cases.kernel_cases(2)
    assert set(table) == set(twins.CUDA_KERNELS) and all(table.values())
    for name in table:
        assert values.readable(name).__name__ == name


def test_cases_are_the_same_on_every_run():
    for made in (cases.op_cases, lambda: cases.kernel_cases(2)):
        assert pickle.dumps(made()) == pickle.dumps(made())


# --------------------------------------------------------------------------- planted errors
def plant(monkeypatch, name: str, wrong) -> None:
    """In the place of the CUDA kernel `name`: ``wrong(kernel, *args)``."""
    kernels.CUDA.update(twins.CUDA_KERNELS)
    right = kernels.CUDA[name]
    monkeypatch.setitem(kernels.CUDA, name, lambda *args: wrong(right, *args))


@needs_kernels
def test_a_wrong_kernel_is_named(gpu, tmp_path, monkeypatch, capsys):
    plant(monkeypatch, "_cross_entropy_grad", lambda right, *args: right(*args) * 1.001)
    status, result = run(tmp_path / "check.json", "--only", "kernels,versions")
    assert status == 1 and not result["passed"]
    assert failed(result) == {("cross_entropy_grad", "float32"), ("cross_entropy_grad", "float64")}
    assert [p["status"] for p in result["parts"]] == ["failed", "passed"]
    assert "cross_entropy_grad, float32: FAILED: 0.001 > 5e-05" in capsys.readouterr().out


@needs_kernels
def test_a_kernel_that_differs_from_run_to_run_is_named(gpu, tmp_path, monkeypatch):
    count = iter(range(1000))
    plant(monkeypatch, "_max_pool2d", lambda right, *args: (
        right(*args)[0] * (1 + 1e-6 * next(count)), right(*args)[1]))
    _, result = run(tmp_path / "check.json", "--only", "kernels")
    assert ("max_pool2d", "float32 same bits") in failed(result)
    assert ("max_pool2d", "float32") not in failed(result)
    assert {name for name, _ in failed(result)} == {"max_pool2d"}


@needs_kernels
def test_a_kernel_that_never_runs_is_named(gpu, tmp_path, monkeypatch):
    def readable(right, gy, log_p, t):
        return minidl.ops.loss._cross_entropy_grad.readable(gy, log_p, t)
    plant(monkeypatch, "_cross_entropy_grad", readable)
    _, result = run(tmp_path / "check.json", "--only", "kernels")
    assert failed(result) == {("never launched", "number")}


def test_a_kernel_without_cases_is_named(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(values, "kernel_cases", lambda batch: {})
    kernels.CUDA.update({"_new": abs})
    _, result = run(tmp_path / "check.json", "--only", "kernels")
    assert ("without cases", "number") in failed(result)


@pytest.mark.parametrize("name, op", [("_relu", "relu"), ("_leaky_relu", "leaky_relu")])
def test_a_wrong_op_is_named(gpu, tmp_path, monkeypatch, name, op):
    """Wrong on the GPU alone, as a difference between NumPy and CuPy would be."""
    right = getattr(activation, name)
    monkeypatch.setattr(activation, name, lambda x, *slope: right(x, *slope) * (
        1 if isinstance(x, np.ndarray) else 1.001))
    keep_ops(monkeypatch, "exp", "relu", "leaky_relu")
    status, result = run(tmp_path / "check.json", "--only", "ops")
    assert status == 1
    assert {row for row, _ in failed(result)} == {op}
    assert len(failed(result)) == 4                      # both dtypes, both kinds of kernels


def test_a_wrong_gradient_is_named(gpu, tmp_path, monkeypatch):
    right = activation._relu_grad
    monkeypatch.setattr(activation, "_relu_grad", lambda gy, y: right(gy, y) * (
        1 if isinstance(y, np.ndarray) else 1.001))
    keep_ops(monkeypatch, "exp", "relu")
    _, result = run(tmp_path / "check.json", "--only", "ops")
    assert {row for row, _ in failed(result)} == {"relu"}


def keep_ops(monkeypatch, *names: str) -> None:
    """Try these ops alone."""
    monkeypatch.setattr(values, "OPS", {name: minidl.OPS[name] for name in names})


def test_an_op_that_raises_is_recorded_and_the_others_go_on(gpu, tmp_path, monkeypatch):
    def broken(x, slope):
        raise RuntimeError("the kernel could not be compiled")
    monkeypatch.setattr(activation, "_leaky_relu", broken)
    keep_ops(monkeypatch, "leaky_relu", "tanh")
    _, result = run(tmp_path / "check.json", "--only", "ops")
    (part,) = result["parts"]
    assert {row for row, _ in failed(result)} == {"leaky_relu"}
    assert found(part)["leaky_relu", "float32 fast"] == "RuntimeError"
    assert "the kernel could not be compiled" in part["entries"][0]["note"]
    assert found(part)["tanh", "float64 reference"] < 1e-11


@pytest.mark.parametrize("dtype", values.LIMITS)
def test_a_dtype_that_changes_is_an_error(gpu, monkeypatch, dtype):
    other = "float64" if dtype == "float32" else "float32"
    monkeypatch.setattr(activation, "_leaky_relu", lambda x, slope: x.astype(other))
    with pytest.raises(TypeError, match=f"the result is {other}, the arguments are {dtype}"):
        values.op_error("leaky_relu", (np.ones(3),), dtype, "fast")


def test_training_that_goes_another_way_is_seen(gpu, monkeypatch):
    """A GPU that trains with another learning rate."""
    right = learning.procedure
    monkeypatch.setattr(learning, "procedure", lambda name, device, lr=None: right(
        name, device, 2e-3 if device != "cpu" else lr))
    part = results.Part("training")
    learning._compare_losses(part, gpu_check.QUICK)
    assert [e["ok"] for e in part.entries if e["limit"] is not None] == [False]


@pytest.mark.parametrize("steps", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_training_that_differs_by_rounding_passes(monkeypatch, steps):
    """Twice on the CPU, the second time from weights that are changed by at most one rounding: a
    correct GPU's losses are no nearer than these."""
    right, rng, made = learning.procedure, np.random.default_rng(1), []
    def procedure(name, device, lr=None):
        made.append(right(name, device, lr))
        if len(made) == 2:
            for p in made[1].model.parameters():
                way = rng.integers(-1, 2, p.shape)           # down, not at all, up
                target = np.where(way == 0, p.data, np.where(way > 0, np.inf, -np.inf))
                p.data[...] = np.nextafter(p.data, target.astype(np.float32))
        return made[-1]
    monkeypatch.setattr(learning, "procedure", procedure)
    monkeypatch.setattr(learning, "DEVICE", "cpu")
    part = results.Part("training")
    learning._compare_losses(part, replace(gpu_check.FULL, steps=steps))
    checks = {e["of"]: e for e in part.entries if e["limit"] is not None}
    assert set(checks) == {"first 10 losses", "later losses"} and len(made) == 2
    assert all(e["ok"] for e in checks.values()), checks
    assert any(e["value"] > 0 for e in checks.values()), checks        # else nothing was compared


@pytest.mark.parametrize("spoil", [lambda y: y * np.nan, lambda y: y.astype(float).reshape(-1)])
def test_nan_and_another_shape_are_failures(gpu, tmp_path, monkeypatch, spoil):
    """Of a gradient too: the second of the numbers that are compared."""
    right = activation._relu_grad
    monkeypatch.setattr(activation, "_relu_grad", lambda gy, y: (
        right(gy, y) if isinstance(y, np.ndarray) else spoil(right(gy, y))))
    keep_ops(monkeypatch, "relu")
    _, result = run(tmp_path / "check.json", "--only", "ops")
    assert len(failed(result)) == 4


def test_a_gradient_of_nan_is_the_worst(monkeypatch):
    steps = {"cpu": ({"loss": 1.0}, {"a": 1.0, "b": 2.0, "c": 3.0}),
             "cuda": ({"loss": 1.0}, {"a": 1.0, "b": float("nan"), "c": 3.0})}
    monkeypatch.setattr(learning, "first_step", lambda name, device, batch: steps[device])
    part = results.Part("training")
    learning._compare_step(part, "cnn", 2)
    assert [(e["ok"], e["note"]) for e in part.entries] == [(True, "of loss"), (False, "of b")]


# --------------------------------------------------------------------------- processes
def test_a_part_that_raises_does_not_stop_the_others(gpu, tmp_path, monkeypatch):
    broken = replace(gpu_check.PARTS["graphs"], function="cuda_graphs.none")
    monkeypatch.setitem(gpu_check.PARTS, "graphs", broken)
    status, result = run(tmp_path / "check.json", "--only", "graphs,versions")
    assert status == 1 and failed(result) == {("the part", "went to its end")}
    assert "has no attribute 'none'" in result["parts"][0]["entries"][0]["note"]
    assert result["parts"][1]["status"] == "passed"


def part_in_a_process(tmp_path, monkeypatch, source: str, limit: float = 60):
    """What is recorded of a process that runs `source` in the place of a part."""
    script = tmp_path / "part.py"
    script.write_text("import sys, os, time\nfrom pathlib import Path\n"
                      "from minidl.gpu_check.results import Part\n"
                      "part = Part('ops', Path(sys.argv[1]))\n" + source, encoding="utf-8")
    monkeypatch.setattr(gpu_check, "_command", lambda name, file, quick: [
        sys.executable, str(script), str(file)])
    return gpu_check._in_a_process("ops", True, limit)


def test_a_process_that_crashes_leaves_what_it_found(tmp_path, monkeypatch):
    entries, why = part_in_a_process(
        tmp_path, monkeypatch, "part.found('add', 'value', 1.5)\n"
        "print('an illegal memory access', file=sys.stderr, flush=True)\nos._exit(7)\n")
    assert [(e["name"], e["value"]) for e in entries] == [("add", 1.5)]
    assert why == ("its process ended with status 7; the last entry is add\n"
                   "an illegal memory access")


def test_a_process_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    entries, why = part_in_a_process(
        tmp_path, monkeypatch, "part.found('add', 'value', 1.5)\ntime.sleep(60)\n", limit=6)
    assert why.startswith("stopped after 6 s") and len(entries) == 1


def test_a_part_runs_in_a_process_of_its_own(monkeypatch):
    """The command that really runs: it ends well, whatever the part finds."""
    monkeypatch.setattr(gpu_check, "PARTS", {"graphs": gpu_check.PARTS["graphs"]})
    entries, why = gpu_check._in_a_process("graphs", True, 60)
    assert entries and why == ""


@needs_kernels
def test_the_command_as_it_is_typed(tmp_path):
    """Each part in a process of its own, where ``import cupy`` gives the fake one; TF32 is asked
    for by the environment of the part that wants it."""
    (tmp_path / "cupy.py").write_text("import sys, fakecupy; sys.modules.update(fakecupy.MODULES)",
                                      encoding="utf-8")
    environment = _environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "minidl", "gpu-check", "--quick", "--only", "versions,steps-tf32"],
        capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "gpu-check.json").read_text(encoding="utf-8"))
    versions, steps = map(found, result["parts"])
    assert versions["CUPY_TF32", "value"] == "0" and versions["GPU", "value"]
    assert steps["CuPy", "TF32"] == "on" and steps["cnn, batch 8", "minidl ms"] > 0


def test_no_part_begins_when_the_time_is_over(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "SECONDS", 1)
    status, result = run(tmp_path / "check.json", "--only", "versions")
    assert status == 1 and "not begun" in result["parts"][0]["why"]


# --------------------------------------------------------------------------- single pieces
def test_errors_are_relative_and_nan_must_meet_nan():
    e = values.error_of
    assert e(np.array([1.0, 4.4]), np.array([1.0, 4.0])) == pytest.approx(0.1)
    assert e(np.array([np.nan, np.inf]), np.array([np.nan, np.inf])) == 0
    assert np.isnan(e(np.array([np.nan, 1.0]), np.array([0.0, 1.0])))
    assert e(np.array([np.inf, 1.0]), np.array([2.0, 1.0])) == np.inf
    assert e(np.zeros((0, 3)), np.zeros((0, 3))) == 0
    assert e(np.array([0.5]), np.array([0.0])) == 0.5
    with pytest.raises(ValueError, match=r"shape \(2,\), \(1,\) is right"):
        e(np.zeros(2), np.zeros(1))


def test_what_is_not_finite_fails_and_is_json(tmp_path):
    part = results.Part("ops", tmp_path / "entries")
    part.check("a", "b", float("nan"), 1.0)
    part.check("a", "c", float("inf"), 1.0)
    part.check("a", "d", 1.0, 1.0)
    assert [e["ok"] for e in part.entries] == [False, False, True]
    assert results.read_entries(tmp_path / "entries") == part.entries
    json.dumps(part.entries, allow_nan=False)


def test_half_a_line_of_a_killed_process_is_passed_over(tmp_path):
    file = tmp_path / "entries"
    results.Part("ops", file).found("a", "b", 1)
    file.write_text(file.read_text(encoding="utf-8") + '{"name": "c", ', encoding="utf-8")
    assert [e["name"] for e in results.read_entries(file)] == ["a"]
    assert results.read_entries(tmp_path / "none") == []


def test_the_table_is_aligned():
    part = results.Part("ops")
    part.check("add", "float32", 1.25e-7, 1e-5)
    part.check("add", "float64", 0.5, 1e-5)
    part.found("longer name", "float64", "x" * 60)
    assert results.table(part.entries).splitlines() == [
        "             float32   float64",
        "add          1.25e-07  FAILED: 0.5 > 1e-05",
        "longer name            " + "x" * 45 + "..."]


def test_equal_notes_are_printed_once_with_a_count():
    part = results.Part("ops")
    for name in "abc":
        part.unasked(name, "answer", "there is no cuBLAS")
    part.unasked("d", "answer", "another reason")
    for name in "efg":
        with part.attempt(name, "float32"):
            raise RuntimeError("the driver is gone")
    part.check("h", "float32", 0.5, 0.1)
    part.check("i", "float32", 0.5, 0.1)
    text = results.as_text({"passed": False, "parts": [
        {"part": "ops", "title": "every op", "status": "failed", "why": "", "seconds": 1.0,
         "entries": part.entries}]})
    assert text.count("there is no cuBLAS") == text.count("    RuntimeError: the driver is") == 1
    for line in ("    a, answer (and 2 more): there is no cuBLAS", "    d, answer: another reason",
                 "ops: e, float32 (and 2 more): FAILED: RuntimeError",
                 "    RuntimeError: the driver is gone", "ops: h, float32: FAILED: 0.5 > 0.1",
                 "ops: i, float32: FAILED: 0.5 > 0.1"):
        assert line in text.splitlines()


def test_contestants_take_turns():
    order = []
    def contestant(name):
        return (lambda: order.append(name)), (lambda: None)
    sizes = replace(gpu_check.QUICK, rounds=3, turn=0.0, warm=1)
    rounds = clock.in_turns({"a": contestant("a"), "b": contestant("b")}, sizes)
    assert "".join(order) == "aabb" + "ababab"
    assert {who: len(times) for who, times in rounds.items()} == {"a": 3, "b": 3}
    assert all(host <= whole for times in rounds.values() for whole, host in times)


def test_a_contestant_works_as_long_as_its_turn(monkeypatch):
    """Of a step that takes a millisecond, and half as long again until the GPU is done: its turn of
    a second and a half is 1000 steps."""
    now, steps, waited = [0.0], [], []
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    def step():
        steps.append(now[0])
        now[0] += 1e-3
    def wait():
        now[0] += 0.5e-3 * len(steps)
        steps.clear()
        waited.append(now[0])
    sizes = replace(gpu_check.QUICK, rounds=2, turn=1.5, warm=4)
    rounds = clock.in_turns({"it": (step, wait)}, sizes)
    np.testing.assert_allclose(rounds["it"], [(1.5, 1.0)] * 2)
    np.testing.assert_allclose(np.diff(waited)[::2], [6e-3, 6e-3, 1.5, 1.5])


@pytest.mark.parametrize("count, blocks", [(1, 1), (launch.THREADS, 1), (launch.THREADS + 1, 2),
                                           (1000 * launch.THREADS, 1000)])
def test_a_kernel_without_our_checks_is_launched_for_every_number(monkeypatch, count, blocks):
    launches = []
    class Raw:
        kernel = staticmethod(lambda *launched: launches.append(launched))
        def __call__(self, *launched):
            launches.append(launched)
    monkeypatch.setattr(launch, "compiled_kernel", lambda cupy, name, dtype: Raw())
    array = np.zeros(1, np.float32)
    for bound in (False, True):
        clock._raw_kernel(None, (array, array, 3, 0.5, count), bound)()
    (grid, block, given), bound = launches
    assert (grid, block) == ((blocks,), (launch.THREADS,))
    assert bound[:2] == ((blocks, 1, 1), (launch.THREADS, 1, 1))
    assert given[2:] == (3, 0.5, count) and [type(n) for n in given[2:]] == [
        np.int32, np.float32, np.int32]


def test_answers_about_noise():
    """Fresh, repeated, and no noise at all."""
    class Array:
        def get(self):
            return next(arrays)
    rng = np.random.default_rng(0)
    for made, answer in ((lambda: rng.standard_normal(4096), "yes"),
                         (lambda: np.ones(4096), "no: the same numbers each time"),
                         (lambda: 9 * rng.standard_normal(4096), "no: other numbers, of standard")):
        arrays = iter([made() for _ in range(3)])
        assert cuda_graphs._fresh(lambda: None, Array()).startswith(answer)


def recordable(**more):
    """A CuPy that has what recording needs, and `more`."""
    stream = SimpleNamespace(begin_capture=None, end_capture=None)
    return SimpleNamespace(**more, cuda=SimpleNamespace(Stream=stream, get_current_stream=None))


@pytest.mark.parametrize("made, error, value, note", [
    (recordable(), None, results.UNASKED, "this CuPy has no cupy.cuda.device.get_cublas_handle"),
    (SimpleNamespace(), None, results.UNASKED, "this CuPy has no cupy.cuda.Stream.begin_capture"),
    (recordable(), OSError("no libcublas.so"), results.UNASKED, "no libcublas.so"),
    (recordable(), AttributeError("no 'nmae'"), "no", "AttributeError: no 'nmae'"),
    (recordable(), RuntimeError("refused"), "no", "RuntimeError: refused")])
def test_a_question_that_cannot_be_asked_is_told_from_a_wrong_one(monkeypatch, made, error, value,
                                                                  note):
    if error:
        made.cuda.device = SimpleNamespace(get_cublas_handle=None)
    def ask(cupy):
        raise error
    monkeypatch.setattr(cuda_graphs, "_product_by_ctypes", ask)
    monkeypatch.setitem(sys.modules, "cupy", made)
    part = results.Part("graphs")
    cuda_graphs.questions(part, gpu_check.QUICK)
    (entry,) = (e for e in part.entries if "ctypes" in e["name"])
    assert entry["value"] == value and note in entry["note"]


def test_a_graph_that_cannot_be_recorded_is_ended_and_says_the_first_error():
    """With a stream as CuPy's is: what went wrong while it recorded, not what ending it says."""
    class Stream:
        ended = 0
        def __init__(self, non_blocking=False): pass
        def __enter__(self): return self
        def __exit__(self, *exc): pass
        def synchronize(self): pass
        def begin_capture(self): pass
        def end_capture(self):
            Stream.ended += 1
            raise RuntimeError("the capture is invalid")
    class Cupy:
        class cuda:
            get_current_stream = Stream
    Cupy.cuda.Stream = Stream
    calls = iter([None, NotImplementedError("cuBLAS is refused")])
    def work():
        if error := next(calls):
            raise error
    with pytest.raises(NotImplementedError, match="cuBLAS is refused"):
        cuda_graphs.captured(Cupy, work)
    assert Stream.ended == 1


class Cublas:
    """cuBLAS's two functions as its manual has them: matrices stand column after column."""

    status = 0

    def cublasSetStream_v2(self, handle, stream):
        return 0

    def cublasSgemm_v2(self, handle, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
        def columns(pointer, length, count):
            numbers = (ctypes.c_float * (length.value * count.value)).from_address(pointer.value)
            return np.frombuffer(numbers, np.float32).reshape(count.value, length.value).T
        c = columns(C, ldc, n)
        c[...] = columns(A, lda, k) @ columns(B, ldb, n)
        return self.status


def test_cublas_is_called_with_the_right_matrices():
    host = np.random.default_rng(0).standard_normal((3, 5, 5), np.float32)
    a, b, y = map(fakecupy.array, host)
    stream = SimpleNamespace(ptr=0)
    cupy = SimpleNamespace(cuda=SimpleNamespace(
        device=SimpleNamespace(get_cublas_handle=lambda: 1), get_current_stream=lambda: stream))
    library = Cublas()
    cuda_graphs.cublas_product(cupy, library, a, b, y)
    np.testing.assert_allclose(y.get(), host[0] @ host[1], rtol=1e-4, atol=1e-5)
    library.status = 14
    with pytest.raises(RuntimeError, match="cublasSgemm_v2 returned the status 14"):
        cuda_graphs.cublas_product(cupy, library, a, b, y)


@pytest.mark.parametrize("path", ["/usr/lib/libcublas.so.12", "/opt/my libraries/libcublas.so.12"])
def test_the_cublas_that_is_loaded_is_found(monkeypatch, path):
    lines = ["7f00-7f01 rw-p 00000000 00:00 0 ", f"7f01-7f02 r-xp 00001000 08:01 77   {path}"]
    monkeypatch.setattr(cuda_graphs, "Path", lambda name: SimpleNamespace(
        read_text=lambda: "\n".join(lines)))
    monkeypatch.setattr(ctypes, "CDLL", str)
    asked = []
    cupy = SimpleNamespace(cuda=SimpleNamespace(device=SimpleNamespace(
        get_cublas_handle=lambda: asked.append(1))))
    assert cuda_graphs.cublas(cupy) == path and asked
    del lines[1]
    with pytest.raises(OSError, match="no libcublas.so is loaded"):
        cuda_graphs.cublas(cupy)


@needs_kernels
@pytest.mark.slow
def test_the_accuracy_part_trains_and_judges(gpu, monkeypatch):
    """On few images; as much is learnt from them as its limit here says."""
    few = learning.config_for
    monkeypatch.setattr(learning, "config_for", lambda name, **o: few(name, quick=True, **o))
    monkeypatch.setattr(learning, "LEARNT", (0.5,))
    part = results.Part("accuracy")
    learning.check_accuracy(part, replace(gpu_check.QUICK, epochs=1))
    assert [e["ok"] for e in part.entries if e["limit"] is not None] == [True]
    assert found({"entries": part.entries})["epoch 1", "s"] > 0


@pytest.mark.parametrize("reached, ok", [((0.971, 0.9891), [True, True]),
                                         ((0.969, 0.9905), [False, True]),
                                         ((0.984, 0.9885), [True, False])])
def test_accuracy_after_each_epoch_has_its_limit(monkeypatch, reached, ok):
    """The last must come within 0.2 points of the CPU's."""
    class Trainer:
        def __init__(self, *args, after_epoch, **options):
            self.after_epoch = after_epoch
        def fit(self, epochs):
            self.after_epoch(0)
            for number, accuracy in enumerate(reached[:epochs], 1):
                self.after_epoch(number)
                yield {"epoch": number, "loss": 0.1, "test_accuracy": accuracy}
    monkeypatch.setattr(learning, "Trainer", Trainer)
    monkeypatch.setattr(learning, "Job", lambda config, device: SimpleNamespace(
        procedure=None, train_loader=list, test_loader=list, recipe=minidl.models.MODELS["cnn"]))
    moments = iter((10.0, 12.0, 15.5))
    monkeypatch.setattr(learning, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    part = results.Part("accuracy")
    learning.check_accuracy(part, gpu_check.FULL)
    assert [e["ok"] for e in part.entries if e["limit"] is not None] == ok
    assert [e["value"] for e in part.entries if e["of"] == "s"] == [2.0, 3.5]


@pytest.mark.parametrize("name", ["cnn", "cnn-rgb", "gan", "vae"])
def test_the_networks_in_pytorch_are_minidls(name):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from minidl.gpu_check import peer
    model = peer.NETWORKS[name]()
    ours = minidl.models.MODELS[name].build(**learning.OPTIONS.get(name, {}))
    assert {k: tuple(p.shape) for k, p in model.named_parameters()} == {
        k: p.shape for k, p in ours.named_parameters()}
    rng = np.random.default_rng(0)
    batch = rng.random((2, *minidl.models.MODELS[name].image), np.float32), rng.integers(0, 10, 2)
    step, _ = peer.step_and_wait(name, [batch], "cpu")
    losses = step()
    assert all(np.isfinite(float(loss)) for loss in losses if not isinstance(loss, list))


def test_the_launcher_is_put_back(gpu):
    before = launch.compiled_kernel
    with values._launched() as names:
        assert launch.compiled_kernel is not before
    assert launch.compiled_kernel is before and names == set()
