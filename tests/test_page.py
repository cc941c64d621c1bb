"""The page as a file: what is in it, what it may not hold, what is refused."""

import base64
import gzip
import json
import re
from pathlib import Path

import pytest

import minidl
from minidl import OPS, nn, optim
from minidl.explain.page import framed, page
from minidl.explain.page.mathml import SLOPES, formulas, line_formulas
from minidl.explain.steps import parsed
from minidl.explain.trace import Trace
from minidl.explain.updates import RULES
from minidl.ops.terms import Composite

ROOM = Path(minidl.__file__).parent / "explain" / "page"


def small_trace():
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    with minidl.record() as trace:
        net(minidl.ones(2, 3)).sum().backward()
        optimizer.step()
    return trace


def document_of(text):
    packed = re.search(r'id="trace">([^<]*)<', text)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_a_page_is_one_file_with_all_in_it(tmp_path):
    trace = small_trace()
    trace.save(tmp_path / "run.html")
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:|//)", text)
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    found = document_of(text)
    assert len(found["events"]) == len(trace.events) and all(op["map"] for op in found["ops"])
    imports = json.loads(re.search(r'<script type="importmap">(.*?)</script>', text)[1])["imports"]
    names = {f"page/{file.stem}" for file in (ROOM / "js").glob("*.mjs")}
    assert set(imports) == names and len(names) > 10
    for url in imports.values():
        source = base64.b64decode(url.partition("base64,")[2]).decode()
        assert set(re.findall(r'from\s+"([^"]+)"', source)) <= names


def test_a_saved_trace_becomes_a_page_too(tmp_path):
    small_trace().save(tmp_path / "run.json.gz")
    Trace.load(tmp_path / "run.json.gz").save(tmp_path / "run.html")
    assert document_of((tmp_path / "run.html").read_text(encoding="utf-8"))["formulas"]["linear"]


def test_a_files_maps_are_not_believed(tmp_path):
    small_trace().save(tmp_path / "run.json")
    trace = Trace.load(tmp_path / "run.json")
    right = {op["id"]: op["map"] for op in trace.ops}
    for op in trace.ops:
        op["map"] = {**op["map"], "loops": {"n": 1 << 39}} if "loops" in op["map"] else None
    before = len(trace.arrays)
    found = document_of(page(trace))
    for op in found["ops"]:
        assert op["map"]["kind"] == right[op["id"]]["kind"]
        assert op["map"].get("loops") == right[op["id"]].get("loops")
    assert len(trace.arrays) == before


def test_the_programs_size():
    """What is to be read of the page stays small."""
    files = list((ROOM / "js").glob("*.mjs"))
    assert sum(len(f.read_text(encoding="utf-8").splitlines()) for f in files) <= 2500
    assert sum(f.stat().st_size for f in files) <= 200_000


def test_an_empty_trace_has_no_page(tmp_path):
    with minidl.record() as trace:
        pass
    with pytest.raises(ValueError, match="this trace has no events: nothing was recorded"):
        trace.save(tmp_path / "run.html")
    assert not list(tmp_path.iterdir())


def test_text_cannot_leave_its_place():
    with minidl.record() as trace:
        minidl.ones(2).sum()
    trace.sources[0]["text"] = trace.sources[0]["lines"][0] = "</script><script>alert(1)</script>"
    text = page(trace, title="</title><script>alert(2)</script>")
    assert "alert(1)" not in text and "<script>alert(2)" not in text
    assert document_of(text)["sources"][0]["text"].startswith("</script>")


def test_a_frame_holds_the_page_for_a_notebook():
    frame = small_trace().show(height=500)._repr_html_()
    assert frame.startswith("<iframe srcdoc=") and "height:500px" in frame
    assert frame.count("<") == 2 and "</iframe>" in frame
    with pytest.raises(ValueError, match="height"):
        framed(small_trace(), height=3)


def test_every_op_has_its_formulas():
    found = formulas(OPS)
    assert set(found) == {name for name, op in OPS.items() if op.terms is not None}
    for name, op in OPS.items():
        made = found[name]
        assert len(made["gradients"]) >= len(op.places) or op.sequence
        for text in (*made["value"], *made["gradients"]):
            assert text.startswith("<math") and "\\" not in text and "**" not in text
            assert not re.search(r"merror|\bdim\b|axis", text), (name, text)


def test_every_slope_is_written_for_readers():
    wanted = {name for name, op in OPS.items()
              if isinstance(op.terms, Composite) and op.terms.slope}
    assert set(SLOPES) == wanted


def test_every_line_of_a_rule_or_composite_op_is_mathml():
    lines = [*RULES.values(), *([step.text for step in parsed(op.terms.value) if step.text]
                                for op in OPS.values() if isinstance(op.terms, Composite))]
    found = line_formulas(lines)
    for text, made in found.items():
        assert made.startswith("<math") and "\\" not in made, text
    assert found["mh = m / (1 - b1^t)"].count("\u2032") + found["mh = m / (1 - b1^t)"].count(
        "&#x02032;") == 1                                    # of the new m
