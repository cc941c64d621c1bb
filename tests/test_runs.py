"""Run folders: who may write, what a kill leaves behind, logs, signals, permissions."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_cli import few_digits, files, minidl_command  # noqa: F401  (few_digits is a fixture)
from test_training import Stop, raise_stop, stop_at, tiny_trainer

import minidl
from minidl import cli, training
from minidl.files import saving
from minidl.training import Run, lock, report

ROOT = Path(minidl.__file__).parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="signals and permissions of POSIX")


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(cli.plots, "matplotlib_problem", lambda: "no pictures here")


def train(folder: Path, digits: Path, *more: object, model: str = "cnn") -> list[str]:
    return [*map(str, ["train", model, "--data", digits, "--epochs", 2, "--batch-size", 16, "--out",
                       folder, *more])]


def started(arguments: list[str], *, code: str = "") -> subprocess.Popen:
    """The command line in a process of its own, after `code`."""
    code = (f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'tests')]!r}\n{code}\n"
            f"from minidl import cli; sys.exit(cli.main({arguments!r}))")
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MINIDL_KERNELS": "reference"})


# Says "step N" on standard error and waits for a line, in the middle of that step.
WAIT_AT = """
from minidl import plots, training
plots.matplotlib_problem = lambda: "no pictures here"
step, count = training.ClassifierSteps.step, iter(range(1, 10**6))
def stepping(self, images, labels):
    losses = step(self, images, labels)
    if next(count) == {0}:
        print("step {0}", file=sys.stderr, flush=True)
        sys.stdin.readline()
    return losses
training.ClassifierSteps.step = stepping
"""


# --------------------------------------------------------------------------- when a run is there
def test_a_folder_without_a_checkpoint_can_be_begun_again(tmp_path):
    Run.create({"model": "tiny", "lr": 1}, tmp_path)
    Run.create({"model": "tiny", "lr": 2}, tmp_path)
    assert Run.open(tmp_path).config["lr"] == 2
    tiny_trainer(tmp_path / "run").fit(1)
    with pytest.raises(FileExistsError, match="holds a run already; go on with it by --resume"):
        Run.create({"model": "tiny"}, tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(FileExistsError, match="holds a run already"):
        Run.create({"model": "tiny"}, tmp_path / "run")


def test_a_damaged_config_without_a_checkpoint_keeps_nobody_from_beginning(tmp_path):
    for damage in (b"", b"{", b'{"model": "tiny", "lr', b"\xff\xfe\xfd", b"[" * 100_000):
        Run.create({"model": "tiny"}, tmp_path)
        (tmp_path / "config.json").write_bytes(damage)
        with pytest.raises(ValueError, match="config.json is damaged"):
            Run.open(tmp_path)
        Run.create({"model": "tiny", "lr": 2}, tmp_path)
        assert Run.open(tmp_path).config["lr"] == 2
    (tmp_path / "config.json").write_text('{"of": "another program"}')    # whole, and not ours
    with pytest.raises(ValueError, match="not a config of minidl"):
        Run.create({"model": "tiny"}, tmp_path)
    assert "another" in (tmp_path / "config.json").read_text()
    tiny_trainer(tmp_path / "run").fit(1)
    (tmp_path / "run" / "config.json").write_bytes(b"{")                  # a run is there
    with pytest.raises(FileExistsError, match="holds a run already"):
        Run.create({"model": "tiny"}, tmp_path / "run")


@posix
def test_a_pipe_or_a_folder_in_a_run_is_not_waited_for(tmp_path):
    """In the place of each file that a run reads: a clear error, or a blank picture."""
    for name in ("config.json", "log.jsonl", "checkpoint.safetensors", "samples.npy"):
        for make, what in ((os.mkfifo, "a named pipe"), (os.mkdir, "a folder")):
            folder = tmp_path / f"{name}-{what}"
            tiny_trainer(folder).fit(1)
            (folder / name).unlink(missing_ok=True)
            make(folder / name)
            if name == "samples.npy":
                now = np.ones((1, 4, 1, 28, 28), np.uint8)
                assert not report._frames(Run(folder, {}), 2, now).any()
                continue
            with pytest.raises((OSError, ValueError), match=what if name != "checkpoint.safetensors"
                               else "there is no file"):
                tiny_trainer(folder, resume=True)
            if name == "log.jsonl":
                with pytest.raises(OSError, match="cannot write to the folder"):
                    Run(folder, {}).log("step", epoch=1, step=1)
                (folder / "checkpoint.safetensors").unlink()
                with pytest.raises(OSError, match="cannot write"):
                    Run.create({"model": "tiny"}, folder)


def test_a_run_that_is_there_is_not_begun_again_by_mistake(tmp_path):
    tiny_trainer(tmp_path / "run").fit(1)
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    forgetful = tiny_trainer()
    forgetful.run = Run.open(tmp_path / "run")                   # no resume()
    with pytest.raises(FileExistsError, match="holds a run already"):
        forgetful.fit(2)
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize(("again", "at", "model"), [
    ("the same command", "checkpoint.safetensors", "cnn"), ("--resume", "samples.npy", "vae")])
def test_a_run_killed_before_its_first_checkpoint(again, at, model, few_digits, tmp_path,  # noqa: F811
                                                  monkeypatch, no_pictures):
    """As if killed while the first file of that name was written: its half is left over."""
    whole, run, write = tmp_path / "whole", tmp_path / "run", saving.write_atomically

    def killed(path, content):
        if Path(path).name == at:
            (run / f"{at}.0a1b2c3d.tmp").write_bytes(content[:9])
            raise_stop()
        write(path, content)

    samples = report.generated_images
    monkeypatch.setattr(report, "generated_images", lambda job, n: samples(job, 4))
    assert cli.main(train(whole, few_digits, model=model)) == 0
    with monkeypatch.context() as kill, pytest.raises(Stop):
        for module in (saving, report):
            kill.setattr(module, "write_atomically", killed)
        cli.main(train(run, few_digits, model=model))
    assert not (run / "checkpoint.safetensors").exists()
    assert cli.main(["train", "--resume", str(run)] if again == "--resume"
                    else train(run, few_digits, model=model)) == 0
    assert files(run) == files(whole)
    for name in {"checkpoint.safetensors", "log.jsonl", "config.json", at}:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name


def test_without_safetensors_a_whole_run_is_kept_and_a_part_begun_again(
        few_digits, tmp_path, monkeypatch, capsys, no_pictures):  # noqa: F811
    monkeypatch.setattr(saving, "safetensors_problem", lambda: "they need safetensors")
    run = tmp_path / "run"
    assert cli.main(train(run, few_digits)) == 0
    assert cli.main(train(run, few_digits)) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert cli.main(["train", "--resume", str(run)]) == 2
    assert "made without safetensors (python -m pip" in capsys.readouterr().err
    log = (run / "log.jsonl").read_bytes()
    (run / "log.jsonl").write_bytes(b"".join(log.splitlines(True)[:-1]))
    assert cli.main(train(run, few_digits)) == 0
    assert (run / "log.jsonl").read_bytes() == log


# --------------------------------------------------------------------------- one at a time
def test_one_process_at_a_time_trains_in_a_folder(few_digits, tmp_path, capsys):  # noqa: F811
    run = tmp_path / "run"
    first = started(train(run, few_digits), code=WAIT_AT.format(4))
    assert first.stderr.readline() == "step 4\n"
    for arguments in (["train", "--resume", str(run)], train(run, few_digits)):
        assert cli.main(arguments) == 2
        assert re.search(rf"run: {run} is in use by process {first.pid} on \S+ since "
                         r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d; wait", capsys.readouterr().err)
    assert cli.main(["evaluate", str(run), "--no-pictures"]) == 0        # readers need not wait
    assert cli.main(["evaluate", str(run)]) == 0
    first.communicate("\n")
    assert first.returncode == 0
    assert "lock" not in files(run)
    assert cli.main(["train", "--resume", str(run)]) == 0


def test_the_lock_of_a_process_that_was_killed_is_taken_over(few_digits, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    first = started(train(run, few_digits), code=WAIT_AT.format(4))
    assert first.stderr.readline() == "step 4\n"
    first.kill()
    first.communicate()
    assert f"process {first.pid} on" in (run / "lock").read_text()
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert "lock" not in files(run)


def test_two_runs_in_one_process_do_not_share_a_folder(tmp_path):
    trainer, said = tiny_trainer(tmp_path), []

    def meddle():
        with pytest.raises(BlockingIOError, match=f"in use by process {os.getpid()} on") as refused:
            tiny_trainer(tmp_path, resume=True)
        said.append(str(refused.value))

    stop_at(trainer, 5, meddle)
    with trainer.run, trainer.run:                          # a hold may be nested
        trainer.fit(1)
        assert (tmp_path / "lock").exists() and said
    assert not (tmp_path / "lock").exists()
    tiny_trainer(tmp_path, resume=True).fit(2)


def test_a_lock_file_that_nobody_has_keeps_nobody_out(tmp_path):
    (tmp_path / "lock").write_bytes(b"process 1 on elsewhere \xff\x1b[31m" + bytes(999))
    first = Run.create({"model": "tiny"}, tmp_path)
    text = (tmp_path / "lock").read_text()
    assert text.startswith(f"process {os.getpid()} on ") and "elsewhere" not in text
    (tmp_path / "lock").write_bytes(b"process \x1b[31m \xff of mine")
    second = Run(tmp_path, {})
    with pytest.raises(BlockingIOError, match=r"in use by process \\x1b\[31m \ufffd of mine; wait"):
        second.__enter__()
    del first                                              # forgotten: then it is free
    with second:
        pass
    assert not (tmp_path / "lock").exists()


@posix
def test_a_fork_does_not_give_its_parents_lock_away(tmp_path):
    run = Run.create({"model": "tiny"}, tmp_path)
    code = ("import os, sys\nfrom minidl.training import Run\n"
            f"run = Run.create({{'model': 'tiny'}}, {str(tmp_path / 'b')!r})\n"
            "child = os.fork()\nif not child: run._lock.free(); os._exit(0)\n"
            "os.waitpid(child, 0)\n"
            "assert (run.folder / 'lock').exists()\n"
            "try: Run(run.folder, {}).__enter__()\nexcept BlockingIOError: print('kept')")
    done = minidl_command(code=code)
    assert done.stdout == "kept\n", done.stderr
    assert run.folder.exists()


def test_a_file_system_without_locks_trains_all_the_same(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    tiny_trainer(tmp_path).fit(1)


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    tiny_trainer(tmp_path).fit(1)
    left = [tmp_path / f"{name}{end}" for name in ("config.json", "log.jsonl", "samples.npy",
            "checkpoint.safetensors", "evaluation.json") for end in (".01.tmp", "x_9.tmp", ".tmp")]
    own = tmp_path / "notes.tmp"
    for path in (*left, own):
        path.write_text("half")
    Run.open(tmp_path)
    assert not any(path.exists() for path in left) and own.exists()
    left[0].write_text("half")
    with Run(tmp_path, {"model": "tiny"}):
        assert not left[0].exists()
        left[0].write_text("being written")
        Run.open(tmp_path)                                 # a reader takes nothing from a writer
        assert left[0].exists()


def test_two_new_runs_of_the_same_second_get_two_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda text: text)
    runs = [Run.create({"model": "tiny"}) for _ in range(3)]
    assert len({run.folder for run in runs}) == 3
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    (tmp_path / "else" / "runs").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="run: cannot write to the folder runs"):
        Run.create({"model": "tiny"})


# --------------------------------------------------------------------------- pictures
@pytest.mark.parametrize(("model", "drawn"), [
    ("cnn", {"curves.png", "confusion.png", "kernels.png", "worst.png"}),
    pytest.param("vae", {"curves.png", "samples.png", "samples.gif", "reconstructions.png",
                         *(f"samples/epoch-00{i}.png" for i in range(3))}, marks=pytest.mark.slow)])
def test_pictures_that_a_kill_left_out_are_drawn_at_resume(model, drawn, few_digits,  # noqa: F811
                                                           tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    with monkeypatch.context() as killed:
        killed.setattr(report, "pictures", lambda *arguments: raise_stop())
        with pytest.raises(Stop):
            cli.main(train(run, few_digits, model=model))
    for name in drawn & files(run):
        (run / name).unlink()
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert "it has its 2 epochs already" in capsys.readouterr().out
    assert files(run) >= drawn


def test_a_film_that_is_damaged_keeps_nothing_from_going_on(few_digits, tmp_path,  # noqa: F811
                                                            monkeypatch, no_pictures):
    run, samples = tmp_path / "run", report.generated_images
    monkeypatch.setattr(report, "generated_images", lambda job, n: samples(job, 4))
    start = ["train", "vae", "--data", str(few_digits), "--batch-size", "16", "--out", str(run)]
    assert cli.main([*start, "--epochs", "1"]) == 0
    path = run / "samples.npy"
    whole, film, now = path.read_bytes(), np.load(path), np.load(path)[1:]
    np.testing.assert_array_equal(report._frames(Run.open(run), 2, now), film)
    garbage = (b"", b"\x93NUMPY garbage", b"PK\x03\x04", whole[:300], whole.replace(b"|u1", b"|O8"),
               whole.replace(b"(2, ", b"(9999999999999, "), whole.replace(b"u1", b"i1"))
    for content in garbage:
        path.write_bytes(content)
        assert not report._frames(Run.open(run), 2, now).any()
    path.unlink()
    assert cli.main(["train", "--resume", str(run), "--epochs", "2"]) == 0
    after = np.load(path)
    assert after.shape == (3, *film.shape[1:]) and after[2].any()
    assert not after[:2].any()                         # what is lost is blank, and in its place


# --------------------------------------------------------------------------- permissions
@posix
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o027, 0o077])
def test_a_run_and_saved_weights_have_the_permissions_of_the_umask(mask, tmp_path):
    before = os.umask(mask)
    try:
        tiny_trainer(tmp_path / "run").fit(1)
        tiny_trainer(tmp_path / "run", resume=True).fit(2)
        minidl.save({"a": minidl.ones(2)}, tmp_path / "w.safetensors")
        minidl.save({"a": minidl.ones(2)}, tmp_path / "w.safetensors")    # over one that is there
    finally:
        os.umask(before)
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(paths) == 4
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path


@posix
@pytest.mark.slow
@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_files_have_the_permissions_of_the_umask(mask, few_digits, tmp_path):  # noqa: F811
    before = os.umask(mask)
    try:
        assert cli.main(train(tmp_path / "run", few_digits, model="vae")) == 0
        assert cli.main(["evaluate", str(tmp_path / "run"), "--no-pictures"]) == 0
    finally:
        os.umask(before)
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(paths) > 9
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path


# --------------------------------------------------------------------------- what cannot be written
@posix
def test_only_ordinary_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match=f"cannot write .*{name} .it is no ordinary file"):
            minidl.save({"a": minidl.ones(2)}, tmp_path / name)
    with pytest.raises(OSError, match=f"cannot write {os.devnull} .it is no ordinary file"):
        minidl.save({"a": minidl.ones(2)}, os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    with pytest.raises(FileNotFoundError, match="cannot write .*no/w"):
        minidl.save({"a": minidl.ones(2)}, tmp_path / "no" / "w")
    minidl.save({"a": minidl.ones(2)}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link", "pipe"]


@posix
@pytest.mark.parametrize("room", [0, 300_000, *(pytest.param(room, marks=pytest.mark.slow)
                                                for room in (100, 2000, 1_000_000))])
def test_a_full_disk_is_one_clear_line_and_the_run_goes_on(room, few_digits, tmp_path):  # noqa: F811
    pytest.importorskip("resource")
    whole, run = tmp_path / "whole", tmp_path / "run"
    code = 'from minidl import plots; plots.matplotlib_problem = lambda: "no pictures here"'
    full = f"{code}; import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))"
    for folder, before in ((whole, code), (run, full)):
        out, err = (process := started(train(folder, few_digits), code=before)).communicate()
    assert process.returncode == 2 and err.startswith("minidl: ") and err.count("\n") == 1
    assert "cannot write" in err and str(run) in err
    assert not [path for path in run.rglob("*") if path.suffix == ".tmp"]
    there = (run / "checkpoint.safetensors").exists()
    assert there == (room == 1_000_000) == ("the last good checkpoint is" in err)
    again = ["train", "--resume", str(run)] if there else train(run, few_digits)
    out, err = (process := started(again, code=code)).communicate()
    assert process.returncode == 0, err
    for name in ("checkpoint.safetensors", "log.jsonl"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


@posix
@pytest.mark.parametrize("folder", ["/dev/null", "/dev/null/x", "/proc/x", "/proc/1/x"])
def test_folders_that_cannot_be(folder, few_digits, capsys):  # noqa: F811
    assert cli.main(train(Path(folder), few_digits)) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"minidl: run: cannot write to the folder {folder} (")
    assert err.count("\n") == 1


# --------------------------------------------------------------------------- arguments
@pytest.mark.parametrize("epochs", [1.5, 2.0, True, "3", None, float("nan"), [1], np.array([1, 2])])
def test_epochs_are_a_whole_number(epochs):
    with pytest.raises(TypeError, match="fit: epochs must be a whole number, got"):
        tiny_trainer().fit(epochs)


def test_epochs_may_be_numpys_but_not_negative():
    assert len(tiny_trainer().fit(np.int64(1))) == 1
    with pytest.raises(ValueError, match="fit: epochs must be at least 0, got -1"):
        tiny_trainer().fit(-1)


@pytest.mark.parametrize(("key", "value"), [
    ("lr", True), ("lr", "x"), ("lr", 0), ("lr", -1), ("lr", float("inf")), ("lr", [1]),
    ("epochs", True), ("epochs", 1.5), ("epochs", "2"), ("batch_size", True), ("batch_size", 2.0),
    ("seed", True), ("seed", -1), ("quick", 1), ("latent", True)])
def test_a_config_takes_numbers_alone(key, value):
    with pytest.raises(ValueError, match=f"{key.replace('_', '.')}: .* (of the wrong type|too small"
                                         "|no learning rate)"):
        training.config.config_for("vae", **{key: value})


def test_a_config_takes_numpys_numbers(tmp_path):
    config = training.config.config_for("vae", epochs=np.int64(2), lr=np.float32(0.5),
                                        batch_size=np.int8(4), seed=np.uint64(3))
    assert json.loads(json.dumps(config)) == config


def test_one_who_waits_for_a_lock_gives_up_within_a_second(tmp_path, monkeypatch):
    """It tries six times, a little later each time."""
    waits = []
    monkeypatch.setattr(lock.time, "sleep", waits.append)
    holder, other = lock.Lock(tmp_path / "lock"), lock.Lock(tmp_path / "lock")
    holder.take()
    with pytest.raises(BlockingIOError, match="in use by process"):
        other.take()
    assert waits == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    holder.free()
    other.take()
    other.free()
