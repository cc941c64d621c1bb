"""Moving through a trace by keys: where one is, and that every event fits a screen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optable import call, every_op, leaf, noise_like, tensor_arguments

import minidl
from minidl import functional as F
from minidl import nn, optim
from minidl.explain.controls import ARROWS, HELP, Controls
from minidl.explain.facts import Facts
from minidl.explain.follow import moves
from minidl.explain.place import Place
from minidl.explain.screen import SCREEN_COLUMNS, SCREEN_LINES, Screen
from minidl.explain.trace import Trace
from minidl.explain.walk import Walk
from minidl.explain.wrapping import columns_of, cut, wrapped
from minidl.testing.domains import DOMAINS
from minidl.training import first_step


@pytest.fixture(scope="module")
def cnn():
    return first_step.of_model("cnn")


@pytest.fixture
def at(cnn):
    """Controls at an event of the CNN's step."""
    def begin(number: int = 1) -> Controls:
        controls = Controls(Place(cnn))
        controls.command(f"goto {number}")
        controls.place.history.clear()
        return controls
    return begin


def typed(controls: Controls, text: str) -> None:
    for key in text:
        controls.press("Enter" if key == "\n" else key)


def find(trace, phase: str, op: str, target: str | None = None) -> int:
    """The number of the first such event."""
    return next(n for n, e in enumerate(trace.events, 1)
                if e["phase"] == phase and (phase == "update" or trace.ops[e["op"]]["op"] == op)
                and (target is None or trace.nodes[e["node"]]["name"] == target))


def assert_fits(lines: list[str], height: int = SCREEN_LINES, width: int = SCREEN_COLUMNS) -> None:
    assert len(lines) <= height, "\n".join(lines)
    for line in lines:
        assert columns_of(line) <= width and line.isprintable(), line


# --------------------------------------------------------------------------- networks
def vae_step() -> Trace:
    """A small variational autoencoder."""
    minidl.manual_seed(0)
    body, mu, logvar, decoder = (nn.Linear(6, 4), nn.Linear(4, 2), nn.Linear(4, 2), nn.Sequential(
        nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 6)))
    optimizer = optim.AdamW([p for m in (body, mu, logvar, decoder) for p in m.parameters()],
                            lr=0.01)
    x = minidl.rand(2, 6)
    with minidl.record() as trace:
        h = F.relu(body(x))
        m, v = mu(h), logvar(h)
        z = F.reparameterize(m, v)
        loss = F.binary_cross_entropy_with_logits(decoder(z), x) + F.gaussian_kl(m, v)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trace


def gan_step() -> Trace:
    """A small GAN: the discriminator's turn, then the generator's."""
    minidl.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Unflatten(
        1, (2, 2, 2)), nn.ConvTranspose2d(2, 1, 4, stride=2, padding=1), nn.Tanh())
    judge = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
                          nn.Dropout(0.3), nn.Flatten(), nn.Linear(12, 1))
    own, others = (optim.SGD(m.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
                   for m in (judge, generator))
    loss = lambda y, target: F.binary_cross_entropy_with_logits(y, minidl.full(y.shape, target))
    with minidl.record() as trace:
        fake = generator(minidl.randn(2, 3))
        own.zero_grad()
        (loss(judge(minidl.rand(2, 1, 4, 4)), 1.0) + loss(judge(fake.detach()), 0.0)).backward()
        own.step()
        others.zero_grad()
        loss(judge(fake), 1.0).backward()
        others.step()
    return trace


NETWORKS = {"cnn": lambda: first_step.of_model("cnn"), "vae": vae_step, "gan": gan_step,
            "transformer": lambda: first_step.of_model("attention"),
            "residual": lambda: first_step.of_model("resnet")}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_event_fits_a_screen(name):
    trace = NETWORKS[name]()
    controls, tall = Controls(Place(trace)), Screen(60, 132)
    for number in range(1, len(trace.events) + 1):
        lines = controls.block(Screen())
        assert_fits(lines)
        head = Walk(trace).event(number).split("\n")[0]
        assert " ".join(line.strip() for line in lines[:3]).startswith(head)   # never cut
        assert_fits(controls.block(tall), 60, 132)
        controls.press("ArrowRight")
    assert controls.place.said == "this is the last event"


@pytest.mark.parametrize("name", NETWORKS)
def test_following_leads_to_what_made_the_number(name):
    """The number that a factor shows is the number at the place it leads to."""
    trace, rng = NETWORKS[name](), np.random.default_rng(0)
    controls = Controls(place := Place(trace))
    events = range(1, len(trace.events) + 1)
    led = 0
    for number in rng.choice(events, min(len(events), 60), replace=False):
        controls.command(f"goto {number}")
        told = place.told
        for k, (what, _, value) in enumerate(told.terms[0].factors if told.terms else ()):
            place.mark_factor(0, k)
            spot = place.spot
            place.follow()
            if place.spot == spot:
                continue
            led += 1
            if "/" not in what and place.spot.cell is not None and "part" not in place.said:
                a = place.told.values if "began" not in place.said else None
                if "its update" in place.said:               # what it was before that
                    a = trace.arrays[place.told.event["before"]]
                if "backward() starts" not in place.said:
                    assert a[place.spot.cell] == pytest.approx(value, rel=1e-5), place.said
            controls.press("Backspace")
            assert place.spot == spot
    assert led > 20


# --------------------------------------------------------------------------- the way to the loss
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 16])
def test_from_any_weight_of_the_first_layer_to_the_loss_and_back(cnn, every):
    """One Enter for each op that is not folded; no text; Backspace returns the same way."""
    start = find(cnn, "backward", "conv2d", "0.weight")
    facts = Facts(cnn)
    unfolded = [op for op in cnn.ops[:14] if not moves(facts, facts.of(facts.made[op["id"]]))]
    assert len(unfolded) == 13 and cnn.ops[13]["op"] == "sum"     # the loss, the last of them
    controls = Controls(place := Place(cnn))
    for cell in list(np.ndindex(32, 1, 3, 3))[::every]:
        controls.command(f"goto {start}")
        controls.command(f"cell {','.join(map(str, cell))}")
        begun, visited = len(place.history), [place.spot]
        while not any("backward() starts here" in line for line in controls.block(Screen())):
            controls.press("Enter")
            assert place.spot != visited[-1], place.said
            visited.append(place.spot)
        assert len(visited) - 1 <= 12
        assert place.told.op["op"] == "sum" and place.told.event["phase"] == "backward"
        while len(place.history) > begun:
            assert place.spot == visited.pop()
            controls.press("Backspace")
        assert [place.spot] == visited
        place.history.clear()


def test_after_the_first_gradient_comes_the_loss_itself(at, cnn):
    controls = at(find(cnn, "backward", "sum"))
    controls.press("Enter")
    assert controls.place.told.event["phase"] == "forward"
    assert controls.place.said == ("gy: backward() starts here: event 14 made what it starts "
                                   "from")
    controls.press("Enter")
    assert controls.place.told.op["op"] == "cross_entropy_rows"


def test_what_only_moves_numbers_is_passed_through(at, cnn):
    controls = at(find(cnn, "forward", "linear"))
    reshape = find(cnn, "forward", "reshape")
    controls.command("follow 2 x")
    assert controls.place.told.op["op"] == "relu"
    assert f"through reshape ({reshape}), which only moves numbers" in controls.place.said


# --------------------------------------------------------------------------- where a factor leads
def test_parameters_lead_to_their_updates_and_inputs_nowhere(at, cnn):
    controls = at(find(cnn, "forward", "conv2d"))
    controls.command("follow 1 w")
    assert controls.place.told.head.endswith("update, Adam step 1, 0.weight")
    assert "its update is event" in controls.place.said
    controls.press("Enter")                                       # g
    assert controls.place.told.head.endswith("gradient of 0.weight, contribution 1 of 1")
    controls = at(find(cnn, "forward", "conv2d"))
    before = controls.place.spot
    controls.command("follow 1 x")
    assert controls.place.spot.number == before.number
    assert "images is given from outside: no recorded op made it" in controls.place.said
    controls.command("follow 1 q")
    assert controls.place.said == "follow: term 1 has no factor 'q', but x, w"
    controls.command("follow 99")
    assert controls.place.said == "there is no term 99; this cell has 10"


def test_of_two_updates_the_one_that_made_the_number():
    w = minidl.tensor([0.7, 0.2], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.05, momentum=0.9)
    with minidl.record() as trace:
        for _ in range(3):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
    updates = [n for n, e in enumerate(trace.events, 1) if e["phase"] == "update"]
    controls = Controls(place := Place(trace))
    controls.command(f"goto {updates[2]}")
    for name in ("w", "momentum_buffer"):
        controls.command(f"follow 1 {name}")
        assert place.spot.number == updates[1] and "the update before" in place.said
        controls.press("Backspace")
    multiplied = [n for n, e in enumerate(trace.events, 1) if e["phase"] == "forward"
                  and trace.ops[e["op"]]["op"] == "mul"]
    controls.command(f"goto {multiplied[1]}")
    controls.press("Enter")
    assert place.spot.number == updates[0] and "an update, made it" in place.said
    controls.command(f"goto {updates[0]}")
    controls.command("follow 1 w")
    assert place.said.endswith("w is as it was when the recording began")


def test_of_several_contributions_the_largest():
    x = minidl.tensor([1.0, -2.0], requires_grad=True)
    with minidl.record() as trace:
        h = x * 3.0
        (h * 10.0 + h * -2.0).sum().backward()
    number = next(n for n, e in enumerate(trace.events, 1) if e["phase"] == "backward"
                  and trace.nodes[e["node"]]["name"] == "x")
    controls = Controls(place := Place(trace))
    controls.command(f"goto {number}")
    controls.press("Enter")
    assert "the largest part, of events" in place.said
    assert abs(place.told.values[place.spot.cell]) == 10


def test_detached_numbers_lead_to_what_they_were_cut_from():
    trace = gan_step()
    controls = Controls(place := Place(trace))
    numbers = [n for n, e in enumerate(trace.events, 1) if e["phase"] == "forward"
               and trace.ops[e["op"]]["op"] == "conv2d"]
    controls.command(f"goto {numbers[1]}")                       # of the detached images
    which = next(k for k, t in enumerate(place.told.terms, 1) if t.factors[0][0] == "x")
    controls.command(f"follow {which} x")
    assert place.told.op["op"] == "tanh"
    assert "detach() cut it off: no gradient comes back" in place.said


def test_a_slope_leads_to_its_op(at, cnn):
    controls = at(find(cnn, "backward", "relu"))
    cell = controls.place.told.cell
    controls.command("follow 1 dy/dx")
    assert controls.place.told.op["op"] == "relu" and controls.place.spot.cell == cell
    assert controls.place.told.event["phase"] == "forward"


# --------------------------------------------------------------------------- keys
def test_events(at, cnn):
    controls, count = at(), len(cnn.events)
    place = controls.place
    for key, number in (("n", 2), ("ArrowRight", 3), ("p", 2), ("ArrowLeft", 1), ("p", 1),
                        ("End", count), ("Home", 1), ("b", 15), ("u", 38), ("f", 48), ("f", 1)):
        controls.press(key)
        assert place.spot.number == number, key
    controls.press("p")
    assert place.said == "this is the first event"
    controls.press("Shift+ArrowRight")
    assert place.spot.number == 2
    typed(controls, "g36\n")
    assert place.spot.number == 36 and not controls.asking
    typed(controls, "g99\n")
    assert place.spot.number == 36 and place.said == "goto: '99' is no event; they are 1 to 50"
    typed(controls, "g4")
    assert controls.status() == "goto (event, 1 to 50): 4"
    controls.press("Backspace"), controls.press("Backspace")
    assert not controls.asking and place.spot.number == 36
    typed(controls, "/3.weight\n")
    assert place.spot.number == 40 and "3.weight: 3 of 3 events found" == place.said
    typed(controls, "/\n")
    assert place.spot.number == 4
    controls.command("find nothing")
    assert place.said.startswith("find: nothing here is called 'nothing'; there are ")
    controls.press("%")
    assert place.said == "% is no key here; ? lists them"
    controls.press("q")
    assert controls.ended


def test_backspace_undoes_every_jump(at):
    controls = at()
    place, spots = controls.place, []
    for keys in ("b", "End", "g36\n", "\n", "i0,0,2,2\n", "/relu\n"):
        spots.append(place.spot)
        typed(controls, [keys] if keys == "End" else keys)
        assert place.spot != spots[-1], keys
    for spot in reversed(spots):
        controls.press("Backspace")
        assert place.spot == spot
    controls.press("Backspace")
    assert place.said == "this is where you began"


def test_only_chosen_events_come_next(cnn):
    controls = Controls(Place(cnn, [3, 17, 40]))
    for number in (17, 40, 40):
        controls.press("n")
        assert controls.place.spot.number == number
    controls.command("goto 20")
    controls.press("p")
    assert controls.place.spot.number == 17


def test_a_cell_by_arrows_and_by_indices(at, cnn):
    controls = at(36)
    place = controls.place
    assert place.told.cell == (15, 0, 1, 1)
    controls.press("Tab")
    assert controls.arrows == "cell" and place.said == ARROWS["cell"]
    for key, cell in (("ArrowLeft", (15, 0, 1, 0)), ("ArrowUp", (15, 0, 0, 0)),
                      ("ArrowUp", (15, 0, 0, 0)), ("ArrowRight", (15, 0, 0, 1)),
                      ("ArrowDown", (15, 0, 1, 1)), ("PageDown", (16, 0, 1, 1)),
                      ("[", (15, 0, 1, 1))):
        controls.press(key)
        assert place.told.cell == cell, key
    value = cnn.arrays[cnn.events[35]["contribution"]][15, 0, 1, 1]
    assert f"stored {value:.6g}" in "\n".join(controls.block(Screen()))
    typed(controls, "i0 0 -1 2\n")
    assert place.told.cell == (0, 0, 2, 2) and place.told.which == "as chosen"
    for wrong in ("0,0,3,0", "1,2", "a", "", "1.5,0,0,0"):
        controls.command(f"cell {wrong}")
        assert "is no cell of gw, whose shape is 32 x 1 x 3 x 3" in place.said
        assert place.told.cell == (0, 0, 2, 2)
    for word, cell in (("up", (0, 0, 1, 2)), ("left", (0, 0, 1, 1)), ("right", (0, 0, 1, 2)),
                       ("down", (0, 0, 2, 2))):
        controls.command(word)
        assert place.told.cell == cell
    controls.command("next")
    assert place.told.which == "the largest in magnitude"         # the bias has no such cell


def test_terms_are_marked(at):
    controls = at(36)
    place = controls.place
    assert place.mark == (0, 0)
    controls.press("2")
    assert place.mark == (1, 0)
    controls.press("2")
    assert place.mark == (1, 1)
    line = next(line for line in controls.block(Screen()) if ">" in line)
    assert line.startswith("    2  gy[") and "* >x[" in line
    controls.press("Shift+Tab")
    assert controls.arrows == "terms"
    for key, mark in (("ArrowLeft", (1, 0)), ("ArrowDown", (2, 0)), ("ArrowUp", (1, 0)),
                      ("ArrowUp", (0, 0)), ("ArrowUp", (0, 0))):
        controls.press(key)
        assert place.mark == mark, key
    assert place.said == "this is the first of 1352 terms"
    controls.command("1352")
    block = controls.block(Screen())
    assert any(line.startswith(" 1352  >gy[") for line in block)  # it is among those shown
    assert_fits(block)
    controls.press("Escape")
    assert place.mark == (0, 0) and controls.arrows == "events"


def test_details_and_help_on_demand(at, cnn):
    controls, screen = at(36), Screen()
    controls.press("d", screen)
    pages = []
    while not pages or pages[-1] != controls.block(screen):
        pages.append(controls.block(screen))
        assert_fits(pages[-1])
        controls.press(" ")
    assert pages[0][-1] == f"page 1 of {len(pages)}; Space: next; Backspace: back"
    text = "".join(line.strip() for page in pages for line in page[:-1]).replace(" ", "")
    assert text == Walk(cnn).event(36).replace(" ", "").replace("\n", "")
    controls.press("PageUp")
    assert controls.page == len(pages) - 2
    controls.press("Backspace")
    assert controls.block(screen)[0].startswith("event 36 of 50")
    controls.press("?")
    assert controls.block(screen)[:-1] == HELP.split("\n")
    assert_fits(controls.block(screen))
    controls.press("q")
    assert controls.page is None and not controls.ended


def test_help_names_every_key(at):
    controls = at()
    named = HELP.replace("Right Left", "ArrowRight ArrowLeft")
    named = named.replace("PgUp PgDn", "PageUp PageDown")
    for key in controls.keys:
        assert key.split("+")[-1] in named or key == "Escape"


# --------------------------------------------------------------------------- what is wrong
def test_the_next_wrong_cell():
    trace = vae_step()
    number = next(n for n, e in enumerate(trace.events, 1) if e["phase"] == "backward"
                  and trace.nodes[e["node"]]["name"] == "body.weight")
    event = trace.events[number - 1]
    spoilt = trace.arrays[event["contribution"]].copy()
    spoilt[3, 1], spoilt[1, 5] = 1.0, 2.0
    trace.arrays.append(spoilt)
    event["contribution"] = event["sum"] = len(trace.arrays) - 1
    controls = Controls(Place(trace))
    controls.press("c")
    assert controls.place.said == "nothing was checked; --check does it before the walk"
    trace.check()
    controls, seen = Controls(place := Place(trace)), []
    for _ in range(3):
        controls.press("c")
        block = "\n".join(controls.block(Screen()))
        assert "! WRONG: " in block
        seen.append((place.spot.number, place.spot.cell))
        if place.spot.number == number:
            assert "2 of 24 cells differ" in block and "THEY DIFFER" in block and " ![" in block
    assert seen[:2] == [(number, (1, 5)), (number, (3, 1))]
    update = next(n for n, e in enumerate(trace.events, 1) if e["phase"] == "update")
    assert seen[2][0] in (number, update)                # the update was by another gradient
    coloured = Screen(colour=True).block(place.facts.of(number))
    assert any(line.startswith("\x1b[1;31m  check     ! WRONG") for line in coloured)


def test_no_check_failed(cnn):
    trace = vae_step()
    trace.check(entries=2, directions=1)
    controls = Controls(Place(trace))
    controls.press("c")
    assert controls.place.said == "no check failed"


# --------------------------------------------------------------------------- odd traces
def test_arrays_that_were_cut(cnn, tmp_path):
    cnn.save(tmp_path / "small.json", budget=20_000)
    trace = Trace.load(tmp_path / "small.json")
    controls = Controls(place := Place(trace))
    for number in range(1, len(trace.events) + 1):
        controls.command(f"goto {number}")
        assert_fits(controls.block(Screen()))
        for key in ("Enter", "Tab", "ArrowLeft", "PageUp", "1", "c"):
            controls.press(key)
            assert_fits(controls.block(Screen()))
    controls.command("goto 1")
    block = "\n".join(controls.block(Screen()))
    assert "y         the result, left out of the file for its size" in block
    assert "cell      none: numbers left out of the file for its size" in block
    controls.command(f"goto {find(trace, 'backward', 'conv2d', '0.weight')}")
    while place.told.op["op"] != "sum":                  # the way to the loss is still there
        before = place.spot
        controls.press("Enter")
        assert place.spot != before


def test_an_empty_recording(tmp_path, capsys):
    from minidl import cli
    with minidl.record() as trace:
        pass
    with pytest.raises(ValueError, match="holds no event"):
        Place(trace)
    trace.save(tmp_path / "empty.json")
    assert cli.main(["step", str(tmp_path / "empty.json")]) == 2
    assert capsys.readouterr().err == ("minidl: step: this recording holds no event: no op ran "
                                       "between its start and its end\n")


def test_one_number_and_none():
    x = minidl.tensor(3.0, requires_grad=True)
    with minidl.record() as trace:
        y = x * 2.0
        (minidl.zeros(0, 3) * 1.0).sum()
        y.backward()
    controls = Controls(place := Place(trace))
    assert "  gradient  None yet; backward() starts here" in controls.block(Screen())
    for key in ("Tab", "ArrowLeft", "ArrowUp", "PageUp", "["):
        controls.press(key)
        assert place.told.cell == () and place.said
    controls.press("n")
    block = "\n".join(controls.block(Screen()))
    assert "cell      none: it has no elements" in block
    assert "gradient  None: nothing arrives here in this recording" in block
    controls.press("ArrowDown")
    assert place.said == "no cell can be chosen: it has no elements"


def test_escape_sequences_are_written_out(tmp_path):
    """Names, lines and arguments of a program never reach the terminal as commands."""
    path = tmp_path / "evil.py"
    path.write_text("import minidl\nx = minidl.ones(2)\ny = x + 1  # \x1b[31m </script> 数字\n")
    trace = first_step.of_script(path)
    trace.ops[0]["op"] += "\x1b[2J"
    trace.maps[trace.ops[0]["op"]] = {"kind": None, "formula": "\x07", "says": ""}
    trace.ops[0]["module"] = "a\x1b]0;title\x07"
    trace.nodes[0]["name"] = "w\u202e"
    controls = Controls(Place(trace))
    typed(controls, "/\x1b[2J")
    lines = controls.block(Screen())
    assert_fits(lines)
    lines += Walk(trace).event(1).split("\n")
    assert all(line.isprintable() for line in lines)
    assert any(r"\x1b[31m </script>" in line for line in lines)


@every_op
def test_every_op_fits_and_leads_somewhere(name):
    """Also with NaN and infinities among its numbers."""
    @settings(max_examples=max(settings.default.max_examples // 8, 2))
    @given(data=st.data())
    def fits(data):
        args = data.draw(DOMAINS[name])
        arrays = [a.copy() for a in tensor_arguments(name, args)]
        odd = data.draw(st.sampled_from([None, np.nan, np.inf]))
        if odd is not None and (a := arrays[0]).dtype.kind == "f" and a.size:
            a.flat[0] = odd
        try:
            with minidl.record() as trace, np.errstate(all="ignore"):
                y = call(name, args, [leaf(a) for a in arrays])
                if y.requires_grad and y.numel():
                    y.backward(minidl.from_numpy(noise_like(y.data)))
        except ValueError:                                       # NaN that an op refuses
            return
        controls = Controls(place := Place(trace))
        for number in range(1, len(trace.events) + 1):
            controls.command(f"goto {number}")
            assert_fits(controls.block(Screen()))
            names = [array.name for array in place.told.arrays]
            assert len({*names}) == len(names)                   # one name, one array
            if place.told.event["phase"] == "backward":          # gy: of the result, always
                assert names[0] == "gy" != names[-1]
            for k in range(len(place.told.terms[0].factors) if place.told.terms else 1):
                if place.told.terms:
                    place.mark_factor(0, k)
                spot = place.spot
                controls.press("Enter")
                assert "computed inside" not in place.said, place.said
                assert place.said
                assert_fits(controls.block(Screen()))
                if place.spot != spot:
                    controls.press("Backspace")
                assert place.spot == spot
    fits()


# --------------------------------------------------------------------------- columns
@given(st.text(max_size=200), st.integers(10, 90), st.integers(1, 5), st.integers(0, 12))
def test_text_is_broken_to_a_width(text, width, most, indent):
    text = "".join(c for c in text if c.isprintable())
    lines = wrapped(text, width, most, indent)
    assert len(lines) <= most and all(columns_of(line) <= width for line in lines)
    assert columns_of(cut(text, width)) <= width
    whole = wrapped(text, width, 10**6, indent)
    assert "".join(whole).replace(" ", "") == text.replace(" ", "")


def test_wide_characters_take_two_columns():
    assert columns_of("数字 ab") == 7
    assert cut("数字数字数字", 8) == "数字..."
