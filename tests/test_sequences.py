"""The model of D1-TEXT and D1-MUSIC by its formulas, and examples/sequences.py."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minidl
from examples import load_example
from minidl.models.attention import SequenceModel
from minidl.random import Generator


def model(**options) -> SequenceModel:
    return SequenceModel(7, 6, **{"dim": 8, "heads": 2, **options}).double()


def test_the_model_is_its_layers():
    """Symbol plus place, blocks, layer norm, dense: place by place."""
    made, s = model(), np.array([[3, 1, 4, 1, 5], [2, 6, 5, 3, 5]])
    w = {name: tensor.numpy() for name, tensor in made.state_dict().items()}
    x = np.array([[w["symbol.weight"][c] + w["place.weight"][t] for t, c in enumerate(row)]
                  for row in s])
    for block in made.blocks:
        x = block(minidl.tensor(x), causal=True).numpy()
    logits = made(minidl.tensor(s)).numpy()
    assert logits.shape == (2, 5, 7)
    for n, t in np.ndindex(2, 5):
        v = x[n, t]
        v = (v - v.mean()) / np.sqrt(v.var() + 1e-5) * w["norm.weight"] + w["norm.bias"]
        assert logits[n, t] == pytest.approx(w["head.weight"] @ v + w["head.bias"], rel=1e-9)


def test_what_comes_later_changes_nothing():
    made, s = model(depth=3), np.array([[3, 1, 4, 1, 5, 0]])
    before = made(minidl.tensor(s)).numpy()[0]
    for t in range(1, 6):
        other = s.copy()
        other[0, t:] = 6 - other[0, t:]
        assert made(minidl.tensor(other)).numpy()[0, :t] == pytest.approx(before[:t], rel=1e-12)
        assert not np.allclose(made(minidl.tensor(other)).numpy()[0, t], before[t])


def test_maps_are_rows_of_weights_on_the_past():
    made, s = model(depth=3), minidl.tensor(np.array([[3, 1, 4], [1, 5, 2]]))
    maps = made.attention_maps(s).numpy()
    assert maps.shape == (2, 3, 2, 3, 3) and not np.triu(maps, 1).any()
    assert maps.sum(-1) == pytest.approx(np.ones((2, 3, 2, 3)))
    first = made.blocks[0].attend(made.vectors(s), causal=True)[1].numpy()
    assert np.array_equal(maps[:, 0], first)


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    p = np.exp(logits / temperature)
    return p / p.sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_symbols_are_drawn_from_the_softmax(temperature):
    """By the inverse of the cumulative probabilities, from the generator's own uniform numbers."""
    made, so_far, numbers = model(), [2], Generator(5)
    with minidl.no_grad():
        made.head.weight.copy_(5 * made.head.weight.numpy())
    for _ in range(9):
        logits = made(minidl.tensor([so_far[-6:]])).numpy()[0, -1]
        u = numbers.uniform((), np.float64)
        so_far.append(int((softmax(logits, temperature).cumsum() <= u).sum()))
    assert made.sample([2], 9, temperature, Generator(5)) == so_far[1:]


def test_low_temperatures_take_the_likeliest():
    made = model()
    (found,) = made.sample([2, 3], 1, temperature=1e-6)
    assert found == made(minidl.tensor([[2, 3]])).numpy()[0, -1].argmax()


def test_only_what_is_allowed_is_drawn_and_nothing_ends_it():
    made = model(dropout=0.5)
    seen = []

    def allowed(so_far):
        seen.append(list(so_far))
        return [] if len(so_far) == 5 else [2, 0] if len(so_far) % 2 else [6]

    found = made.sample([1], 20, allowed=allowed)
    assert len(found) == 4 and found[1] == found[3] == 6 and {found[0], found[2]} <= {0, 2}
    assert seen[0] == [1] and seen[-1] == [1, *found]
    assert made.training                                             # as it was before
    assert made.sample(iter([1, 2]), 0) == []


def test_the_run_is_repeatable():
    made = model()
    draws = []
    for _ in range(2):
        minidl.manual_seed(4)
        draws.append(made.sample([0], 20))
    assert draws[0] == draws[1] and len(set(draws[0])) > 2


@pytest.mark.parametrize("make, message", [
    (lambda: SequenceModel(0, 5), "symbols must be at least 1, got 0"),
    (lambda: SequenceModel(5, 0), "length must be at least 1, got 0"),
    (lambda: SequenceModel(5, 5, depth=0), "depth must be at least 1, got 0"),
    (lambda: SequenceModel(5, 5, dim=10, heads=4), "does not divide into num_heads=4"),
    (lambda: model()(minidl.tensor([[1] * 7])), r"1 <= T <= length=6, got \(1, 7\)"),
    (lambda: model()(minidl.tensor([1, 2])), r"shape \(N, T\)"),
    (lambda: model().sample([], 3), "got 0 symbols, n=3, temperature=1.0"),
    (lambda: model().sample([1], -1), "n=-1"),
    (lambda: model().sample([1], 3, temperature=0), "temperature=0"),
])
def test_wrong_input_is_an_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_symbol_out_of_range_is_an_error():
    with pytest.raises((ValueError, IndexError), match="7"):
        model()(minidl.tensor([[1, 7]]))


# --------------------------------------------------------------------------- examples/sequences.py
@pytest.fixture(scope="module")
def parts():
    return load_example("sequences")


def test_counting_by_hand(parts):
    """abab, lambda = 4: p(a) = (2 + 4/3) / (4 + 4); after a: (n(ab) + 4 p(b)) / (n(a) + 4).
    The last b is followed by nothing, and does not count as one before c."""
    learnt, text = np.array([0, 1, 0, 1]), np.array([0, 1, 2])
    p = [(2 + 4 / 3) / 8, (2 + 4 / 3) / 8, (0 + 4 / 3) / 8]
    assert parts.counting(learnt, text, 0, 3, weight=4) == pytest.approx(-sum(map(math.log, p)) / 3)
    after_a, after_b = (2 + 4 * p[1]) / (2 + 4), (0 + 4 * p[2]) / (1 + 4)
    assert parts.counting(learnt, text, 1, 3, weight=4) == pytest.approx(
        -(math.log(after_a) + math.log(after_b)) / 2)


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_counting_is_a_distribution(parts, k):
    learnt, h = np.random.default_rng(0).integers(0, 4, 60), [2] * k
    total = sum(math.exp(-parts.counting(learnt, np.array([*h, c]), k, 4)) for c in range(4))
    assert total == pytest.approx(1)


def test_windows_overlap_by_what_is_to_predict(parts):
    s = parts.windows(np.arange(20), np.array([0, 7]), 4)
    assert s.numpy().tolist() == [[0, 1, 2, 3, 4], [7, 8, 9, 10, 11]]


def test_nats_count_the_second_halves(parts):
    model, codes = SequenceModel(5, 8, dim=8, heads=2).double(), np.arange(31) % 5
    terms = []
    for start in range(0, len(codes) - 8, 4):
        window = codes[start:start + 9]
        logits = model(minidl.tensor(window[None, :-1])).numpy()[0]
        for t in range(4, 8):
            p = np.exp(logits[t]) / np.exp(logits[t]).sum()
            terms.append(-math.log(p[window[t + 1]]))
    assert parts.nats(model, codes) == pytest.approx(np.mean(terms), rel=1e-9)


def test_a_rhythm_is_learnt(parts, capsys):
    """0 1 2 3 0 1 2 3 ... has no surprise for whoever has seen it."""
    codes, model = np.arange(200) % 4, SequenceModel(4, 8, dim=8, heads=2, depth=1)
    history = parts.train(model, codes, codes[:40], 40, np.random.default_rng(0), lr=3e-2)
    assert [step for step, _, _ in history] == list(range(2, 41, 2))
    assert history[-1][2] < 0.1 < history[0][2]
    assert "step 40: " in capsys.readouterr().out
    assert model.sample([0, 1, 2], 5, temperature=0.01) == [3, 0, 1, 2, 3]


def test_too_short_a_text_is_an_error(parts):
    model, codes = SequenceModel(4, 8, dim=8, heads=2), np.arange(9) % 4
    with pytest.raises(ValueError, match="train: there are 9 symbols, and 8 held out"):
        parts.train(model, codes, codes[:8], 1, np.random.default_rng(0))
