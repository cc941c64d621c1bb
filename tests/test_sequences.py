"""The model of D1-TEXT and D1-MUSIC by its formulas, and examples/sequences.py."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minidl
from examples import load_example
from minidl import nn
from minidl.models.more.transformer import SequenceModel
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
    x = made.vectors(s)
    for i, block in enumerate(made.blocks):                    # each sees what the last one made
        assert np.array_equal(maps[:, i], block.attend(x, causal=True)[1].numpy())
        x = block(x, causal=True)


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


@pytest.mark.parametrize("training", [True, False])
def test_an_error_on_the_way_leaves_the_mode_as_it_was(training):
    made = model(dropout=0.5).train(training)

    def allowed(so_far):
        assert not made.training
        raise KeyError("of the caller's")

    with pytest.raises(KeyError, match="of the caller's"):
        made.sample([1], 3, allowed=allowed)
    assert made.training is training
    assert all(part.training is training for part in made.modules())


@pytest.mark.parametrize("named", [[7], [0, 7], [-1, 3]])
def test_only_symbols_there_are_can_be_allowed(named):
    made = model()
    with pytest.raises(ValueError, match=r"sample: allowed\(\) must name symbols in \[0, 7\)"):
        made.sample([1], 3, allowed=lambda so_far: named)
    assert made.training
    assert set(made.sample([1], 20, allowed=lambda so_far: [0, 6])) == {0, 6}  # both ends are in


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


def test_an_n_gram_model_by_hand(parts):
    """abab, lambda = 4: p_1(a) = (2 + 4/3) / (4 + 4); p_2(b|a) = (#(ab) + 4 p_1(b)) / (#(a) + 4).
    The last b is followed by nothing, and does not count as a context."""
    counted, text = parts.NGram(np.array([0, 1, 0, 1]), 2, symbols=3), np.array([0, 1, 2])
    p = [(2 + 4 / 3) / 8, (2 + 4 / 3) / 8, (0 + 4 / 3) / 8]
    assert counted.nats(text, 0, 1, weight=4) == pytest.approx(-sum(map(math.log, p)) / 3)
    after_a, after_b = (2 + 4 * p[1]) / (2 + 4), (0 + 4 * p[2]) / (1 + 4)
    assert counted.nats(text, 1, 2, weight=4) == pytest.approx(
        -(math.log(after_a) + math.log(after_b)) / 2)
    assert counted.nats(text, 0, 2, weight=4) == pytest.approx(           # the first: no context
        -(math.log(p[0]) + math.log(after_a) + math.log(after_b)) / 3)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_an_n_gram_model_is_a_distribution(parts, n):
    counted = parts.NGram(np.random.default_rng(0).integers(0, 4, 60), 4, symbols=4)
    for h in ([2] * (n - 1), [4] * (n - 1)):                              # 4: never seen
        assert sum(counted.p(c, tuple(h), 8) for c in range(4)) == pytest.approx(1)


def test_counts_of_short_contexts_do_not_depend_on_the_longest(parts):
    codes = np.random.default_rng(0).integers(0, 3, 50)
    short, long = parts.NGram(codes, 2, 3), parts.NGram(codes, 5, 3)
    assert short.nats(codes, 4, 2, 1) == long.nats(codes, 4, 2, 1)
    assert long.nats(codes, 4, 5, 1) < long.nats(codes, 4, 2, 1)


@pytest.mark.parametrize("noise, low, high", [(0.0, 1, 1), (1.0, 32, 64)])
def test_the_weight_is_chosen_without_the_held_out_sequence(parts, noise, low, high):
    """Where the context says all, lambda is the least; where it says nothing, one of the largest;
    whatever is held out. And it is the best on the last tenth of the training sequence."""
    rng = np.random.default_rng(1)
    training = np.where(rng.random(3000) < noise, rng.integers(0, 4, 3000), np.arange(3000) % 4)
    found = [parts.ngrams(training, held_out, 5, 3, symbols=4)
             for held_out in (np.arange(40) % 4, np.zeros(40, int))]
    assert [weight for weight, _ in found[0]] == [weight for weight, _ in found[1]]
    weight, value = found[0][2]
    assert low <= weight <= high
    part = parts.NGram(training[:2700], 3, symbols=4)
    tried = {w: part.nats(training, 2700, 3, w) for w in parts.WEIGHTS}
    assert tried[weight] == min(tried.values())
    assert value == parts.NGram(training, 3, 4).nats(np.arange(40) % 4, 5, 3, weight)


def test_windows_overlap_by_what_is_to_predict(parts):
    s = parts.windows(np.arange(20), np.array([0, 7]), 4)
    assert s.tolist() == [[0, 1, 2, 3, 4], [7, 8, 9, 10, 11]]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("T, symbols", [(8, 31), (8, 9), (8, 33), (7, 31), (1, 5), (2, 5)])
def test_nats_judge_every_symbol_once(parts, T, symbols, training):
    """From place T//2 + 1 to the very end, each after T//2 + 1 symbols at least."""
    model = SequenceModel(5, T, dim=8, heads=2, dropout=0.5).double().train(training)
    codes, terms = np.arange(symbols) ** 2 % 5, {}
    starts = [*range(0, symbols - T - 1, T - T // 2), symbols - T - 1]
    with minidl.no_grad():
        model.eval()
        for start in starts:
            logits = model(minidl.tensor(codes[None, start:start + T])).numpy()[0]
            for t in range(T // 2, T):
                terms[start + t + 1] = -math.log(softmax(logits[t], 1)[codes[start + t + 1]])
        model.train(training)
    assert sorted(terms) == list(range(parts.first_judged(T), symbols))
    assert parts.nats(model, codes) == pytest.approx(np.mean([*terms.values()]), rel=1e-9)
    assert model.training is training


class Bigrams(nn.Module):
    """Says of the next symbol what an n-gram model with n = 2 says."""

    def __init__(self, counted, symbols, length, weight):
        super().__init__()
        self.symbols, self.length = symbols, length
        self.log_p = np.log([[counted.p(c, (h,), weight) for c in range(symbols)]
                             for h in range(symbols)])

    def forward(self, sequences):
        return minidl.tensor(self.log_p[sequences.numpy()])


@pytest.mark.parametrize("length, symbols", [(8, 60), (8, 63), (5, 44), (1, 20)])
def test_model_and_n_grams_are_judged_on_the_same_symbols(parts, capsys, length, symbols):
    """A model that is itself an n-gram model has exactly its cross entropy."""
    rng = np.random.default_rng(3)
    training, held_out = rng.integers(0, 6, 400) // 2, rng.integers(0, 3, symbols)
    found = parts.ngrams(training, held_out, parts.first_judged(length), 6, symbols=3)
    weight, value = found[1]
    model = Bigrams(parts.NGram(training, 2, 3), 3, length, weight)
    assert parts.nats(model, held_out) == pytest.approx(value, rel=1e-12)

    best = parts.compare(model, training, held_out)
    assert best == min(value for _, value in found)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["n-gram,", "n", "=", "2", "1", str(weight), f"{value:.3f}"] in rows
    assert rows[-1] == ["attention", str(length), f"{value:.3f}"]


def test_a_rhythm_is_learnt(parts, capsys):
    """0 1 2 3 0 1 2 3 ... has no surprise for whoever has seen it."""
    codes, model = np.arange(200) % 4, SequenceModel(4, 8, dim=8, heads=2, depth=1)
    history = parts.train(model, codes, codes[:40], 40, np.random.default_rng(0), lr=3e-2)
    assert [step for step, _, _ in history] == list(range(2, 41, 2))
    assert history[-1][2] < 0.1 < history[0][2]
    assert "step 40: " in capsys.readouterr().out
    assert model.sample([0, 1, 2], 5, temperature=0.01) == [3, 0, 1, 2, 3]


def test_the_last_step_is_in_the_history(parts):
    codes, model = np.arange(60) % 4, SequenceModel(4, 8, dim=8, heads=2, depth=1)
    history = parts.train(model, codes, codes[:20], 45, np.random.default_rng(0))
    assert [step for step, _, _ in history] == [*range(2, 45, 2), 45]
    assert history[-1][2] == parts.nats(model, codes[:20])


def test_too_short_a_text_is_an_error(parts):
    model, codes = SequenceModel(4, 8, dim=8, heads=2), np.arange(9) % 4
    with pytest.raises(ValueError, match="train: there are 9 symbols, and 8 held out"):
        parts.train(model, codes, codes[:8], 1, np.random.default_rng(0))


def test_the_smallest_sequence_model_has_one_of_each():
    model = SequenceModel(1, 1, dim=4, heads=1, depth=1)
    assert model(minidl.tensor([[0]])).shape == (1, 1, 1)
    for sizes in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ValueError, match="must be at least 1, got 0"):
            SequenceModel(*sizes[:2], dim=4, heads=1, depth=sizes[2])
