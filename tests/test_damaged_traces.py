"""Trace files that somebody damaged, or made to do harm: a clear error, or harmless.

Every damage is followed to the end: what loads is walked through, explained and checked too.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import re
import time
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optable import call, every_op, leaf, noise_like, tensor_arguments

import minidl
from minidl import cli, nn, optim
from minidl import functional as F
from minidl.explain import fitting, packing, reading
from minidl.explain.choose import select
from minidl.explain.controls import Controls
from minidl.explain.place import Place
from minidl.explain.screen import Screen
from minidl.explain.trace import Trace
from minidl.explain.walk import Walk
from minidl.testing.domains import DOMAINS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A recorded and checked step of a network with an op of most kinds, as the file's bytes."""
    minidl.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.LeakyReLU(0.1),
                        nn.MaxPool2d(2), nn.ConvTranspose2d(2, 1, 2, stride=2), nn.Dropout(0.5),
                        nn.Flatten(), nn.Linear(16, 3))
    optimizer = optim.Adam(net.parameters(), lr=0.01, weight_decay=0.1)

    def step(images, labels):
        logits = net(images)
        loss = F.cross_entropy(logits, labels) + minidl.cat([logits, logits[:, 1:]], 1).std()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    trace = minidl.record(step, minidl.rand(2, 1, 4, 4), minidl.tensor([2, 0]))
    trace.frame(3, loss=0.5, samples=np.ones((2, 2)))
    assert not [c for c in trace.check() if c["status"] == "fail"]
    path = tmp_path_factory.mktemp("good") / "run.json"
    trace.save(path)
    return path.read_bytes()


@pytest.fixture
def file(tmp_path):
    """Writes bytes, text or a document, and gives the path."""
    def write(content):
        path = tmp_path / "run.json"
        path.unlink(missing_ok=True)
        if not isinstance(content, (bytes, str)):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path
    return write


def followed(path) -> str:
    """What becomes of a file: the error it gives, or "" when it was harmless."""
    try:
        trace = Trace.load(path)
    except ValueError as error:
        text = str(error)
        assert text.startswith(f"{path}: ") and "\n" not in text and text.isprintable(), text
        assert len(text) < 500 + len(str(path)), text
        return text.removeprefix(f"{path}: ")
    walk = Walk(trace, colour=True)
    for number in range(1, len(trace.events) + 1):
        assert "\x1b" not in re.sub(r"\x1b\[[0-9;]*m", "", walk.event(number))
    controls = Controls(Place(trace)) if trace.events else None
    for _ in trace.events:
        for key in ("Enter", "Backspace", "n"):
            assert all(line.isprintable() for line in controls.block(Screen()))
            controls.press(key)
    found = trace.check(entries=4, directions=1)
    assert {c["status"] for c in found} <= {"pass", "fail", "skipped"}
    trace.verdict(), trace.to_dot(), repr(trace)
    Walk(trace).event(1)
    if trace.events:
        select(trace, only="conv2d" if any(trace.calls("conv2d")) else None)
    trace.save(path)
    Trace.load(path)                                       # what was read can be written and read
    return ""


# --------------------------------------------------------------------------- sound files
@every_op
def test_whatever_is_saved_can_be_read(name, tmp_path):
    """The rules of reading refuse no call that an op takes."""
    @settings(max_examples=max(settings.default.max_examples // 4, 4))
    @given(data=st.data())
    def read(data):
        args = data.draw(DOMAINS[name])
        leaves = [leaf(x) for x in tensor_arguments(name, args)]
        with minidl.record() as trace:
            y = call(name, args, leaves)
            if y.requires_grad:
                seed = minidl.from_numpy(noise_like(y.data)).requires_grad_()
                wanted = [x for x in leaves if x.requires_grad]
                for g in minidl.grad(y, wanted, seed, create_graph=True, allow_unused=True):
                    if g is not None and g.requires_grad:      # an op's gradients are ops too
                        g.sum().backward(retain_graph=True)
        trace.save(tmp_path / "run.json")
        again = Trace.load(tmp_path / "run.json")
        assert (again.nodes, again.ops, again.events) == (trace.nodes, trace.ops, trace.events)
        for a, b in zip(trace.arrays, again.arrays, strict=True):
            np.testing.assert_array_equal(a, b)
    read()


def test_a_sound_file_is_harmless(good, file):
    assert followed(file(good)) == ""


# --------------------------------------------------------------------------- what is no JSON
@pytest.mark.parametrize("content, message", [
    (b"", "no trace, or a damaged one: line 1, column 1"),
    (b"\xff\xfe{", "byte 0 is no UTF-8"),
    ("[" * 100_000, "nested too deep"),
    ('{"a":' * 100_000, "nested too deep"),
    ('{"a": NaN}', "NaN is no number of JSON"),
    ('{"a": [-Infinity]}', "-Infinity is no number of JSON"),
    ('{"a": 1e999}', "the number 1e999 is too large"),
    ('{"a": ' + "7" * 10_000 + "}", "a whole number of 10000 digits; at most 20 are read"),
    ('{"a": 1, "b": 2, "a": 3}', "an object has the name 'a' twice"),
    ('{"a": 1} {}', "Extra data"),
    ("7", "JSON, but no trace"), ("null", "JSON, but no trace"), ('""', "JSON, but no trace"),
    ('{"format": ["minidl-trace"]}', "JSON, but no trace"),
    ('{"format": "minidl-trace", "version": true}', "a trace of version True"),
    ('{"format": "minidl-trace", "version": [1]}', "a trace of version a list of 1")])
def test_what_is_no_json_or_no_trace(content, message, file):
    assert message in followed(file(content))


@pytest.mark.parametrize("kind, message", [
    ("folder", "a folder"), ("pipe", "a named pipe"), ("device", "a device")])
def test_what_is_no_file(kind, message, tmp_path, capsys):
    path = tmp_path / "run.json"
    if kind == "folder":
        path.mkdir()
    elif not hasattr(os, "mkfifo"):
        pytest.skip("this system has no such files")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(os.devnull)
    assert followed(path) == f"{message}, where a regular file should be"
    assert cli.main(["step", str(path)]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and message in error


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch, good):
    path = tmp_path / "run.json"
    with open(path, "wb") as large:
        large.truncate(1 << 33)                            # sparse: 8 GB, nothing on the disk
    tracemalloc.start()
    assert "more than 67,108,864 bytes are not read" in followed(path)
    assert tracemalloc.get_traced_memory()[1] < 2.2 * reading.LARGEST_TRACE
    tracemalloc.stop()
    path.write_bytes(good)
    trace = Trace.load(path)
    monkeypatch.setattr("minidl.explain.trace.LARGEST_TRACE", 1000)
    with pytest.raises(ValueError, match="is not read: give a smaller budget"):
        trace.save(path)
    assert path.read_bytes() == good


# --------------------------------------------------------------------------- gzipped
def test_a_sound_gzipped_file_is_harmless(good, file):
    assert followed(file(gzip.compress(good))) == ""


@pytest.mark.parametrize("damage, message", [
    (lambda zipped: zipped[:-1], "gzip: it ends too soon"),
    (lambda zipped: zipped[:20], "gzip: it ends too soon"),
    (lambda zipped: zipped[:2], "gzip: it ends too soon"),
    (lambda zipped: zipped + b"x", "gzip: something follows after its end"),
    (lambda zipped: zipped + zipped, "gzip: something follows after its end"),
    (lambda zipped: zipped[:-8] + b"\0" * 8, "gzip: Error -3"),
    (lambda zipped: zipped[:100] + b"\xff" * 9 + zipped[109:], "gzip: Error -3"),
    (lambda zipped: gzip.compress(zipped), "byte 1 is no UTF-8")])
def test_a_damaged_gzipped_file(damage, message, good, file):
    said = followed(file(damage(gzip.compress(good))))
    assert said.startswith("no trace, or a damaged one: ") and message in said


def test_no_more_is_unpacked_than_a_trace_may_have(file):
    """A file of 256 kB that would be 256 MB."""
    packer, block = zlib.compressobj(wbits=31), b" " * (1 << 24)
    bomb = b"".join(packer.compress(block) for _ in range(16)) + packer.flush()
    path = file(bomb)
    tracemalloc.start()
    assert "unpacked, it has more than 67,108,864 bytes" in followed(path)
    assert tracemalloc.get_traced_memory()[1] < 3 * reading.LARGEST_TRACE
    tracemalloc.stop()


# --------------------------------------------------------------------------- single fields
def changed(good: bytes, *path, to=None, **fields):
    """The document with one entry replaced, or with fields of an object set."""
    document = json.loads(good)
    *above, last = path
    place = document
    for key in above:
        place = place[key]
    if fields:
        place[last] |= fields
    else:
        place[last] = to
    return document


@pytest.mark.parametrize("fields, message", [
    ({"shape": [2147483648], "dtype": "f8", "fill": 1}, "arrays[0].shape: makes 17,179,869,184 "
     "bytes of arrays of one number, and at most 268,435,456 are made"),
    ({"shape": [1 << 39, 0], "dtype": "f8", "fill": 1}, ""),
    ({"shape": [1 << 40], "dtype": "u1", "fill": 1}, "arrays[0].shape[0]: must be a whole number"),
    ({"shape": [1 << 39, 1 << 39, 0], "fill": 1}, "arrays[0].shape: must have 32 or fewer axes"),
    ({"shape": [1] * 33, "fill": 1}, "arrays[0].shape: must have 32 or fewer axes"),
    ({"shape": [-1], "fill": 1}, "arrays[0].shape[0]: must be a whole number in 0.."),
    ({"shape": [True], "fill": 1}, "arrays[0].shape[0]: must be a whole number"),
    ({"shape": [1.0], "fill": 1}, "arrays[0].shape[0]: must be a whole number"),
    ({"shape": "12", "fill": 1}, "arrays[0].shape: must be a list"),
    ({"dtype": "O8", "fill": 1}, "arrays[0].dtype: must be one of f4, f8"),
    ({"dtype": ["f4"], "fill": 1}, "arrays[0].dtype: must be one of f4, f8"),
    ({"dtype": None, "fill": 1}, "arrays[0].dtype: must be one of f4, f8"),
    ({"shape": None}, "arrays[0].shape: must be a list"),
    ({"coding": "delta"}, "arrays[0]: must have no coding, not being whole numbers"),
    ({"coding": "other"}, "arrays[0].coding: must be one of delta"),
    ({"full": False, "fill": 1}, "arrays[0]: must have data, being cut"),
    ({"full": False, "shape": [9, 9]}, "arrays[0].data: must be 64 bytes for shape [9, 9]"),
    ({"dtype": "u1", "fill": 300}, "arrays[0].fill: must be a number that u1 holds, got 300"),
    ({"dtype": "i4", "fill": 1.5}, "arrays[0].fill: must be a number that i4 holds"),
    ({"dtype": "f4", "fill": 1e39}, "arrays[0].fill: must be a number that f4 holds"),
    ({"dtype": "f4", "fill": None}, "arrays[0].fill: must be a number that f4 holds"),
    ({"dtype": "b1", "fill": 1}, "arrays[0].fill: must be a number that b1 holds"),
    ({"fill": 1, "data": ""}, "arrays[0]: must have either data or fill"),
    ({"full": 1, "fill": 1}, "arrays[0].full: must be true or false"),
    ({"data": "AAAA"}, "arrays[0].data: must be 128 bytes for shape [2, 1, 4, 4], got 3"),
    ({"data": "A"}, "arrays[0].data: no base64"), ({"data": "\u00e9"}, "arrays[0].data: no base64"),
    ({"data": 7}, "arrays[0].data: must be text"),
    ({"dtype": "f8"}, "arrays[0].data: must be 256 bytes"),
    ({"dtype": "b1", "shape": [128]}, "arrays[0].data: must be bytes 0 and 1"),
    ({"surprise": 1}, "arrays[0]: may not have 'surprise'")])
def test_an_arrays_entry(fields, message, good, file):
    document = json.loads(good)
    entry = document["arrays"][0]
    if "fill" in fields and "data" not in fields:
        del entry["data"]
    document["arrays"][0] = entry | fields
    said = followed(file(document))
    if fields.get("shape") == [1 << 39, 0]:                # no numbers: the node's shape is another
        message = "nodes[0].value: must be an array of shape [2, 1, 4, 4]"
    assert f"a damaged trace: {message}" in said


def test_fills_are_counted_together(good, file):
    document = json.loads(good)
    one = {"shape": [1 << 20], "dtype": "f8", "fill": 0, "full": True, "stats": {}}
    document["arrays"] += [one] * 31
    tracemalloc.start()
    assert followed(file(document)) == ""
    document["arrays"] += [one] * 5
    assert "at most 268,435,456 are made" in followed(file(document))
    assert tracemalloc.get_traced_memory()[1] < 2.5 * packing.FILLS
    tracemalloc.stop()


def test_save_writes_no_fills_that_load_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr("minidl.explain.packing.FILLS", 8000)
    with minidl.record() as trace:
        minidl.zeros(900) + minidl.ones(800)[:1]
    trace.save(tmp_path / "run.json")
    items = json.loads((tmp_path / "run.json").read_text())["arrays"]
    equal = [a for a in items if a["stats"].get("min") == a["stats"].get("max")]
    assert any("fill" in a for a in equal) and any("data" in a for a in equal)
    assert sum(a["shape"][0] for a in items if "fill" in a) <= 1000
    assert Trace.load(tmp_path / "run.json").ops


def find(document: dict, name: str) -> int:
    return next(op["id"] for op in document["ops"] if op["op"] == name)


@pytest.mark.parametrize("name, argument, value, message", [
    ("conv2d", 3, {"tuple": [0, 1]}, "a stride, dilation or window below 1"),
    ("conv2d", 3, {"tuple": ["1", 1]}, "its sizes must be whole numbers"),
    ("conv2d", 3, 1.5, "its sizes must be whole numbers"),
    ("conv2d", 4, {"tuple": [-1, 1]}, "a border below 0"),
    ("conv2d", 4, {"tuple": [1 << 31, 1]}, "border (2147483648, 1) makes far more of shape"),
    ("conv2d", 4, {"tuple": [1, 1, 1, 1, 1]}, "border (1, 1, 1, 1, 1) for shape"),
    ("conv2d", 5, {"tuple": [-3, 1]}, "a stride, dilation or window below 1"),
    ("conv2d", 1, {"node": 0}, "inputs: must be the nodes among the arguments of conv2d"),
    ("conv2d", 1, 7, "inputs: must be the nodes among the arguments of conv2d"),
    ("conv2d", 1, {"node": 9999}, "arguments[1].node: must be a whole number in 0.."),
    ("conv2d", 1, {"knot": 1}, "arguments[1]: may not have 'knot'"),
    ("conv2d", 1, {"node": 1, "array": 1}, "arguments[1]: must have one name"),
    ("conv2d", 1, [1], "arguments[1]: must be no list"),
    ("conv2d", 1, None, "inputs: must be the nodes among the arguments of conv2d"),
    ("conv2d", 2, None, "inputs: must be the nodes among the arguments of conv2d"),
    ("conv2d", 2, 7, "inputs: must be the nodes among the arguments of conv2d"),
    ("conv2d", 2, {"node": 0}, "inputs: must be the nodes among the arguments of conv2d"),
    ("conv2d_input_grad", 3, {"tuple": [1 << 30, 1 << 30]}, "size (1073741824, 1073741824) is"),
    ("max_pool2d", 1, {"tuple": [0, 2]}, "a stride, dilation or window below 1"),
    ("getitem", 1, {"slice": [0, 1]}, "slice: must be a list of 3"),
    ("getitem", 1, {"slice": [0, "1", None]}, "slice[1]: must be a whole number"),
    ("getitem", 1, {"ellipsis": 3}, "ellipsis: must be true or false"),
    ("getitem", 1, {"dtype": "object"}, "dtype: must be one of float16"),
    ("reshape", 1, {"tuple": [1 << 50]}, "its sizes must be whole numbers"),
    ("cat", 0, {"tuple": [{"node": 0}]}, "inputs: must be the nodes among the arguments of cat"),
    ("cat", 0, None, "inputs: must be the nodes among the arguments of cat")])
def test_an_ops_argument(name, argument, value, message, good, file):
    number = find(json.loads(good), name)
    said = followed(file(changed(good, "ops", number, "arguments", argument, to=value)))
    assert f"a damaged trace: ops[{number}]" in said and message in said


@pytest.mark.parametrize("path, value, message", [
    (("sources",), {}, "trace.sources: must be a list"),
    (("maps",), [], "maps: must be an object"),
    (("meta", "probe"), 0, "trace.meta.probe: must be a whole number"),
    (("nodes", 1, "id"), 2, "nodes[1].id: must be 1, got 2"),
    (("nodes", 1, "role"), "king", "nodes[1].role: must be one of parameter"),
    (("nodes", 1, "shape"), [9], "nodes[1].value: must be an array of shape [9]"),
    (("nodes", 0, "op"), 0, "nodes[0].op: must be an op that gave this node"),
    (("ops", 0, "op"), "other", "ops[0].op: must be among the maps, got 'other'"),
    (("ops", 0, "needs"), [], "ops[0].needs: must be as long as inputs"),
    (("ops", 0, "outputs"), [], "ops[0].outputs: must be a list of 1 or more"),
    (("ops", 0, "line"), -1, "ops[0].line: must be a whole number in 0.."),
    (("events",), [], "events: must have one forward event for each op"),
    (("events", 0, "phase"), "sideways", "events[0]: must be an object with phase forward"),
    (("events", 0), None, "events[0]: must be an object with phase forward"),
    (("events", -1, "step"), -1, "step: must be a whole number"),
    (("events", -1, "state", "exp_avg"), 9999, "state.exp_avg: must be a whole number in 0.."),
    (("events", -1, "before"), 0, "before: must be an array of shape"),
    (("checks", 0, "cells"), [[9, 9, 9, 9]], "checks[0].cells: must be cells of shape"),
    (("checks", 0, "cells"), [[-1, 0, 0, 0]], "checks[0].cells[0][0]: must be a whole number"),
    (("checks", 0, "status"), "maybe", "checks[0].status: must be one of pass, fail, skipped"),
    (("checks", 0, "op"), None, "checks[0]: must name an op or an event"),
    (("checks", 0, "got"), [1.0], "checks[0].got: must be as long as cells"),
    (("checks", 0, "expected"), ["odd"], "checks[0].expected[0]: must be a number, or nan"),
    (("checks", 0, "tried"), [[0]], "checks[0].tried: must be cells of shape"),
    (("checks", 0, "proved"), "some", "checks[0].proved: must be a list"),
    (("checks", 0, "proved"), [[9, 9, 9, 9]], "checks[0].proved: must be cells of shape"),
    (("sources", 0, "lines"), "x", "sources[0].lines: must be a list"),
    (("modules", 1, "parent"), 1, "modules[1].parent: must be a whole number in 0..0"),
    (("modules", 1, "parameters"), [99], "modules[1].parameters[0]: must be a whole number"),
    (("parameters", 0, "module"), 99, "parameters[0].module: must be a whole number"),
    (("nodes", 0, "parameter"), 99, "nodes[0].parameter: must be a whole number"),
    (("nodes", 0, "detached_from"), 0, "nodes[0].detached_from: must be an earlier node"),
    (("ops", 0, "within"), 99, "ops[0].within: must be a whole number"),
    (("ops", 0, "callers"), [999], "ops[0].callers[0]: must be a whole number"),
    (("ops", 0, "map"), {"kind": "other"}, "ops[0].map: must be an index map"),
    (("passes", 0, "end"), 0, "passes[0].end: must not be before its begin"),
    (("passes", 0, "seeds"), [], "passes[0].seeds: must be as long as outputs"),
    (("turns", 0, "moved"), [99], "turns[0].moved[0]: must be a whole number"),
    (("cleared",), [{"event": 999, "parameters": [], "to": "none"}], "cleared[0].event: must be"),
    (("meta", "kernels"), "slow", "trace.meta.kernels: must be one of fast, reference"),
    (("events", -1, "names", "w"), {"array": 999}, "names.w.array: must be a whole number"),
    (("events", -1, "steps", 0, "do"), "eval", "steps.value: a step does one of the functions"),
    (("events", -1, "state_after", "exp_avg"), 9999, "state_after.exp_avg: must be a whole"),
    (("frames", 0, "arrays", "samples"), 9999, "frames[0].arrays.samples: must be a whole")])
def test_a_field(path, value, message, good, file):
    assert f"a damaged trace: {message}" in followed(file(changed(good, *path, to=value))).replace(
        f"events[{len(json.loads(good)['events']) - 1}].", "")


@pytest.mark.parametrize("options", [
    {"betas": None}, {"betas": [1]}, {"lr": "x"}, {"betas": [2, 10**9]}, {"eps": {}}, {},
    {"(a+)+$": 1.0, "(": 2.0}, {"sqrt": 0, "w": 7, "t": "x", "__builtins__": {}}])
def test_an_optimisers_options(options, good, file):
    """They are put into the rule's own formula, and into nothing else."""
    document = json.loads(good)
    kept = document["events"][-1]["options"] if options else {}
    document["events"][-1] |= {"options": kept | options, "step": 10**12}
    assert followed(file(document)) == ""


# --------------------------------------------------------------------------- the terminal
HARMFUL = "a\x1b[31mb\x9bc\rd\x00e\u202ef\ng\ud800h"
HARMLESS = r"a\x1b[31mb\x9bc\rd\x00e\u202ef\ng\ud800h"


def test_no_escape_sequence_of_a_file_reaches_the_terminal(good, file, capsys):
    document = json.loads(good)
    for part, names in (("sources", ("path", "text")), ("nodes", ("name",)),
                        ("ops", ("module", "formula")), ("checks", ("reason",))):
        for item in document[part]:
            item |= dict.fromkeys(names, HARMFUL)
    document["events"][-1] |= {"rule": HARMFUL, "options": {HARMFUL: HARMFUL, "list": [HARMFUL]}}
    document["maps"] = {name: kind | {"text": HARMFUL, "bias": HARMFUL}
                        for name, kind in document["maps"].items()}
    document["ops"][0]["arguments"].append(HARMFUL)        # more than conv2d takes
    assert "ops[0].arguments: must be 6 for conv2d, got 7" in followed(file(document))
    document["ops"][0] |= {"library": False}
    path = file(document)
    assert followed(path) == ""
    trace = Trace.load(path)
    assert HARMLESS in trace.site(trace.ops[0]) and HARMLESS in trace.explain(1, 0, 0, 0, 0).site
    for arguments in ([], ["--only", "nothing"]):
        cli.main(["step", str(path), "--plain", *arguments])
        out, error = capsys.readouterr()
        assert HARMLESS in out + error
        assert all(line.isprintable() for line in (out + error).split("\n"))


def test_no_escape_sequence_of_a_program_reaches_the_terminal(tmp_path, monkeypatch, capsys):
    """The source line, and what modules are called, in explanations and recordings of today."""
    name = "odd\x1b[2J\nname"
    script = tmp_path / "script.py"
    script.write_text(f"import minidl\nnet = minidl.nn.Sequential()\n"
                      f"net.add_module({name!r}, minidl.nn.Linear(2, 1))\n"
                      f"y = net(minidl.ones(1, 2))  # \x1b[31m\x07 red\ny.sum().backward()\n")
    names = {}
    with minidl.keep():
        exec(compile(script.read_text(), str(script), "exec"), names)
    said = [repr(names["y"].why()), repr(names["y"].explain(0, 0)), repr(names["y"].where_used()),
            repr(next(names["net"].parameters()).explain_grad(0, 0))]
    assert any("\\x1b[31m\\x07 red" in text for text in said)
    assert "odd\\x1b[2J\\nname" in said[0]
    assert cli.main(["step", str(script), "--plain"]) == 0
    said += [(out := capsys.readouterr().out)]
    assert "\\x1b[31m\\x07 red" in out and "odd\\x1b[2J\\nname.weight" in out
    assert all(line.isprintable() for text in said for line in text.split("\n"))


def test_an_op_that_would_make_huge_arrays_is_refused(good, file):
    """Shapes that fit each other, of arrays that a file may have, and windows of 34 GB."""
    document = json.loads(good)
    op = document["ops"][find(document, "conv2d")]
    op["arguments"][4] = {"tuple": [0, 0]}
    for node, sides in zip((*op["inputs"][:2], op["outputs"][0]), (512, 256, 257)):
        one, two = document["nodes"][node]["shape"][:2]
        shape = document["nodes"][node]["shape"] = [one, two, sides, sides]
        document["nodes"][node] |= {"value": len(document["arrays"]), "grad": None}
        document["arrays"].append({"shape": shape, "dtype": "f4", "fill": 1.0, "full": True,
                                   "stats": {}})
    assert "conv2d: its windows hold more than 134,217,728 numbers" in followed(file(document))


def test_a_docstring_keeps_its_lines(good, file):
    trace = Trace.load(file(changed(good, "maps", "conv2d", "says", to="one\ntwo\x1b[1m")))
    assert trace.maps["conv2d"]["says"] == "one\ntwo\\x1b[1m"


# --------------------------------------------------------------------------- a hunt
ODD = [None, True, -1, 0, 1, 2, 7, 10**6, 2**31, 2**53, 2**63, -2**63, 10**19, 0.5, -1.5, 1e300, "",
       "x", "f4", "b1", "conv2d", "forward", "update", "\x1b[31m", "nan", [], [0], [[]], [1, 2, 3],
       {}, {"node": 0}, {"array": 1}, {"tuple": []}, {"tuple": [0, 0]}, {"slice": [None] * 3},
       {"float": "nan"}, {"repr": "x"}, {"ellipsis": True}, [[[[[[[[1]]]]]]]]]


def places(value, above=()):
    """Every container and key of a document."""
    for key in (value if isinstance(value, dict) else range(len(value))):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


def edited(good: bytes, chance: random.Random):
    """The document with one to three entries deleted, replaced, exchanged or moved a little."""
    document = json.loads(good)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        parts = [document[part] for part in document if isinstance(document[part], (dict, list))
                 and document[part]]
        found = list(places(chance.choice(parts)))
        if not found:
            continue
        holder, key = chance.choice(found)
        how = chance.choice(["delete", "odd", "odd", "other", "near", "twice", "nest"])
        if how == "delete":
            del holder[key]
        elif how == "odd":
            holder[key] = chance.choice(ODD)
        elif how == "other":
            other, name = chance.choice(found)
            holder[key] = json.loads(json.dumps(other[name])) if name in other or isinstance(
                other, list) and name < len(other) else None
        elif how == "near" and type(holder[key]) in (int, float):
            holder[key] += chance.choice([-2, -1, 1, 2, 1000])
        elif how == "twice" and isinstance(holder, list):
            holder.insert(key, holder[key])
        else:
            holder[key] = [holder[key]]
    return document


def damaged(good: bytes, chance: random.Random) -> bytes:
    """Bytes flipped, cut off, cut out, or put in twice."""
    raw, i, j = bytearray(good), *sorted(chance.randrange(len(good)) for _ in range(2))
    how = chance.choice(["flip", "flip", "flip", "cut", "hole", "twice"])
    if how == "flip":
        for _ in range(chance.choice([1, 1, 2, 20])):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del raw[i:]
    elif how == "hole":
        del raw[i:min(j, i + chance.choice([1, 10, 1000]))]
    else:
        raw[j:j] = raw[i:min(j, i + 50)]
    return bytes(raw)


def hunt(good, file, count: int, seed: int) -> Counter:
    chance, ends = random.Random(seed), Counter()
    tracemalloc.start()
    for number in range(count):
        make = edited if number % 3 else damaged
        content = make(good, chance)
        if number % 5 == 0 and isinstance(content, bytes):
            content = damaged(gzip.compress(good), chance)
        tracemalloc.reset_peak()
        began = time.perf_counter()
        said = followed(file(content))
        assert time.perf_counter() - began < 60, content
        assert tracemalloc.get_traced_memory()[1] < 300e6, content
        ends[make.__name__, "refused" if said else "harmless"] += 1
    tracemalloc.stop()
    return ends


def test_damaged_files_are_refused_or_harmless(good, file):
    assert hunt(good, file, 24, seed=1).total() == 24


def test_the_schema_refuses_nothing_that_is_read(good, file):
    """What is read keeps to the schema; the rules by hand are the stricter ones."""
    agreed = compared_with_the_schema(good, file, 30, seed=3)
    assert agreed["read"] and agreed["refused by both"] > 10


@pytest.mark.hunt
def test_the_schema_at_length(good, file, rounds):
    compared_with_the_schema(good, file, rounds(600, 2000), seed=4)


def compared_with_the_schema(good, file, count: int, seed: int) -> Counter:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs" / "trace.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    chance, found = random.Random(seed), Counter()
    assert not list(validator.iter_errors(json.loads(good)))
    for _ in range(count):
        document = edited(good, chance)
        errors = [error.message for error in validator.iter_errors(document)]
        try:
            Trace.load(file(document))
        except ValueError:
            found["refused by both" if errors else "refused by hand alone"] += 1
        else:
            assert not errors, errors
            found["read"] += 1
    return found


@pytest.mark.hunt
def test_a_long_hunt_for_damages(good, file, rounds):
    ends = hunt(good, file, damages := rounds(200, 600), seed=2)
    assert ends.total() == damages and min(ends.values()) > 5 and len(ends) == 4


# --------------------------------------------------------------------------- arguments and shapes
@pytest.mark.parametrize("argument", [5, None, "node", [0], {"tuple": [0]}, {"array": 0}])
def test_what_is_no_tensor_stands_where_no_tensor_may(argument):
    op = {"op": "exp", "library": True, "arguments": [{"node": 0}], "inputs": [0], "outputs": [1]}
    fitting.check_arguments(op, [[3], [3]], "ops[0]")
    with pytest.raises(ValueError, match=r"^ops\[0\].inputs: must be the nodes among"):
        fitting.check_arguments(op | {"arguments": [argument]}, [[3], [3]], "ops[0]")


@pytest.mark.parametrize("border, refused", [(1000, True), (500, False)])
def test_a_border_belongs_to_the_image_not_to_the_kernel(border, refused):
    """2,000 rows of one pixel, under kernels of one row of two: with a border of 1,000 there are
    8 million numbers, with one of 500 there are 3 million."""
    op = {"op": "conv2d", "library": True, "inputs": [0, 1], "outputs": [2], "arguments": [
        {"node": 0}, {"node": 1}, None, {"tuple": [1000, 1000]}, {"tuple": [border] * 2},
        {"tuple": [1, 1]}]}
    shapes = [[1, 1, 2000, 1], [1, 1, 1, 2], [1, 1, 4, 2] if refused else [1, 1, 3, 1]]
    with pytest.raises(ValueError, match=r"border \(1000, 1000\) makes far more of shape \[1, 1, "
                       "2000, 1\\]") if refused else contextlib.nullcontext():
        fitting.check_arguments(op, shapes, "ops[0]")
