"""The command line, as a user meets it: each kind of model trained, judged and resumed."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import cli, data, plots, training
from minidl.models import MODELS

ROOT = Path(minidl.__file__).parent.parent


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory) -> Path:
    """A folder of IDX files: 48 digits to train on, 24 to test on."""
    folder = tmp_path_factory.mktemp("digits")
    mnist = data.mnist()
    for part, split, n in (("train", mnist.train, 48), ("t10k", mnist.test, 24)):
        arrays = {"images-idx3": split.images[:n, 0], "labels-idx1": split.labels[:n]}
        for name, array in arrays.items():
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            content = header + array.astype(np.uint8).tobytes()
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content, 1))
    return folder


def minidl_command(*arguments: object, code: str | None = None,
                   variables: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    start = ["-c", code] if code else ["-m", "minidl"]
    return subprocess.run([sys.executable, "-W", "error", *start, *map(str, arguments)], cwd=ROOT,
                          capture_output=True, text=True, timeout=120,
                          env={**os.environ, "OMP_NUM_THREADS": "1", **(variables or {})})


@pytest.fixture(scope="session")
def cnn_run(few_digits, tmp_path_factory) -> Path:
    """A run folder, trained as a user does it: in a process of its own."""
    folder = tmp_path_factory.mktemp("runs") / "cnn"
    done = minidl_command("train", "cnn", "--data", few_digits, "--epochs", 2, "--batch-size", 16,
                          "--out", folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and done.stdout.isascii()
    assert "48 images to train on, 24 to test on; batches of 16" in done.stdout
    assert "epoch 2/2  loss" in done.stdout and "test accuracy" in done.stdout
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_classifier_leaves_its_run_folder(cnn_run):
    assert files(cnn_run) >= {"config.json", "log.jsonl", "checkpoint.safetensors", "curves.png",
                              "confusion.png", "worst.png", "kernels.png"}
    lines = [json.loads(line) for line in (cnn_run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [1, 2]
    config = json.loads((cnn_run / "config.json").read_text())
    assert config["model"] == "cnn" and config["seed"] == 0 and config["lr"] == 4e-3


def test_evaluate_a_classifier(cnn_run, capsys):
    assert cli.main(["evaluate", str(cnn_run), "--no-pictures"]) == 0
    assert "cnn, 24 test images: loss" in capsys.readouterr().out
    log = [json.loads(line) for line in (cnn_run / "log.jsonl").read_text().splitlines()]
    found = json.loads((cnn_run / "evaluation.json").read_text())
    assert found["accuracy"] == log[-1]["test_accuracy"]
    assert found["loss"] == pytest.approx(log[-1]["test_loss"])


def test_a_gan_is_trained_sampled_and_judged(few_digits, cnn_run, tmp_path):
    run = tmp_path / "gan"
    done = minidl_command("train", "dcgan", "--data", few_digits, "--epochs", 2, "--batch-size", 16,
                          "--out", run)
    assert done.returncode == 0, done.stderr
    assert files(run) >= {"curves.png", "samples.gif", "samples.npy", "samples/epoch-000.png",
                          "samples/epoch-002.png", "checkpoint.safetensors"}
    assert np.load(run / "samples.npy").shape == (3, 64, 1, 32, 32)
    assert cli.main(["sample", str(run), "--number", "9", "--out", str(run / "nine.png")]) == 0
    assert (run / "nine.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main(["evaluate", str(run), "--judge", str(cnn_run), "--number", "100",
                     "--no-pictures"]) == 0
    judged = json.loads((run / "evaluation.json").read_text())["judged"]
    assert sum(judged["shares"].values()) == pytest.approx(1) and len(judged["shares"]) == 10
    assert 0.1 <= judged["confidence"] <= 1


@pytest.fixture(scope="session")
def cgan_run(few_digits, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "cgan"
    assert cli.main(["train", "cgan", "--data", str(few_digits), "--epochs", "1", "--batch-size",
                     "16", "--out", str(folder)]) == 0
    return folder


def test_a_gan_is_evaluated_on_a_thousand_images_others_on_all(cnn_run, cgan_run, monkeypatch):
    asked, test_loader = [], training.job.Job.test_loader
    monkeypatch.setattr(training.job.Job, "test_loader",
                        lambda job, n=None: asked.append(n) or test_loader(job, n))
    for run in (cnn_run, cgan_run):
        assert cli.main(["evaluate", str(run), "--no-pictures"]) == 0
    assert asked == [None, 1000]


@pytest.fixture
def grids(monkeypatch) -> list:
    """What is drawn: (images, title, columns) of each picture."""
    calls, grid = [], plots.grid
    monkeypatch.setattr(plots, "grid", lambda *call: calls.append(call) or grid(*call))
    return calls


def test_a_conditional_gan_is_sampled_class_by_class(cgan_run, grids, capsys):
    assert cli.main(["sample", str(cgan_run)]) == 0
    assert f"100 samples: {cgan_run / 'sample-seed0.png'}" in capsys.readouterr().out
    assert cli.main(["sample", str(cgan_run), "--number", "4"]) == 0
    (images, *rest), (four, *rest_of_four) = grids
    assert rest == ["cgan, seed 0; columns: 0 1 2 3 4 5 6 7 8 9", 10]
    assert rest_of_four == ["cgan, seed 0; columns: 0 1 2 3", 4]
    np.testing.assert_allclose(four, images[:4], atol=1e-5)      # the noise is the same


def test_one_digit_can_be_asked_for(cgan_run, grids):
    assert cli.main(["sample", str(cgan_run), "--number", "12"]) == 0
    assert cli.main(["sample", str(cgan_run), "--number", "12", "--digit", "3"]) == 0
    assert (cgan_run / "sample-3-seed0.png").is_file()
    (each, *_), (threes, title, columns) = grids
    assert title == "cgan, seed 0: all told to be 3" and columns is None
    same = [np.allclose(a, b, atol=1e-5) for a, b in zip(each, threes)]
    assert same == [y == 3 for y in (*range(10), 0, 1)]


def test_what_cannot_be_sampled_is_refused_before_it_is(cgan_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training.outputs, "samples", None)
    for digit in ("10", "-1", "three"):
        assert cli.main(["sample", str(cgan_run), "--digit", digit]) == 2
        assert capsys.readouterr().err == (f"minidl: sample: there is no class '{digit}'; there "
                                           "are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n")
    folder = tmp_path / "nofolder"
    for option, value, message in [
        ("--out", folder / "x.png", f"--out: there is no folder {folder}, make it first"),
        ("--out", tmp_path / "x.doc", "a picture ends in one of "),
        ("--number", "0", "--number: 0 is too small, at least 1 is needed"),
        ("--number", "ten", "--number: ten is no whole number"),
        ("--seed", "-1", "--seed: -1 is too small, at least 0 is needed"),
    ]:
        with pytest.raises(SystemExit) as stop:
            cli.main(["sample", str(cgan_run), option, str(value)])
        assert stop.value.code == 2 and message in capsys.readouterr().err
    monkeypatch.setattr(cli.plots, "matplotlib_problem", lambda: "no pictures here")
    assert cli.main(["sample", str(cgan_run)]) == 2
    assert capsys.readouterr().err == "minidl: no pictures here\n"
    assert not list(tmp_path.iterdir())


def test_a_vae_of_two_latent_variables_shows_its_plane(few_digits, tmp_path, capsys):
    run = tmp_path / "vae"
    assert cli.main(["train", "vae", "--data", str(few_digits), "--epochs", "1", "--latent", "2",
                     "--likelihood", "gaussian", "--batch-size", "24", "--out", str(run)]) == 0
    assert files(run) >= {"curves.png", "reconstructions.png", "samples.png", "samples.gif",
                          "plane.png", "codes.png"}
    assert cli.main(["sample", str(run), "--digit", "3"]) == 2
    assert "vae cannot be asked for a digit; cgan can, it is told" in capsys.readouterr().err
    *_, line = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert line["kind"] == "epoch"
    assert line["loss"] == pytest.approx(line["reconstruction"] + line["kl"], rel=1e-5)
    assert json.loads((run / "config.json").read_text())["options"] == {
        "latent": 2, "likelihood": "gaussian"}


def test_resume_by_the_command_line(few_digits, tmp_path, capsys, monkeypatch):
    """One epoch and one more give the log of two epochs in one go (but with a schedule, which
    depends on how many there are in all)."""
    monkeypatch.setattr(cli.plots, "matplotlib_problem", lambda: "no pictures here")
    run, other = tmp_path / "cnn", tmp_path / "whole"
    start = ["train", "cnn-padded", "--data", str(few_digits), "--batch-size", "16", "--out"]
    assert cli.main([*start, str(other), "--epochs", "2"]) == 0
    start.append(str(run))
    assert cli.main([*start, "--epochs", "1"]) == 0
    assert cli.main(["train", "--resume", str(run), "--epochs", "2"]) == 0
    assert "resumed after epoch 1\n" in capsys.readouterr().out
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert "it has its 2 epochs already; --epochs N goes further" in capsys.readouterr().out
    ours, whole = ([json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
                   for folder in (run, other))
    for a, b in zip(ours, whole, strict=True):
        assert a.pop("kind") == b.pop("kind")
        assert a == pytest.approx(b, rel=1e-3)        # BLAS has one thread there, several here
    assert cli.main([*start]) == 2
    assert "go on with it by --resume" in capsys.readouterr().err


def test_numpy_alone(few_digits, tmp_path):
    """Without rich, safetensors, matplotlib, numba and scipy: plain text, and what to install."""
    code = ("import sys\n"
            "for name in ('rich', 'safetensors', 'matplotlib', 'PIL', 'numba', 'scipy'):\n"
            "    sys.modules[name] = None\n"
            "from minidl.cli import main\n"
            "sys.exit(main())")
    done = minidl_command("train", "cnn", "--data", few_digits, "--epochs", 1, "--out",
                          tmp_path / "run", code=code)
    assert done.returncode == 0, done.stderr
    assert "no checkpoints, they need safetensors: python -m pip install" in done.stdout
    assert "no pictures, they need matplotlib: python -m pip install" in done.stdout
    assert files(tmp_path / "run") == {"config.json", "log.jsonl"}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_quickly(name, tmp_path, capsys):
    assert cli.main(["train", name, "--quick", "--epochs", "1", "--out", str(tmp_path / name)]) == 0
    out = capsys.readouterr().out
    assert ("NOT CIFAR-10" in out) == (name == "cnn-rgb")


# --------------------------------------------------------------------------- lists, help, errors
def test_models_lists_every_network(capsys):
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    for recipe in MODELS.values():
        assert recipe.name in out and recipe.title in out
    assert "93,322" in out and "D1-VAE" in out


@pytest.mark.parametrize("name", ["cnn", "dcgan"])
def test_models_shows_the_layers_of_one(name, capsys):
    assert cli.main(["models", name]) == 0
    out = capsys.readouterr().out
    assert MODELS[name].source in out and "Conv2d" in out and "total" in out


@pytest.mark.parametrize("command", [[], ["models"], ["train"], ["evaluate"], ["sample"]])
def test_every_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert f"example:\n  {cli.PROG} {' '.join(command)}" in out


def test_defaults_are_what_the_help_says():
    """Each "(default 10)" of the help, where the default is a number."""
    (commands,) = (action.choices for action in cli._parser()._actions
                   if isinstance(action.choices, dict))
    said = {(name, action.dest): (re.search(r"default (\d+)", action.help or ""), action.default)
            for name, parser in commands.items() for action in parser._actions}
    told = {place: (int(found[1]), default) for place, (found, default) in said.items()
            if found and default is not None}
    assert {("evaluate", "number"), ("sample", "seed"), ("exercise", "timeout")} <= set(told)
    for place, (number, default) in told.items():
        assert number == default, place


@pytest.mark.parametrize("command, told", [
    ("sample", ["[--seed N]", "10 of each", "all of this digit", "default: sample-seed0.png"]),
    ("evaluate", ["evaluation.json is written", "its pictures are drawn again"]),
])
def test_help_tells_defaults_and_what_is_written(command, told, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    out = " ".join(capsys.readouterr().out.split())
    for words in [*told, "fast (the default"]:
        assert words in out


def test_help_names_the_program_as_it_was_started():
    done = minidl_command("train", "--help")
    assert done.stdout.startswith("usage: python -m minidl train")
    assert "  python -m minidl train cnn\n" in done.stdout


@pytest.mark.parametrize("arguments, message", [
    (["train"], "train: name a model (cnn, "),
    (["train", "lstm"], "model: there is no 'lstm'; there are cnn, "),
    (["models", "lstm"], "model: there is no 'lstm'"),
    (["train", "cnn", "--epochs", "0"], "epochs: 0 is too small"),
    (["train", "cnn", "--batch-size", "-1"], "batch-size: -1 is too small"),
    (["train", "cnn", "--lr", "nan"], "lr: nan is no learning rate"),
    (["train", "cnn", "--latent", "2"], "--latent is for gan and vae models, cnn is a classifier"),
    (["train", "gan", "--likelihood", "gaussian"], "--likelihood is for vae models, gan is a gan"),
    (["train", "vae", "--latent", "0"], "latent: 0 is too small"),
    (["train", "gan", "--quick", "--batch-size", "100"], "32 examples make no batch of 100"),
    (["train", "cnn", "--device", "tpu"], "device: expected"),
    (["train", "cnn", "--data", "nowhere"], "nowhere is no folder"),
    (["train", "cnn", "--quick", "--out", __file__], "cannot write to the folder"),
    (["train", "--resume", "nowhere"], "nowhere is no run folder"),
    (["evaluate", "nowhere"], "nowhere is no run folder"),
    (["sample", "nowhere"], "nowhere is no run folder"),
])
def test_errors_are_one_clear_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("minidl: ") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())               # nothing is left half done


@pytest.mark.parametrize("name, values, rule", [
    ("MINIDL_KERNELS", ["banana"], "expected one of fast, reference; got "),
    ("MINIDL_NUM_THREADS", ["banana", "0", "-1", "1e3", "1025", "9" * 5000],
     "must be a whole number from 1 to 1024, got ")])
def test_a_wrong_variable_of_the_environment_is_one_clear_line(name, values, rule, tmp_path):
    for value in values:
        done = minidl_command("train", "cnn", "--quick", "--out", tmp_path / "run",
                              variables={name: value})
        assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
        assert re.match(f"minidl: {name}:? ({rule})", done.stderr), done.stderr
        assert not (tmp_path / "run").exists()
    done = minidl_command(code="import minidl; minidl.ones(3).relu().tolist()",
                          variables={name: values[0]})
    assert ("ValueError: MINIDL_KERNELS: " in done.stderr) == (name == "MINIDL_KERNELS")


def test_errors_about_a_run(cnn_run, tmp_path, capsys):
    for arguments, message in [
        (["sample", cnn_run], "cnn is a classifier, it makes no images"),
        (["train", "vae", "--resume", cnn_run], "is a run of cnn, not vae"),
        (["train", "--resume", cnn_run, "--lr", "1"], "--lr belongs to a new run"),
        (["train", "--resume", cnn_run, "--lr", "0"], "--lr belongs to a new run"),
        (["train", "--resume", cnn_run, "--seed", "0"], "--seed belongs to a new run"),
        (["train", "--resume", cnn_run, "--epochs", "1"], "has 2 already"),
        (["evaluate", cnn_run, "--judge", cnn_run], "cnn is a classifier, it makes no images"),
    ]:
        assert cli.main(list(map(str, arguments))) == 2
        assert message in capsys.readouterr().err
    assert json.loads((cnn_run / "config.json").read_text())["epochs"] == 2
    assert cli.main(["evaluate", str(cnn_run), "--judge", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "is no run folder" in err               # refused before it is evaluated
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((cnn_run / "config.json").read_bytes())
    (broken / "checkpoint.safetensors").write_bytes(b"not a checkpoint")
    assert cli.main(["evaluate", str(broken)]) == 2
    assert "truncated, damaged or no safetensors file" in capsys.readouterr().err


@pytest.mark.parametrize("change, message", [
    ({"lr": None}, "lr: None is of the wrong type"),
    ({"model": "lstm"}, "model: there is no 'lstm'"),
    ({"options": {"latent": 2}}, "options: cnn got an unexpected keyword argument 'latent'"),
    ({"batch_size": 0}, "batch-size: 0 is too small"),
    (None, "options: it is missing"),
])
def test_a_damaged_config_is_one_clear_line(change, message, cnn_run, tmp_path, capsys):
    good = json.loads((cnn_run / "config.json").read_text())
    bad = {"model": "cnn"} if change is None else {**good, **change}
    (tmp_path / "config.json").write_text(json.dumps(bad))
    for arguments in (["evaluate", str(tmp_path)], ["train", "--resume", str(tmp_path)]):
        assert cli.main(arguments) == 2
        err = capsys.readouterr().err
        assert f"config.json: {message}" in err and err.count("\n") == 1


@pytest.fixture
def without_cupy(monkeypatch):
    """As on a machine where CuPy is not installed."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    minidl.cuda._cuda_problem_once.cache_clear()
    yield
    minidl.cuda._cuda_problem_once.cache_clear()


def test_without_a_gpu_cuda_is_refused_and_auto_says_why(without_cupy, few_digits, tmp_path,
                                                         capsys):
    for command in (["train", "cnn"], ["evaluate", "x"]):
        assert cli.main([*command, "--device", "cuda"]) == 2
        err = capsys.readouterr().err
        assert err.startswith('minidl: device: "cuda" cannot be used here: CuPy is not installed')
        assert "python -m pip install " in err and err.count("\n") == 1
    train = ["train", "cnn", "--data", str(few_digits), "--epochs", "1"]
    assert cli.main([*train, "--out", str(tmp_path / "auto")]) == 0
    assert "seed 0, on cpu (no GPU: CuPy is not installed" in capsys.readouterr().out
    assert cli.main([*train, "--device", "cpu", "--out", str(tmp_path / "cpu")]) == 0
    assert "seed 0, on cpu\n" in capsys.readouterr().out


def test_too_little_memory_is_one_clear_line(few_digits, tmp_path, capsys, monkeypatch):
    def step(self, images, labels):
        np.empty((10**7, 10**7))

    monkeypatch.setattr(training.ClassifierSteps, "step", step)
    assert cli.main(["train", "cnn", "--data", str(few_digits), "--batch-size", "16", "--device",
                     "cpu", "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert "out of memory on cpu at epoch 1, after step 0, with batches of 16: Unable to" in err
    assert err.endswith("checkpoint.safetensors; try --batch-size 8\n") and err.count("\n") == 1


def test_a_learning_rate_that_explodes_stops(few_digits, tmp_path, capsys):
    with np.errstate(all="ignore"):
        assert cli.main(["train", "cnn", "--data", str(few_digits), "--lr", "1e30", "--batch-size",
                         "16", "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert "training stopped: the loss became" in err and "step" in err and "--lr" in err
