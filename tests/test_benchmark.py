"""examples/benchmark.py: what it counts, its arithmetic, its processes, what it writes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl.training
from minidl import nn

SCRIPT = Path(__file__).parent.parent / "examples" / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _workers_compile_nothing(monkeypatch):
    """The workers' numbers are not looked at here, so NumPy will do."""
    monkeypatch.setenv("MINIDL_KERNELS", "reference")
    monkeypatch.setenv("MINIDL_NUM_THREADS", "1")


# --------------------------------------------------------------------------- arithmetic
def test_operations_of_a_training_step_by_hand(benchmark):
    """conv 1 -> 2, 3x3 on 5x5: 2 * 9 * 9 = 162 multiply-adds; dense 18 -> 4: 72."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 4))
    layers = [r.multiply_adds for r in nn.summary(model, (1, 5, 5)).rows if r.multiply_adds]
    assert layers == [162, 72]
    assert benchmark.products(layers) == 234
    # forward 234, weights 234, inputs 72: the images get no gradient
    assert benchmark.training_flops(layers) == 2 * (234 + 234 + 72)
    # G: forward twice, weights once, inputs once but for its noise. D: forward 3 times, weights
    # twice, inputs twice without and once with the images'.
    G, D = [100, 10], [20, 7]
    by_hand = 2 * 110 + 110 + 10 + 3 * 27 + 2 * 27 + 2 * 7 + 27
    assert benchmark.training_flops(G, D) == 2 * by_hand
    # 64 images, 3 -> 5 channels, 2x2 with stride 2 on 6x6: 3x3 pixels
    assert benchmark.conv_flops(64, (3, 6, 5, 2, 2)) == 2 * 64 * 5 * 9 * 3 * 4


def test_gan_passes_are_those_that_happen(benchmark, monkeypatch):
    """The products counted for a GAN step are those of the passes that minidl's step makes."""
    from minidl.ops import conv
    model = minidl.models.MODELS["gan"].build(width=1)
    done = []

    def spy(name):
        real = getattr(conv, name)
        return lambda *args: done.append(name) or real(*args)

    for name in ("_conv2d", "_conv2d_input_grad", "_conv2d_weight_grad"):
        monkeypatch.setattr(conv, name, spy(name))
    optimizers = [minidl.optim.SGD(p.parameters(), 1e-3)
                  for p in (model.generator, model.discriminator)]
    monkeypatch.setattr(minidl.kernels, "_choice", "reference")
    minidl.training.GANSteps(model, *optimizers).step(minidl.zeros(2, 1, 28, 28))
    # G has three transposed convolutions, each forward twice, backward once to weights and to
    # inputs (dense noise layer before them); D has two, forward three times.
    assert done.count("_conv2d_weight_grad") == 3 + 2 * 2
    assert done.count("_conv2d_input_grad") == 2 * 3 + 2 * 1 + 2   # G forward; D's turn; G's turn
    assert done.count("_conv2d") == 3 * 2 + 3                         # D forward; G's inputs


@pytest.mark.slow
def test_the_operations_have_the_networks_sizes(benchmark):
    """CONVS lists the multiply-adds that the models' own layers count."""
    found = {}
    for name, options in (("cnn", {}), ("cnn-rgb", {}), ("gan", {}), ("vae", {"latent": 20})):
        for _, part, shape in minidl.models.MODELS[name].parts(**options):
            rows = nn.summary(part, shape).rows
            found.setdefault(name, []).extend(r.multiply_adds for r in rows if "Conv" in r.kind)
    for name, counts in found.items():
        listed = [benchmark.conv_flops(1, shape) // 2 for label, shape in benchmark.CONVS.items()
                  if label.split()[0] == name]
        assert sorted(listed) == sorted(counts)


def test_ratio_takes_the_best_peer_of_each_round(benchmark):
    found = benchmark.ratio([1.0, 2.0, 3.0, 8.0], [2.0, 2.0, 2.0, 2.0], [4.0, 1.0, 3.0, 4.0])
    assert found["rounds"] == [0.5, 2.0, 1.5, 4.0]
    assert found["median"] == 1.75 and found["low"] == 1.25 and found["high"] == 2.5


def test_exponent(benchmark):
    assert benchmark.exponent([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)


def test_peak_memory_only_grows(benchmark):
    before = benchmark.peak_memory()
    if before is None:
        pytest.skip("this system does not tell")
    np.ones(2**24)                                                    # 128 MiB
    assert 2**24 < before <= benchmark.peak_memory() < 2**40


# --------------------------------------------------------------------------- processes
def test_workers_take_turns(benchmark):
    mine, again = benchmark.Worker("minidl", 1), benchmark.Worker("minidl again", 1)
    one = benchmark.case("g", "n", "network", name="cnn", mode="train", batch=2, options={})
    try:
        found = benchmark.alternate([mine, again], one, rounds=3, turn=0.001)
        assert mine.ask(do="memory")["peak"] is None or mine.ask(do="memory")["peak"] > mine.start
    finally:
        mine.close()
        again.close()
    assert mine.process.returncode == again.process.returncode == 0
    assert list(found) == ["minidl", "minidl again"]
    for variant in found.values():
        assert [len(turn) for turn in variant["seconds"]] == [3, 3, 3]
        assert min(map(min, variant["seconds"])) > 0
    row = benchmark.row(one, found, {"minidl": ["minidl again"]}, peak=1e9)
    assert len(row["ratios"]["minidl"]["rounds"]) == 3
    ours = row["contestants"]["minidl"]
    flops = 2 * minidl.nn.summary(minidl.models.CNN(), (1, 28, 28)).multiply_adds
    assert 2 * flops < found["minidl"]["flops"] / 2 < 3 * flops       # 2 images
    assert ours["images_per_s"] == pytest.approx(2e3 / ours["median_ms"])
    assert ours["gflops"] == pytest.approx(ours["of_peak"])


@pytest.mark.parametrize("variant", ["torch", "torch channels-last fused"])
@pytest.mark.parametrize("name", ["cnn", "cnn-rgb", "gan", "vae", "scaled"])
def test_pytorch_trains_the_networks_of_gpu_check(benchmark, name, variant, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    contestant = benchmark.Torch(variant, 1)
    options = {"vae": {"latent": 3}, "scaled": {"channels": 4, "side": 8}}.get(name, {})
    step, _ = contestant.network(name, "train", 2, options)
    values = [x for value in step() for x in (value if isinstance(value, list) else [value])]
    assert len(values) == {"gan": 4, "vae": 3}.get(name, 2)
    assert all(np.isfinite(float(value)) for value in values)
    if name != "gan":
        infer, _ = contestant.network(name, "infer", 2, options)
        assert name == "vae" or infer().shape == (2, 10)


def test_an_error_in_a_worker_is_a_sentence(benchmark):
    worker = benchmark.Worker("minidl", 1)
    with pytest.raises(benchmark.Problem, match="minidl does not work here: .*no-such"):
        worker.ask(do="make", case=benchmark.case("g", "n", "adam", name="no-such", options={}))
    assert worker.process.returncode == 0


def test_quick_writes_what_is_documented(benchmark, tmp_path, capsys):
    file, picture = tmp_path / "speed.json", tmp_path / "speed.png"
    words = ["--quick", "--only", "cnn infer", "--against", "minidl", "--threads", "1", "--rounds",
             "2", "--turn", "0.01", "--json", str(file)]
    if importlib.util.find_spec("matplotlib"):
        words += ["--picture", str(picture)]
    assert benchmark.main(words) == 0
    record = json.loads(file.read_text())
    assert set(record) == {"machine", "rows", "exponents"}
    assert {"processor", "cores", "threads", "python", "numpy", "numba", "torch",
            "date"} <= set(record["machine"])
    assert [r["name"] for r in record["rows"]] == ["numpy product 1024", "own product 1024",
                                                   "cnn infer 128"]
    last = record["rows"][-1]
    assert set(last) == {"group", "name", "of", "contestants", "ratios"}
    assert set(last["contestants"]) == {"minidl", "minidl again"}
    assert set(last["contestants"]["minidl"]) == {
        "median_ms", "min_ms", "images_per_s", "gflops", "of_peak", "rounds_ms", "peak_mib",
        "grown_mib"}
    assert {"median", "low", "high", "rounds", "least"} == set(last["ratios"]["minidl"])
    printed = capsys.readouterr().out
    assert "minidl / minidl" in printed and "quartiles" in printed and "median ms" in printed
    assert not record["exponents"] and picture.exists() == ("--picture" in words)


def test_scaling_fits_exponents_and_draws_them(benchmark, tmp_path):
    pytest.importorskip("matplotlib")
    rows = [benchmark.row(benchmark.case(f"against {axis}", f"{axis} {v}", "network", batch=64),
                          {"minidl": {"seconds": [[v * 1e-3] * 3], "flops": None}}, {}, 1e9)
            for axis, values in benchmark.SWEEPS.items() for v in values]
    found = benchmark.exponents(rows)
    assert set(found) == {"batch", "channels", "side"}
    assert all(p["minidl"] == pytest.approx(1) for p in found.values())
    benchmark.picture(rows, str(tmp_path / "scaling.png"))
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("peer", ["torch", "dezero"])
def test_a_missing_peer_is_a_sentence(benchmark, peer, tmp_path, monkeypatch, capsys):
    """A module of its name that fails as an absent one does, first on the workers' path."""
    lines = f'raise ModuleNotFoundError("No module named {peer!r}", name={peer!r})\n'
    (tmp_path / f"{peer}.py").write_text(lines)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    loaded = peer in sys.modules
    assert benchmark.main(["--quick", "--against", peer, "--only", "cnn infer"]) == 2
    sentence = f"benchmark: {peer} is not installed: python -m pip install {peer}\n"
    assert capsys.readouterr().err == sentence
    assert (peer in sys.modules) == loaded


def test_a_picture_of_nothing_is_refused(benchmark, capsys):
    with pytest.raises(SystemExit) as stop:
        benchmark.main(["--picture", "x.png"])
    assert stop.value.code == 2 and "--against" in capsys.readouterr().err
