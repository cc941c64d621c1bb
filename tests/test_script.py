"""minidl.script: what a script is asked for is refused in a sentence, before anything runs."""

import os
import sys
from pathlib import Path

import pytest

from examples import EXAMPLES, load_example
from minidl import plots, script
from minidl.modes import tell

DOC = "A title.\n\nMore."


def parsed(*words, doc=DOC):
    parser = script.parser(doc, picture="digits.png", quick="ten digits")
    parser.add_argument("--epochs", type=script.at_least(1), default=4)
    parser.add_argument("--share", type=script.between(0, 1), default=0.5)
    parser.add_argument("--heat", type=script.between(0), default=1.0)
    return parser.parse_args(words)


def refused(capsys, *words):
    """The last line that a user sees."""
    with pytest.raises(SystemExit) as stop:
        parsed(*words)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_defaults():
    args = parsed()
    assert (args.out, args.quick, args.seed) == (Path("digits.png"), False, 0)
    assert (args.epochs, args.share, args.heat) == (4, 0.5, 1.0)


def test_values(tmp_path):
    args = parsed("--out", str(tmp_path / "x.PDF"), "--quick", "--seed", "3", "--epochs", "1",
                  "--share", "1e-3", "--heat", "1e9")
    assert (args.out, args.quick, args.seed, args.epochs) == (tmp_path / "x.PDF", True, 3, 1)
    assert (args.share, args.heat) == (1e-3, 1e9)
    assert not list(tmp_path.iterdir())                     # looking is not touching


def test_help_has_the_title_and_the_defaults(capsys):
    with pytest.raises(SystemExit):
        parsed("--help", doc="\n" + DOC)
    help_ = capsys.readouterr().out
    for words in ("A title.", "(default digits.png)", "see that it works: ten digits"):
        assert words in help_
    assert "More." not in help_


@pytest.mark.parametrize("words, sentence", [
    (("--epochs", "0"), "argument --epochs: 0 is too small, at least 1 is needed"),
    (("--epochs", "two"), "argument --epochs: two is no whole number"),
    (("--seed", "-1"), "argument --seed: -1 is too small, at least 0 is needed"),
    (("--seed", "9" * 20), f"--seed: {'9' * 20} is too large, less than {2**63} is needed"),
    (("--share", "1"), "argument --share: 1: a number above 0 and below 1 is needed"),
    (("--share", "nan"), "argument --share: nan: a number above 0 and below 1 is needed"),
    (("--share", "half"), "argument --share: half is no number"),
    (("--heat", "0"), "argument --heat: 0: a number above 0 is needed"),
    (("--heat", "inf"), "argument --heat: inf: a number above 0 is needed"),
    (("--out", "x"), "argument --out: x: a picture ends in one of ."),
    (("--out", "x.text"), "argument --out: x.text: a picture ends in one of ."),
])  # fmt: skip
def test_wrong_values_are_a_sentence(capsys, words, sentence):
    line = refused(capsys, *words)
    assert sentence in line
    if "--out" in words:
        assert ".pdf, " in line and ".png, " in line


def test_paths_that_cannot_be_written(capsys, tmp_path):
    assert f"there is no folder {tmp_path / 'no'}, make it first" in refused(
        capsys, "--out", str(tmp_path / "no" / "x.png"))
    assert "is a folder, a file is needed" in refused(capsys, "--out", str(tmp_path))


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0 if hasattr(os, "getuid") else True,
                    reason="an administrator may write anywhere")
def test_a_folder_without_permission(capsys, tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "cannot be written: not allowed" in refused(
            capsys, "--out", str(tmp_path / "x.png"))
    finally:
        tmp_path.chmod(0o700)


def test_no_matplotlib_is_said_at_once(capsys, monkeypatch):
    monkeypatch.setattr(plots, "matplotlib_problem",
                        lambda: "no pictures, they need matplotlib: pip ...")
    assert "no pictures, they need matplotlib" in refused(capsys)


def test_a_share_in_percent_and_no_docstring(capsys):
    parser = script.parser(None, picture="50%.png", quick="50% of the digits")
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    help_ = capsys.readouterr().out
    assert "see that it works: 50% of the digits" in help_ and "(default 50%.png)" in help_


def test_no_number_between():
    with pytest.raises(ValueError, match="between: no number is above 1 and below 0"):
        script.between(1, 0)


def test_run_tells_of_compiling_once_and_of_ctrl_c(capsys):
    def main():
        for name in ("_conv2d", "_adam"):
            tell("compiling", name)
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        script.run(main)
    assert stop.value.code == "stopped"                      # printed, and the exit status is 1
    assert capsys.readouterr().out.count("compiling kernels: once on this machine") == 1
    script.run(lambda: None)
    tell("compiling", "_adam")                               # nobody listens any more
    assert not capsys.readouterr().out


# --------------------------------------------------------------------------- examples/
# Script, its option, what it is with --quick, which argument of train() it becomes.
COUNTED = [("inpainting", "--epochs", 1, 2), ("super_resolution", "--epochs", 1, 2),
           ("segmentation", "--steps", 10, 2), ("text", "--steps", 20, 3),
           ("music", "--steps", 20, 3)]


@pytest.mark.parametrize("name, option, quick, place", COUNTED)
def test_what_is_asked_for_goes_before_quick(name, option, quick, place, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    example = load_example(name)
    monkeypatch.setattr(example, "train", lambda *given, **_: sys.exit(f"{given[place]}"))
    for asked, wanted in (([], quick), ([option, "9"], 9)):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--quick", *asked])
        with pytest.raises(SystemExit, match=f"^{wanted}$"):
            example.main()


@pytest.mark.parametrize("name, option, quick, place", COUNTED)
def test_no_training_at_all_is_refused(name, option, quick, place, monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", option, "0"])
    with pytest.raises(SystemExit):
        load_example(name).main()
    assert f"argument {option}: 0 is too small, at least " in capsys.readouterr().err
