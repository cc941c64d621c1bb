"""Run folders: who may write, what a kill leaves behind, logs, signals, permissions."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_cli import few_digits, files, minidl_command  # noqa: F401  (few_digits is a fixture)
from test_training import Stop, assert_same, raise_stop, state, stop_at, tiny_trainer

import minidl
from minidl import cli, saving, training
from minidl.training import Run, checkpoint, report, stop

ROOT = Path(minidl.__file__).parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="signals and permissions of POSIX")


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(cli.plots, "problem", lambda: "no pictures here")


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
plots.problem = lambda: "no pictures here"
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


def test_a_run_that_is_there_is_not_begun_again_by_mistake(tmp_path):
    tiny_trainer(tmp_path / "run").fit(1)
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    forgetful = tiny_trainer()
    forgetful.run = Run.open(tmp_path / "run")                   # no resume()
    with pytest.raises(FileExistsError, match="holds a run already"):
        forgetful.fit(2)
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize(("again", "at"), [("the same command", "checkpoint.safetensors"),
                                           ("--resume", "samples.npy")])
def test_a_run_killed_before_its_first_checkpoint(again, at, few_digits, tmp_path,  # noqa: F811
                                                  monkeypatch, no_pictures):
    """As if killed while the first file of that name was written: its half is left over."""
    whole, run, write = tmp_path / "whole", tmp_path / "run", saving.write_atomically

    def killed(path, content):
        if Path(path).name == at:
            (run / f"{at}.0a1b2c3d.tmp").write_bytes(content[:9])
            raise_stop()
        write(path, content)

    samples = report.samples
    monkeypatch.setattr(report, "samples", lambda job, n: samples(job, 4))
    assert cli.main(train(whole, few_digits, model="vae")) == 0
    with monkeypatch.context() as kill, pytest.raises(Stop):
        for module in (saving, report):
            kill.setattr(module, "write_atomically", killed)
        cli.main(train(run, few_digits, model="vae"))
    assert not (run / "checkpoint.safetensors").exists()
    assert cli.main(["train", "--resume", str(run)] if again == "--resume"
                    else train(run, few_digits, model="vae")) == 0
    assert files(run) == files(whole)
    for name in ("checkpoint.safetensors", "log.jsonl", "config.json", "samples.npy"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name


def test_without_safetensors_a_whole_run_is_kept_and_a_part_begun_again(
        few_digits, tmp_path, monkeypatch, capsys, no_pictures):  # noqa: F811
    monkeypatch.setattr(saving, "problem", lambda: "they need safetensors")
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
    with pytest.raises(BlockingIOError, match="in use by process \\[31m \ufffd of mine; wait"):
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


# --------------------------------------------------------------------------- signals
SIGNALS = [(name, 128 + getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP")
           if hasattr(signal, name)]


@pytest.mark.parametrize(("name", "status"), SIGNALS)
def test_a_signal_finishes_the_step_and_saves(name, status, tmp_path):
    whole = tiny_trainer()
    whole.fit(2)
    expected, number = state(whole), getattr(signal, name)
    before = signal.getsignal(number)
    stopped = tiny_trainer(tmp_path / "run")
    stop_at(stopped, 15, lambda: signal.raise_signal(number))
    with pytest.raises(stop.Stopped, match=f"stopped by {name}") as caught:
        stopped.fit(2)
    assert caught.value.status == status and isinstance(caught.value, KeyboardInterrupt)
    assert signal.getsignal(number) is before
    resumed = tiny_trainer(tmp_path / "run", resume=True)
    assert (resumed.epoch, resumed.step) == (1, 3)
    assert resumed.fit(2) == whole.history
    assert_same(state(resumed), expected)


@posix
@pytest.mark.parametrize(("name", "status"), SIGNALS)
def test_signals_by_the_command_line(name, status, few_digits, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    process = started(train(run, few_digits), code=WAIT_AT.format(4))
    assert process.stderr.readline() == "step 4\n"
    process.send_signal(getattr(signal, name))
    out, err = process.communicate("\n")
    assert process.returncode == status, err
    assert out.endswith(f"\nstopped; go on with: {cli.PROG} train --resume {run}\n") or re.search(
        rf"\nstopped; go on with: \S.* train --resume {run}\n$", out)
    assert err == ""
    saved = checkpoint.load(run / "checkpoint.safetensors")
    assert (saved["epoch"], saved["step"]) == (1, 1)
    assert not {name for name in files(run) if name == "lock" or name.endswith(".tmp")}


@posix
def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    """As `nohup` does it: the terminal may go, the training stays."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        trainer = tiny_trainer()
        stop_at(trainer, 5, lambda: signal.raise_signal(signal.SIGHUP))
        assert len(trainer.fit(1)) == 1
        with stop.raised():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@posix
def test_the_second_signal_is_at_once(tmp_path):
    trainer, steps = tiny_trainer(tmp_path), []

    def twice():
        with stop.raised():
            signal.raise_signal(signal.SIGTERM)
            steps.append("after the first")
            signal.raise_signal(signal.SIGTERM)
            steps.append("after the second")

    with stop.raised():
        stop_at(trainer, 3, lambda: (signal.raise_signal(signal.SIGTERM), steps.append(1),
                                     signal.raise_signal(signal.SIGTERM), steps.append(2)))
        with pytest.raises(stop.Stopped):
            trainer.fit(1)
    assert steps == [1]
    with pytest.raises(stop.Stopped):
        twice()
    assert len(steps) == 1


def test_signals_outside_of_training_end_a_command(capsys, monkeypatch):
    monkeypatch.setattr(cli, "models", lambda args: signal.raise_signal(signal.SIGTERM))
    parser = cli._parser

    def parsed():
        made = parser()
        made.parse_args = lambda argv: type("Args", (), {"function": staticmethod(cli.models)})
        return made

    monkeypatch.setattr(cli, "_parser", parsed)
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main([]) == 143
    assert signal.getsignal(signal.SIGTERM) is before


# --------------------------------------------------------------------------- pictures
def test_pictures_that_a_kill_left_out_are_drawn_at_resume(few_digits, tmp_path,  # noqa: F811
                                                           monkeypatch, capsys):
    run = tmp_path / "run"
    with monkeypatch.context() as killed:
        killed.setattr(report, "pictures", lambda *arguments: raise_stop())
        with pytest.raises(Stop):
            cli.main(train(run, few_digits, model="vae"))
    for name in ("epoch-001.png", "epoch-000.png"):
        (run / "samples" / name).unlink()
    assert "curves.png" not in files(run)
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert "it has its 2 epochs already" in capsys.readouterr().out
    assert files(run) >= {"curves.png", "samples.png", "samples.gif", "reconstructions.png",
                          "samples/epoch-000.png", "samples/epoch-001.png", "samples/epoch-002.png"}


def test_a_film_that_is_damaged_keeps_nothing_from_going_on(few_digits, tmp_path,  # noqa: F811
                                                            monkeypatch, no_pictures):
    run, samples = tmp_path / "run", report.samples
    monkeypatch.setattr(report, "samples", lambda job, n: samples(job, 4))
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


# --------------------------------------------------------------------------- the log
@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory):
    """A run stopped in its second epoch, and the records that the checkpoint knows."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    trainer = tiny_trainer(folder, save_every=0)
    stop_at(trainer, 20, raise_stop)
    with pytest.raises(Stop):
        trainer.fit(3)
    whole = tiny_trainer()
    whole.fit(3)
    return folder, whole


def damaged_logs(log: bytes) -> dict[str, tuple[bytes, int | None]]:
    """Every kind of damage to a log, and the number of the first line that cannot be read."""
    lines = log.split(b"\n")[:-1]
    found = {}
    for i in (0, 3, 12, len(lines) - 2):
        for name, text in {
            "bad byte": b"\xff" + lines[i][1:], "half": lines[i][:9], "empty": b"", "list": b"[1]",
            "number": b"3", "null": b"null", "nan": lines[i].replace(b"{", b'{"x": NaN, '),
            "word": lines[i].replace(b'"epoch": ', b'"epoch": "a", "e": '),
            "infinite": lines[i].replace(b'"epoch"', b'"x": 1e999, "epoch"'),
            "kind": lines[i].replace(b'"kind"', b'"kond"'), "deep": b"[" * 99999,
            "no epoch": lines[i].replace(b'"epoch": ', b'"epich": '), "zeros": bytes(50),
            "long": b'{"kind": "step", "epoch": 1, "step": 1, "x": ' + b"9" * 5000 + b"}",
        }.items():
            found[f"{name} {i}"] = (b"\n".join([*lines[:i], text, *lines[i + 1:], b""]), i + 1)
        digit = lines[i].replace(b'"loss": 1.', b'"loss": 2.')
        assert digit != lines[i]
        found[f"digit {i}"] = (b"\n".join([*lines[:i], digit, *lines[i + 1:], b""]), None)
        found[f"gone {i}"] = (b"\n".join([*lines[:i], *lines[i + 1:], b""]), None)
        found[f"twice {i}"] = (b"\n".join([*lines[:i + 1], *lines[i:], b""]), None)
    found["cut"] = (b"\n".join(lines[:5]) + b"\n", None)
    found["no file"] = (b"", None)
    return found


def test_a_log_that_was_damaged(stopped_run, tmp_path, capsys):
    """A reader is told the file and the line; the checkpoint is gone on with all the same."""
    folder, whole = stopped_run
    log, saved = (folder / "log.jsonl").read_bytes(), checkpoint.load(
        folder / "checkpoint.safetensors")
    for number, (name, (content, line)) in enumerate(damaged_logs(log).items()):
        run = tmp_path / str(number)
        run.mkdir()
        for file in ("config.json", "checkpoint.safetensors"):
            (run / file).write_bytes((folder / file).read_bytes())
        (run / "log.jsonl").write_bytes(content)
        reader = Run.open(run)
        reader.mark = saved["log"]
        where = f", line {line} is damaged" if line else " was changed after it was written"
        with pytest.raises(ValueError, match=re.escape(f"run: {run / 'log.jsonl'}{where}")):
            reader.records("step")
        assert (run / "log.jsonl").read_bytes() == content
        if number % 5 == 0 or line is None:
            capsys.readouterr()
            resumed = tiny_trainer(run, resume=True)
            note = capsys.readouterr().out
            assert "note: " in note and "is kept as log-damaged-1.jsonl" in note
            assert (run / "log-damaged-1.jsonl").read_bytes() == content
            assert resumed.fit(3) == whole.history, name
            assert resumed.run.records("epoch") == whole.history
            tiny_trainer(run, resume=True)                 # the new log is known, and whole
            assert capsys.readouterr().out == ""
            assert not (run / "log-damaged-2.jsonl").exists()


def test_half_a_line_at_the_end_may_go(stopped_run, tmp_path, capsys):
    folder, whole = stopped_run
    for number, end in enumerate((b'{"kind": "st', b"\xff\xff", b"{", b"[]", b"9\n7")):
        run = tmp_path / str(number)
        run.mkdir()
        for file in ("config.json", "checkpoint.safetensors", "log.jsonl"):
            (run / file).write_bytes((folder / file).read_bytes())
        with open(run / "log.jsonl", "ab") as file:
            file.write(end)
        resumed = tiny_trainer(run, resume=True)
        assert capsys.readouterr().out == ""
        assert (resumed.epoch, resumed.step) == (1, 7)
        assert resumed.fit(3) == whole.history
        if b"\n" not in end:
            (run / "log.jsonl").write_bytes((run / "log.jsonl").read_bytes() + end)
            assert Run.open(run).records("epoch") == whole.history


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_part_of_itself(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    run = Run.create({"model": "tiny"}, tmp_path)
    run.log("step", epoch=1, step=1, loss=1.0)
    whole = run.log_file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 9, limits[1]))
    try:
        with pytest.raises(OSError, match="run: cannot write to the folder .*log.jsonl"):
            run.log("step", epoch=1, step=2, loss=2.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run.log_file.read_bytes() == whole
    run.log("step", epoch=1, step=2, loss=2.0)
    assert [record["step"] for record in run.records("step")] == [1, 2]


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
    with pytest.raises(OSError, match="cannot write /dev/full"):
        minidl.save({"a": minidl.ones(2)}, "/dev/full")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    with pytest.raises(FileNotFoundError, match="cannot write .*no/w"):
        minidl.save({"a": minidl.ones(2)}, tmp_path / "no" / "w")
    minidl.save({"a": minidl.ones(2)}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link", "pipe"]


@posix
@pytest.mark.parametrize("room", [0, 300_000, *(pytest.param(room, marks=pytest.mark.slow)
                                                for room in (100, 2000, 1_126_100))])
def test_a_full_disk_is_one_clear_line_and_the_run_goes_on(room, few_digits, tmp_path):  # noqa: F811
    pytest.importorskip("resource")
    whole, run = tmp_path / "whole", tmp_path / "run"
    code = 'from minidl import plots; plots.problem = lambda: "no pictures here"'
    full = f"{code}; import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))"
    for folder, before in ((whole, code), (run, full)):
        out, err = (process := started(train(folder, few_digits), code=before)).communicate()
    assert process.returncode == 2 and err.startswith("minidl: ") and err.count("\n") == 1
    assert "cannot write" in err and str(run) in err
    assert not [path for path in run.rglob("*") if path.suffix == ".tmp"]
    out, err = (process := started(train(run, few_digits), code=code)).communicate()
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


# --------------------------------------------------------------------------- output nobody reads
def shell(line: str, folder: Path) -> subprocess.CompletedProcess:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True,
                          timeout=120, env={**env, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS":
                                            "error", "MINIDL_KERNELS": "reference"})


@posix
@pytest.mark.parametrize(("ending", "status"), [
    ("| head -n 1", 141), *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ("<&-", 0), (">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), ("| true", 141),
        (">/dev/full", 2)))])
def test_streams_that_are_closed(ending, status, few_digits, tmp_path):  # noqa: F811
    command = (f"{sys.executable} -m minidl train cnn --data {few_digits} --epochs 1 --batch-size "
               "16 --out run")
    done = shell(f"({command}; echo $? >status) {ending}" if "|" in ending else
                 f"{command} {ending}; echo $? >status", tmp_path)
    assert int((tmp_path / "status").read_text()) == status, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert {"config.json", "log.jsonl"} <= files(tmp_path / "run")
    if status:
        assert "go on with:" in done.stderr or "curves.png" in files(tmp_path / "run")
        go_on = ("--resume run" if (tmp_path / "run" / "checkpoint.safetensors").exists() else
                 command.partition("train ")[2])
        assert shell(f"{sys.executable} -m minidl train {go_on}", tmp_path).returncode == 0
    assert "curves.png" in files(tmp_path / "run")
    assert shell(f"{sys.executable} -m minidl models {ending}", tmp_path).stderr in (
        "", "minidl: [Errno 28] No space left on device\n")


def test_lines_that_cannot_be_shown_stop_after_a_checkpoint(tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path)
    trainer.show = show = training.Progress(seconds=0)

    def gone(*arguments, **options):
        raise BrokenPipeError(32, "Broken pipe")

    stop_at(trainer, 5, lambda: monkeypatch.setattr("builtins.print", gone))
    with pytest.raises(BrokenPipeError) as lost:
        trainer.fit(2)
    monkeypatch.undo()
    assert lost.value is show.lost
    resumed = tiny_trainer(tmp_path, resume=True)
    assert (resumed.epoch, resumed.step) == (0, 5)


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
