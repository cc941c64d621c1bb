"""D1-TEXT: examples/text.py; its model and training are tested in test_sequences.py."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from examples import EXAMPLES, load_example


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)                      # text.py imports what stands beside it
        yield load_example("text")


def test_every_poem_is_a_sonnet(example):
    training, held_out = example.read(example.SONNETS, 4)
    for text, count in ((training, 40), (held_out, 4)):
        poems = text.strip().split("\n\n")
        assert len(poems) == count and all(len(poem.splitlines()) == 14 for poem in poems)
    assert "Let me not to the marriage of true minds" in held_out
    assert not set(held_out.strip().split("\n\n")) & set(training.split("\n\n"))


@pytest.mark.parametrize("held_out", [0, 44])
def test_some_poems_must_be_left_on_both_sides(example, held_out):
    with pytest.raises(ValueError, match=f"held_out={held_out}, it must be 1 to 43"):
        example.read(example.SONNETS, held_out)


def test_characters_are_numbered(example):
    assert example.coded("cab", "abc").tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match="coded: 'xy' is not in the alphabet 'abc'"):
        example.coded("ayx", "abc")


def test_a_poem_is_begun_and_a_line_is_looked_at(example):
    model = example.SequenceModel(3, 6, dim=8, heads=2, dropout=0.5)
    written = example.write(model, "\nab", 20, temperature=1.0)
    assert len(written) == 20 and set(written) <= set("\nab")
    attended = example.attention(model, "abba", "\nab")
    assert attended.sum(1) == pytest.approx(np.ones(4)) and not np.triu(attended, 1).any()
    assert np.array_equal(attended, example.attention(model, "abba", "\nab"))    # no dropout


@pytest.mark.parametrize("arguments, message", [
    (["--temperature", "0.5", "0"], "0: a number above 0 is needed"),
    (["--temperature", "-1"], "-1: a number above 0 is needed"),
    (["--steps", "3"], "3 is too small, at least 4 is needed"),
    (["--out", "no/such/folder/text.png"], "there is no folder"),
])
def test_what_cannot_work_is_refused_before_the_training(example, monkeypatch, capsys, arguments,
                                                         message):
    monkeypatch.setattr(sys, "argv", ["text.py", *arguments])
    monkeypatch.setattr(example, "train", lambda *_: pytest.fail("it was trained"))
    with pytest.raises(SystemExit):
        example.main()
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    path = tmp_path / "text.png"
    command = [sys.executable, str(EXAMPLES / "text.py"), "--quick", "--out", str(path)]
    out = [subprocess.run(command, capture_output=True, text=True, check=True, timeout=120,
                          encoding="utf-8").stdout for _ in range(2)]
    assert out[0] == out[1]
    words = [line.split() for line in out[0].splitlines()]
    assert ["n-gram,", "n", "=", "4", "3"] in [row[:5] for row in words]
    assert ["attention", "32"] in [row[:2] for row in words]         # as many as it reads, no less
    assert "at temperature 0.7:" in out[0] and "0, 1, 2, 3 places back: " in out[0]
    assert path.read_bytes()[:4] == b"\x89PNG"
