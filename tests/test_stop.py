"""What stops a training: signals, and output that nobody reads. Nothing is lost by them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import few_digits, files  # noqa: F401  (few_digits is a fixture)
from test_runs import ROOT, WAIT_AT, posix, started, train
from test_training import assert_same, state, stop_at, tiny_trainer

from minidl import cli, training
from minidl.training import checkpoint, stop

# --------------------------------------------------------------------------- signals
SIGNALS = [(name, 128 + getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP")
           if hasattr(signal, name)]


@pytest.fixture(autouse=True)
def heard():
    """As in a terminal: whoever started the tests may ignore SIGHUP, as nohup does."""
    before = {number: signal.getsignal(number) for number in stop.SIGNALS[1:]}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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
    saved = checkpoint.read_state(run / "checkpoint.safetensors")
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
def test_streams_that_are_closed(ending, status, few_digits, tmp_path, monkeypatch):  # noqa: F811
    if "/dev/full" in ending and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
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
        monkeypatch.chdir(tmp_path)
        assert cli.main(["train", *shlex.split(go_on)]) == 0
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
