"""Noise is a pure function of (seed, counter, element): repeatable, resumable, well distributed."""

from __future__ import annotations

import copy
import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
import minidl.functional as F
from minidl import Generator

seeds = st.integers(0, 2**64 - 1)
shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)
DRAWS = {
    "uniform": lambda g, shape: g.uniform(shape),
    "uniform64": lambda g, shape: g.uniform(shape, np.float64),
    "normal": lambda g, shape: g.normal(shape),
    "normal64": lambda g, shape: g.normal(shape, np.float64),
    "permutation": lambda g, shape: g.permutation(int(np.prod(shape))),
    "integers": lambda g, shape: g.integers(-3, 9, shape),
}
every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


# --------------------------------------------------------------------------- state
@every_draw
@given(seed=seeds, shape=shapes, before=st.integers(0, 5))
def test_state_is_two_integers_and_restores_the_stream(draw, seed, shape, before):
    generator = Generator(seed)
    for _ in range(before):
        generator.normal((7,))                  # other shapes, other kinds: one count each
    assert generator.get_state() == (seed, before)
    first = draw(generator, shape)
    restored = Generator(99)
    restored.set_state((seed, before))
    assert np.array_equal(draw(restored, shape), first)
    assert restored.get_state() == (seed, before + 1)
    assert np.array_equal(draw(copy.deepcopy(generator), shape), draw(generator, shape))


@given(seed=seeds, n=st.integers(1, 40), m=st.integers(1, 40))
def test_an_element_does_not_depend_on_how_many_are_drawn(seed, n, m):
    """Element e is word e of its draw, whoever else is asked for."""
    n, m = sorted((n, m))
    for kind in ("uniform", "normal"):
        small, large = (getattr(Generator(seed), kind)((k,)) for k in (n, m))
        whole = n if kind == "uniform" else n - n % 2      # normals come in pairs
        assert np.array_equal(small[:whole], large[:whole])


@given(seed=seeds)
def test_known_values_of_the_cipher(seed):
    """Against NumPy's Philox 4x64-10, key (seed, counter), and the formulas of the docstring."""
    generator = Generator(seed)
    generator.uniform(())
    words = np.random.Philox(key=np.array([seed, 1], np.uint64)).random_raw(6)
    assert generator.uniform((6,)).tolist() == [float(w >> 40) / 2**24 for w in map(int, words)]
    generator.set_state((seed, 1))
    u = [float(int(w) >> 11) / 2**53 for w in words]
    assert generator.uniform((6,), np.float64).tolist() == u
    generator.set_state((seed, 1))
    expected = []
    for a, b in zip(u[::2], u[1::2]):
        r = math.sqrt(-2 * math.log1p(-a))
        expected += [r * math.cos(2 * math.pi * b), r * math.sin(2 * math.pi * b)]
    np.testing.assert_allclose(generator.normal((6,), np.float64), expected, rtol=1e-14)


def test_a_recorded_value():
    """These numbers must never change: seeds printed in papers and docs depend on them."""
    generator = Generator(2024)
    assert generator.uniform((3,), np.float64).tolist() == RECORDED["uniform"]
    np.testing.assert_allclose(generator.normal((3,), np.float64), RECORDED["normal"], rtol=1e-13)
    assert generator.permutation(8).tolist() == RECORDED["permutation"]
    assert generator.integers(0, 100, (5,)).tolist() == RECORDED["integers"]


RECORDED = {
    "uniform": [0.7539532404108791, 0.6536530412806927, 0.8305111850799092],
    "normal": [-0.13967820404418305, 0.28945513046455, 0.6976001134805527],
    "permutation": [0, 5, 2, 1, 4, 6, 3, 7],
    "integers": [68, 18, 67, 16, 25],
}


@given(seed=seeds, shape=shapes)
def test_float32_and_float64_agree_to_rounding(seed, shape):
    u32, u64 = (Generator(seed).uniform(shape, d) for d in (np.float32, np.float64))
    assert u32.dtype == np.float32 and u64.dtype == np.float64
    assert np.all((0 <= u64 - u32) & (u64 - u32 < 2**-24)), "the same word, cut after 24 bits"
    n32, n64 = (Generator(seed).normal(shape, d) for d in (np.float32, np.float64))
    assert n32.dtype == np.float32
    np.testing.assert_array_equal(n32, n64.astype(np.float32))


# --------------------------------------------------------------------------- distribution
def test_moments_and_independence():
    """Over 200,000 numbers the mean of x^k is off by less than 5 standard errors."""
    n = 200_000
    u, z = Generator(1).uniform((n,), np.float64), Generator(1).normal((n,), np.float64)
    assert u.min() >= 0 and u.max() < 1
    for k in (1, 2, 3):
        error = math.sqrt(1 / (2 * k + 1) - 1 / (k + 1) ** 2)
        assert abs((u**k).mean() - 1 / (k + 1)) < 5 * error / math.sqrt(n)
    for k, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**k).mean() - moment) < 5 * math.sqrt(variance / n)
    other_seed, other_draw = Generator(2), Generator(1)
    other_draw.uniform(())
    for x in (other_seed.normal((n,), np.float64), other_draw.normal((n,), np.float64),
              np.roll(z, 1), np.roll(z, n // 2)):
        assert abs((x * z).mean()) < 5 / math.sqrt(n)


def test_float32_uniform_is_never_one():
    """u = floor(word / 2^40) / 2^24 <= 1 - 2^-24, so that log(1 - u) is finite."""
    from minidl.random import _uniform
    largest = np.array([2**64 - 1, 0], np.uint64)
    assert _uniform(largest, np.float32).tolist() == [1 - 2**-24, 0]
    assert _uniform(largest, np.float64).tolist() == [1 - 2**-53, 0]


@given(seed=seeds, n=st.integers(0, 50))
def test_permutation_and_integers(seed, n):
    assert sorted(Generator(seed).permutation(n).tolist()) == list(range(n))
    drawn = Generator(seed).integers(-2, 3, (200,))
    assert drawn.dtype == np.int64 and set(drawn.tolist()) == {-2, -1, 0, 1, 2}


# --------------------------------------------------------------------------- the global generator
def test_manual_seed_repeats_everything():
    """Also D3-DROPOUT's mask and D3-REPARAM's noise."""
    def all_draws():
        mu = minidl.zeros(3)
        return [t.numpy() for t in (
            minidl.rand(3), minidl.randn(2, 2), minidl.randint(0, 9, (4,)), minidl.randperm(6),
            F.dropout(minidl.ones(20), 0.5), F.reparameterize(mu, mu))]
    minidl.manual_seed(7)
    first = all_draws()
    minidl.manual_seed(7)
    for a, b in zip(first, all_draws()):
        assert np.array_equal(a, b)
    minidl.manual_seed(8)
    assert not np.array_equal(first[0], minidl.rand(3).numpy())


def test_own_generators_do_not_touch_the_global_one():
    before = minidl.random.default_generator().get_state()
    own = Generator(3)
    minidl.rand(2, generator=own)
    minidl.randn(2, generator=own)
    minidl.randint(0, 5, (2,), generator=own)
    minidl.randperm(5, generator=own)
    F.dropout(minidl.ones(4), 0.5, generator=own)
    F.reparameterize(minidl.zeros(2), minidl.zeros(2), generator=own)
    assert own.counter == 6 and minidl.random.default_generator().get_state() == before


def test_numpys_own_state_is_left_alone():
    np.random.seed(0)  # noqa: NPY002  the global state is what is under test
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    minidl.randn(10)
    minidl.randperm(10)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_draws_of_several_threads_are_all_different():
    """No draw is given out twice, however threads interleave."""
    generator, found = Generator(5), []

    def work():
        for _ in range(200):
            found.append(float(generator.uniform((), np.float64)))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert generator.counter == 800 and len(set(found)) == 800


def test_wrong_seeds():
    for seed, error, text in ((-1, ValueError, "got -1"), (2**64, ValueError, "2\\*\\*64"),
                              (1.5, TypeError, "whole number, got 1.5"), ("a", TypeError, "'a'"),
                              (True, TypeError, "whole number, got True")):
        with pytest.raises(error, match=f"manual_seed: seed must be .*{text}"):
            minidl.manual_seed(seed)
    with pytest.raises(TypeError, match="uniform: dtype must be float32 or float64, got int64"):
        Generator(0).uniform((2,), np.int64)
    assert repr(Generator(4)) == "Generator(seed=4, counter=0)"
