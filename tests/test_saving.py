"""``minidl.save`` and ``minidl.load``: weights by name, in a file that PyTorch reads too."""

from __future__ import annotations

import json
import os
import stat
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
import minidl.nn.functional as F
from minidl import cli, nn, optim
from minidl.files import regular
from minidl.training import checkpoint


def test_weights_come_back_whatever_their_memory_order(tmp_path):
    """safetensors writes the memory as it lies: channels-last and transposed views are copied."""
    path = tmp_path / "w.safetensors"
    x = np.arange(24.0).reshape(2, 3, 4)
    state = {"c": minidl.tensor(x), "t": minidl.from_numpy(x.T), "s": minidl.tensor(3.0),
             "last": minidl.from_numpy(np.moveaxis(x.astype(np.float32), 0, -1)), "plain": x[:, 1]}
    minidl.save(state, path)
    loaded = minidl.load(path)
    assert loaded.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(np.asarray(loaded[name]), np.asarray(value))
        assert loaded[name].dtype == value.dtype


def test_a_network_goes_on_where_it_was_saved(tmp_path):
    path = tmp_path / "net.safetensors"
    one, other = (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)) for _ in range(2))
    minidl.save(one.state_dict(), path)
    other.load_state_dict(minidl.load(path))
    x = minidl.randn(2, 1, 5, 5)
    assert minidl.allclose(one(x), other(x))
    assert F.conv2d is minidl.functional.conv2d


def test_what_cannot_be_saved_or_loaded_says_so(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(TypeError, match="save: expected tensors by name, .* got Linear"):
        minidl.save(nn.Linear(1, 1), path)
    with pytest.raises(FileNotFoundError, match="load: there is no file"):
        minidl.load(path)
    path.write_bytes(b"no tensors here")
    with pytest.raises(ValueError, match="truncated, damaged or no safetensors file"):
        minidl.load(path)
    with pytest.raises(TypeError, match=r"Adam: params is a module; .*Adam\(model.parameters\(\)"):
        optim.Adam(nn.Linear(1, 1))


def header_of(array: str = "", minidl: str | None = None) -> bytes:
    """The beginning of a safetensors file with this entry for an array, and this metadata."""
    metadata = {} if minidl is None else {"minidl": minidl}
    text = f'{{"__metadata__": {json.dumps(metadata)}{array and ", "}{array}}}'.encode()
    return len(text).to_bytes(8, "little") + text


ENTRY = '"x": {{"dtype": "F32", "shape": [{}], "data_offsets": [{}, {}]}}'


@pytest.mark.parametrize("start", [
    b"", bytes(8), b"\x02" + bytes(7) + b"{}", (10**9).to_bytes(8, "little"), b"\xff" * 8,
    header_of(), header_of(ENTRY.format(1, 0, 4)), header_of(ENTRY.format(2**28, 4, 2**30)),
    header_of(ENTRY.format(1, 0, 2**40)), header_of(ENTRY.format(2**62, 0, 2**40))])
def test_of_a_file_whose_header_does_not_fit_no_more_is_read(start, tmp_path):
    """Files of 1 TB that take no place on the disk."""
    path = tmp_path / "checkpoint.safetensors"
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(1 << 40)
    tracemalloc.start()
    try:
        for load in (minidl.load, checkpoint.read_state):
            with pytest.raises(ValueError, match="is truncated, damaged or no safetensors file"):
                load(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("metadata", [
    '[[1,2],["a",3]]', "[]", "null", "3", '"x"', '[["a", 1]]', "{", "[" * 99999, "9" * 5000,
    '{"a":' * 900 + "1" + "}" * 900, '{"a":' * 990 + "1" + "}" * 990, "{}"])
def test_metadata_of_minidl_that_is_none_is_refused(metadata, tmp_path, capsys):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(header_of(ENTRY.format(1, 0, 4), metadata) + bytes(4))
    for load in (minidl.load, checkpoint.read_state):
        with pytest.raises(ValueError, match=f"load: {path} is (truncated, )?damaged"):
            load(path)
    (tmp_path / "config.json").write_text('{"model": "cnn"}')
    assert cli.main(["evaluate", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("kind, message", [
    ("folder", "a folder"), ("pipe", "a named pipe"), ("device", "a device")])
def test_what_is_no_file_is_not_waited_for(kind, message, tmp_path):
    path = tmp_path / "net.safetensors"
    if kind == "folder":
        path.mkdir()
    elif not hasattr(os, "mkfifo"):
        pytest.skip("this system has no such files")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(os.devnull)
    with pytest.raises(ValueError, match=f"net.safetensors: {message}, where a regular file"):
        minidl.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_put_there_after_the_look_is_not_waited_for(tmp_path, monkeypatch):
    path, look = tmp_path / "net.safetensors", os.stat

    def put_after(name, **how):
        found = look(name, **how)
        if not stat.S_ISFIFO(found.st_mode):
            path.unlink()
            os.mkfifo(path)
        return found

    path.write_bytes(b"regular when it was looked at")
    monkeypatch.setattr(regular.os, "stat", put_after)
    with pytest.raises(ValueError, match="net.safetensors: a named pipe, where a regular file"):
        regular.open_regular(path)


def test_no_more_is_read_than_is_wanted(tmp_path):
    (tmp_path / "text").write_bytes(b"12345")
    assert regular.read_regular(tmp_path / "text", 5) == b"12345"
    with pytest.raises(ValueError, match="text: more than 4 bytes"):
        regular.read_regular(tmp_path / "text", 4)


@given(text=st.text())
def test_what_is_shown_moves_no_cursor(text):
    shown = regular.shown(text)
    assert shown.isprintable() and regular.shown(shown) == shown
    if text.isprintable():
        assert shown == text


def test_what_is_no_character_is_written_out():
    assert regular.shown("a\tb\x1b[2J\r\n\u202e\udc80") == r"a b\x1b[2J\r\n\u202e\udc80"
