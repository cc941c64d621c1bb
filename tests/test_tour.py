"""The tour of docs/tour: its tape is the engine's equal, and its chapters run, in order."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import cli
from minidl.explain.trace import Trace

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "docs" / "tour").glob("*.md"))
TAPE = ROOT / "examples" / "tape_in_100_lines.py"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tape, examples = _module(TAPE), _module(ROOT / ".ci" / "examples.py")


# --------------------------------------------------------------------------- chapter 2's tape
# Steps of a random expression: each takes tensors of the pool and puts its result there. No step
# more than doubles the largest number, so that nothing overflows.
UNARY = {
    "relu": lambda a: (a - 1.0).relu(),
    "exp": lambda a: (a * a * -1.0).exp(),
    "log": lambda a: (a * a + 1.0).log(),
    "rows": lambda a: a.sum(0) * 0.3,
    "columns": lambda a: a.sum(1, True) * 0.3,
    "all": lambda a: a.sum() * 0.1,
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * (b * b * -1.0).exp(),
    "matmul": lambda a, b: a @ (b * b * -1.0).exp() * 0.3,
}
SHAPES = [(3, 3), (1, 3), (3, 1), (3,), ()]
steps = st.lists(st.tuples(st.sampled_from([*UNARY, *BINARY]), st.integers(0, 99),
                           st.integers(0, 99)), min_size=1, max_size=12)


def _built(program, leaves, tensor_shape):
    """Every operation once, then the program's: the same code for both engines."""
    pool = list(leaves)
    for name, i, j in [(name, 0, 0) for name in (*UNARY, *BINARY)] + program:
        a, b = pool[i % len(pool)], pool[j % len(pool)]
        if name in ("rows", "columns") and len(tensor_shape(a)) != 2:
            continue
        if name == "matmul" and not (len(tensor_shape(a)) == len(tensor_shape(b)) == 2
                                     and tensor_shape(a)[1] == tensor_shape(b)[0]):
            continue
        pool.append(UNARY[name](a) if name in UNARY else BINARY[name](a, b))
    used = pool[-1]
    for t in pool[:-1]:
        used = used + t * 0.1                  # every tensor counts, with uses of its own
    return (used * used).sum(), pool


@given(steps, st.integers(0, 2**32 - 1))
def test_the_tape_in_100_lines_is_the_engines_equal(program, seed):
    random = np.random.default_rng(seed)
    start = [random.uniform(0.2, 1.5, shape) for shape in SHAPES]
    ours = [tape.Tensor(a) for a in start]
    its = [minidl.tensor(a, requires_grad=True) for a in start]
    loss, pool = _built(program, ours, lambda t: t.data.shape)
    with minidl.keep():
        its_loss, its_pool = _built(program, its, lambda t: t.shape)
        its_loss.backward()
    loss.backward()
    assert len(pool) == len(its_pool)
    assert np.allclose(loss.data, its_loss.item(), rtol=1e-12)
    for mine, other in zip(pool, its_pool):    # every tensor on the way, not only the leaves
        assert np.allclose(mine.data, other.detach().numpy(), rtol=1e-10, atol=1e-12)
        assert mine.grad.shape == other.grad.shape
        assert np.allclose(mine.grad, other.grad.numpy(), rtol=1e-9, atol=1e-9)


def test_the_tape_adds_what_a_tensors_uses_send():
    a = tape.Tensor([1.0, 2.0])
    b = a + a
    c = b + b
    c.sum().backward()
    assert a.grad.tolist() == [4.0, 4.0] and b.grad.tolist() == [2.0, 2.0]


def test_the_tape_of_the_tour_is_short_and_not_recursive():
    assert len(TAPE.read_text(encoding="utf-8").splitlines()) <= 100
    x = start = tape.Tensor(1.0)
    for _ in range(20_000):
        x = x + 0.0
    x.backward()
    assert start.grad == 1.0


def test_the_tapes_pieces_in_chapter_2_are_its_file():
    page = CHAPTERS[1].read_text(encoding="utf-8")
    source = TAPE.read_text(encoding="utf-8")
    shown = [block[2].strip("\n") for block in FENCE.finditer(page) if block[1] == "python"]
    pieces = [piece for piece in shown if piece in source]
    assert "\n\n\n".join(pieces) == source[source.index("import numpy"):].strip("\n")


# --------------------------------------------------------------------------- the chapters
def _headings(path: Path, level: int) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(rf"^{'#' * level} (.*)$", text, re.MULTILINE)


def test_the_ten_chapters_are_in_order():
    assert [int(path.name[:2]) for path in CHAPTERS] == list(range(1, 11))
    for number, path in enumerate(CHAPTERS, 1):
        (title,) = _headings(path, 1)
        assert title.startswith(f"{number}. ")
        assert _headings(path, 2)[-2:] == ["Step through it", "The step as a page"]
    listed = re.findall(r"^tour/(\S+)$", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"),
                        re.MULTILINE)
    assert listed == [path.stem for path in CHAPTERS]


def test_every_chapter_names_exercises_that_there_are():
    from minidl.exercises import EXERCISES

    known = set(EXERCISES)
    for path in CHAPTERS:
        ending = path.read_text(encoding="utf-8").partition("\n## Step through it\n")[2]
        named = re.findall(r"minidl exercise (\w+)", ending)
        assert named and set(named) <= known, path.name
    course = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")
    table = [line for line in course.splitlines() if re.match(r"\| \d", line)]
    assert [int(line.split("|")[1]) for line in table] == list(range(1, len(CHAPTERS) + 1))
    for line, path in zip(table, CHAPTERS):
        _, _, files, chapter, exercises, *_ = line.split("|")
        assert f"(tour/{path.name})" in chapter
        for file in re.findall(r"`([\w/.]+\.py)`", files):
            assert (ROOT / "minidl" / file).is_file() or (ROOT / file).is_file(), file
        assert set(re.findall(r"`(\w+)`", exercises)) <= known


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_chapter_runs_and_prints_what_it_shows(path, tmp_path, monkeypatch, capsys):
    """The lines of a block without a language are among those printed by the code before it."""
    monkeypatch.chdir(tmp_path)
    kernels, ran, printed = minidl.kernels_in_use(), 0, ""
    namespace = {"__name__": "__main__"}
    text = path.read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        if block[1] == "python":
            before = "\n" * (text.count("\n", 0, block.start(2)))   # lines are those of the page
            exec(compile(before + block[2], str(path), "exec"), namespace)
            printed, ran = capsys.readouterr().out, ran + 1
            examples.kept_promises(block[2], printed)
        elif block[1] == "sh":
            for command in re.findall(r"^minidl (step .*)$", block[2], re.MULTILINE):
                assert not cli.main([*shlex.split(command), "--plain"]), command
        elif block[1] == "":
            lines = iter([line.strip() for line in printed.splitlines()])
            for shown in block[2].splitlines():
                assert shown.strip() in lines, f"{path.name} shows {shown!r}; printed:\n{printed}"
    assert ran >= 5 and minidl.kernels_in_use() == kernels
    (made,) = tmp_path.glob("*.html")
    _the_ending_is_true_of_the_page(path, made, tmp_path / "run.json")


def _the_ending_is_true_of_the_page(path: Path, made: Path, unpacked: Path) -> None:
    """The last section links the page at a number, and says that number first in bold. The lines
    that the page shows are the chapter's."""
    packed = re.search(r'id="trace">([^<]*)<', made.read_text(encoding="utf-8"))[1]
    document = json.loads(gzip.decompress(base64.b64decode(packed)))
    parts = ("formulas", "lines", "signatures")            # what a page has beside its trace
    unpacked.write_text(json.dumps({k: v for k, v in document.items() if k not in parts}))
    trace = Trace.load(unpacked)
    ending = path.read_text(encoding="utf-8").partition("\n## The step as a page\n")[2]
    link = r'<a href="([\w-]+\.html)#event=(\d+)(?:&amp;cell=([\d,]+))?">'
    (name, event, cell), = re.findall(link, ending)
    assert name == made.name and ending.count(name) == 3   # saved, opened, linked
    event, cell = trace.events[int(event) - 1], tuple(map(int, filter(None, cell.split(","))))
    place = {"forward": lambda: trace.nodes[trace.ops[event["op"]]["outputs"][0]]["value"],
             "backward": lambda: event["contribution"], "update": lambda: event["after"]}
    array, said = trace.arrays[place[event["phase"]]()], re.search(r"\*\*(-?[\d.]+)\*\*", ending)[1]
    half = 0.5 * 10.0 ** -len(said.partition(".")[2])
    assert len(cell) == array.ndim and abs(array[cell] - float(said)) <= 1.02 * half
    if event["phase"] != "update":
        line = trace.sources[trace.ops[event["op"]]["line"]]
        assert line["path"] == path.name
        assert line["text"] in path.read_text(encoding="utf-8")


# --------------------------------------------------------------------------- the glossary
def test_the_glossarys_terms_are_linked_from_the_chapters_that_they_name():
    """Terms are in order; the first chapter that a term names is the first that links the term."""
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    _, *parts = re.split(r"^## (.*)$", page, flags=re.MULTILINE)
    terms = parts[::2]
    assert terms == sorted(terms, key=str.lower) and len(terms) > 40
    linked = [set(re.findall(r"\.\./glossary\.md#([\w-]+)", path.read_text(encoding="utf-8")))
              for path in CHAPTERS]
    slugs = {term.lower().replace(" ", "-") for term in terms}
    assert set().union(*linked) <= slugs
    for term, text in zip(terms, parts[1::2]):
        named = [int(number) for number in re.findall(r"\(tour/(\d\d)-", text)]
        slug = term.lower().replace(" ", "-")
        linking = [number for number, links in enumerate(linked, 1) if slug in links]
        assert named[:1] == linking[:1], f"{term}: names {named}, is linked from {linking}"


# --------------------------------------------------------------------------- the first hour
def test_the_first_hour_goes_through_the_functions_that_the_house_names():
    """The table of docs/layout.md stands in the order of the calls that its program makes."""
    page = (ROOT / "docs" / "layout.md").read_text(encoding="utf-8")
    hour = page.partition("\n## The first hour\n")[2].partition("\n## ")[0]
    (block,) = [block[2] for block in FENCE.finditer(hour) if block[1] == "python"]
    told = re.findall(r"^\| `(\w+)` in `([\w/]+\.py)` \|", hour, re.MULTILINE)
    package, calls, kernels = str(Path(minidl.__file__).parent), [], minidl.kernels_in_use()

    def note(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(package):
            calls.append((frame.f_code.co_name, path.relative_to(package).as_posix()))

    sys.setprofile(note)
    try:
        exec(compile(block, "docs/layout.md", "exec"), {})
    finally:
        sys.setprofile(None)
        minidl.use_kernels(kernels)
    made = iter(calls)
    missing = [call for call in told if call not in made]      # each is looked for after the last
    assert len(told) > 10 and not missing, f"not called, or not in this order: {missing[:1]}"
