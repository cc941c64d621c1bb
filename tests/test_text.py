"""D1-TEXT: examples/text.py; its model and training are tested in test_sequences.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from examples import EXAMPLES, load_example


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)                      # text.py imports what stands beside it
        yield load_example("text")


def test_every_poem_is_a_sonnet(example):
    learnt, held_out = example.read(example.SONNETS, 4)
    for text, count in ((learnt, 40), (held_out, 4)):
        poems = text.strip().split("\n\n")
        assert len(poems) == count and all(len(poem.splitlines()) == 14 for poem in poems)
    assert "Let me not to the marriage of true minds" in held_out
    assert not set(held_out.strip().split("\n\n")) & set(learnt.split("\n\n"))


@pytest.mark.parametrize("held_out", [0, 44])
def test_some_poems_must_be_left_on_both_sides(example, held_out):
    with pytest.raises(ValueError, match=f"held_out={held_out}, it must be 1 to 43"):
        example.read(example.SONNETS, held_out)


def test_characters_are_numbered(example):
    assert example.coded("cab", "abc").tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match="coded: 'xy' is not in the alphabet 'abc'"):
        example.coded("ayx", "abc")


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    path = tmp_path / "text.png"
    command = [sys.executable, str(EXAMPLES / "text.py"), "--quick", "--out", str(path)]
    out = [subprocess.run(command, capture_output=True, text=True, check=True, timeout=120,
                          encoding="utf-8").stdout for _ in range(2)]
    assert out[0] == out[1]
    assert "counting, 3 before" in out[0] and "the model, 31 at most" in out[0]
    assert "at temperature 0.7:" in out[0]
    assert path.read_bytes()[:4] == b"\x89PNG"
