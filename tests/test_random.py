"""Noise is a pure function of (seed, counter, element): repeatable, resumable, well distributed."""

from __future__ import annotations

import copy
import itertools
import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
import minidl.functional as F
from minidl import Generator, Tensor, nn, random
from minidl.models.gan import GAN
from minidl.models.vae import VAE
from minidl.training.vae_steps import negative_elbo

seeds = st.integers(0, 2**64 - 1)
floats = st.sampled_from([np.float32, np.float64])
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


# --------------------------------------------------------------------------- from any element on
def cipher(block: int, seed: int, counter: int) -> list[int]:
    """The four words of a block: Philox 4x64-10 as the paper has it, in integers of any size."""
    x, (a, b), key = [block, 0, 0, 0], (0xD2E7470EE14C6C93, 0xCA5A826395121157), [seed, counter]
    for _ in range(10):
        (high, low), (high2, low2) = divmod(a * x[0], 2**64), divmod(b * x[2], 2**64)
        x = [high2 ^ x[1] ^ key[0], low2, high ^ x[3] ^ key[1], low]
        key = [(key[0] + 0x9E3779B97F4A7C15) % 2**64, (key[1] + 0xBB67AE8584CAA73B) % 2**64]
    return x


@given(seed=seeds, counter=seeds, n=st.integers(0, 9),
       first=st.integers(0, 9) | st.integers(0, 2**63 - 9) | st.just(2**63 - 9))
def test_elements_against_the_cipher_written_out(seed, counter, n, first):
    """Element e is word e mod 4 of block e div 4 + 1, wherever the draw begins: in the last of its
    2^63 elements too, and at once, for those before are not made."""
    def word(e):
        return cipher(e // 4 + 1, seed, counter)[e % 4]

    words = [word(e) for e in range(first, first + n)]
    found = random.uniform((n,), seed, counter, first=first)
    assert found.tolist() == [(w >> 40) / 2**24 for w in words]
    assert random.uniform((n,), seed, counter, np.float64, first).tolist() == [
        (w >> 11) / 2**53 for w in words]
    kept = F.dropout(minidl.ones(n), 0.5, generator=at(seed, counter), first=first).numpy()
    assert kept.tolist() == [2 * (w >> 63) for w in words]
    expected = []
    for e in range(first, first + n):
        u, v = ((word(e - e % 2 + k) >> 11) / 2**53 for k in (0, 1))
        turn = math.sin if e % 2 else math.cos
        expected.append(math.sqrt(-2 * math.log1p(-u)) * turn(2 * math.pi * v))
    found = random.normal((n,), seed, counter, np.float64, first)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def at(seed: int, counter: int) -> Generator:
    """A generator whose next draw is number `counter` under `seed`."""
    generator = Generator(seed)
    generator.set_state((seed, counter))
    return generator


def mask(generator, shape, dtype=np.float32, first=0):
    return F.dropout(Tensor(np.ones(shape, dtype)), 0.4, generator=generator, first=first).numpy()


def images_mask(generator, shape, dtype=np.float32, first=0):
    """Of images with the channels last in memory."""
    images = np.moveaxis(np.ones((shape[0], *shape[2:], *shape[1:2]), dtype), -1, 1)
    return F.dropout(Tensor(images), 0.4, generator=generator, first=first).numpy()


def code(generator, shape, dtype=np.float32, first=0):
    mu = Tensor(np.zeros(shape, dtype))
    return F.reparameterize(mu, mu, generator=generator, first=first).numpy()


PIECES = {"uniform": Generator.uniform, "normal": Generator.normal, "dropout": mask,
          "channels last": images_mask, "reparameterize": code}


@st.composite
def cuts(draw, most: int):
    """0 = c_0 <= c_1 <= ... <= c_k = n: where a whole of n is cut; pieces may be empty."""
    n = draw(st.integers(0, most))
    return [0, *sorted(draw(st.lists(st.integers(0, n), max_size=4))), n]


@pytest.mark.parametrize("draw", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("which", ["reference", "fast"])
@given(seed=seeds, counter=st.integers(0, 2**64 - 2), places=cuts(12),
       rest=st.sampled_from([(), (1,), (3,), (2, 5), (3, 2, 1), (5, 7, 9), (4, 30, 30), (0, 2)]),
       first=st.integers(0, 9) | st.integers(0, 2**62), dtype=floats)
def test_the_pieces_of_a_draw_are_the_whole_draw(
        draw, which, seed, counter, places, rest, first, dtype):
    """D3-DROPOUT, D3-REPARAM: rows of any size, cut anywhere (inside blocks of four words and pairs
    of normals too), small ones by NumPy and large ones by kernels. Each piece is one draw."""
    if draw is images_mask and len(rest) != 3:
        rest = (3, 2, 5)
    size = math.prod(rest)
    minidl.use_kernels(which)
    try:
        whole = draw(at(seed, counter), (places[-1], *rest), dtype, first=first)
        pieces = []
        for a, b in itertools.pairwise(places):
            generator = at(seed, counter)
            pieces.append(draw(generator, (b - a, *rest), dtype, first=first + a * size))
            assert generator.get_state() == (seed, counter + 1)
    finally:
        minidl.use_kernels("fast")
    assert whole.dtype == dtype
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
@given(seed=seeds, places=cuts(3000), dtype=floats)
def test_a_long_draw_in_pieces(kind, seed, places, dtype):
    """Bit for bit, whatever NumPy's wide instructions do at the ends of an array."""
    draw = getattr(Generator, kind)
    pieces = [draw(Generator(seed), (b - a,), dtype, first=a)
              for a, b in itertools.pairwise(places)]
    np.testing.assert_array_equal(np.concatenate(pieces), draw(Generator(seed), places[-1:], dtype))


@given(places=cuts(7), seed=seeds)
def test_a_share_of_a_batch_gets_the_noise_of_its_place(places, seed):
    """D3-GAN-V, D3-REPARAM, D3-WGAN, D3-ELBO: z, eps and u of rows a to b are rows a to b of the
    whole's; so losses of shares, weighted by their sizes, are the loss of the whole batch."""
    minidl.manual_seed(1)
    gan, vae = GAN(nn.Linear(5, 4), nn.Linear(4, 1), 5).double(), TinyVAE().double()
    images = minidl.rand(places[-1], 4, dtype=minidl.float64)

    def drawn(a, b):
        x, z = images[a:b], gan.noise(b - a, at(seed, 6), first_row=a)
        random.default_generator().set_state((seed, 6))
        output = vae(x, first_row=a)[0]
        losses = [negative_elbo(vae, x, at(seed, 6), first_row=a)[0],
                  F.gradient_penalty(lambda x: x**3, x, z[:, :4], 10.0, at(seed, 6), first=a)]
        return (z.numpy(), output.detach().numpy(), *((b - a) * loss.item() for loss in losses))

    shares = [drawn(a, b) for a, b in itertools.pairwise(places) if a < b]
    if shares:
        z, output, *losses = zip(*shares)
        whole = drawn(0, places[-1])
        np.testing.assert_array_equal(np.concatenate(z), whole[0])
        np.testing.assert_allclose(np.concatenate(output), whole[1], rtol=1e-12)
        np.testing.assert_allclose([sum(each) for each in losses], whole[2:], rtol=1e-12)
    assert gan.noise(0, first_row=3).shape == (0, 5)


class TinyVAE(VAE):
    """D1-VAE's procedure, with two dense layers."""

    def __init__(self):
        nn.Module.__init__(self)
        self.latent, self.likelihood = 3, "bernoulli"
        self.encoder, self.decoder = nn.Tanh(), nn.Linear(3, 4)
        self.mu, self.logvar = nn.Linear(4, 3), nn.Linear(4, 3)


def test_a_layer_begins_where_it_is_told():
    layer, generator = nn.Dropout(0.3), random.default_generator()
    before = generator.get_state()
    found = layer(minidl.ones(40), first=7)
    generator.set_state(before)
    assert np.array_equal(found.numpy(), layer(minidl.ones(47)).numpy()[7:])
    assert generator.counter == before[1] + 1 and 0 < np.count_nonzero(found.numpy()) < 40


def test_dropout_of_a_number():
    """D3-DROPOUT: without axes as with one."""
    for seed in range(8):
        x = minidl.tensor(3.0, requires_grad=True)
        y = F.dropout(x, 0.4, generator=Generator(seed))
        y.backward()
        kept = Generator(seed).uniform() >= 0.4
        assert y.shape == () and y.dtype == minidl.float32
        assert [y.item(), x.grad.item()] == [np.float32(kept / 0.6) * 3, np.float32(kept / 0.6)]


def test_where_a_draw_cannot_begin():
    """Refused by name, before the draw is taken."""
    own, gan = Generator(3), GAN(nn.Linear(5, 4), nn.Linear(4, 1), 5)
    mu = minidl.zeros(2, 3)
    calls = {"uniform: first": lambda k: own.uniform((4,), first=k),
             "normal: first": lambda k: own.normal((2, 2), first=k),
             "dropout: first": lambda k: F.dropout(minidl.ones(4), generator=own, first=k),
             "reparameterize: first": lambda k: F.reparameterize(mu, mu, generator=own, first=k),
             "noise: first_row": lambda k: gan.noise(4, own, first_row=k),
             "VAE: first_row": lambda k: TinyVAE()(minidl.zeros(4, 4), first_row=k),
             "negative_elbo: first_row": lambda k: negative_elbo(TinyVAE(), minidl.zeros(4, 4), own,
                                                                 first_row=k)}
    for name, call in calls.items():
        for k, error, text in (
                (-1, ValueError, "must be at least 0, got -1"),
                (2**63, ValueError, "must be at most .*, for a draw has 2.*63 elements, got 9223"),
                (10**400, ValueError, "must be at most .* got an integer of 1329 bits"),
                (1.5, TypeError, "must be a whole number, got 1.5"),
                (True, TypeError, "must be a whole number, got True"),
                ("3", TypeError, "must be a whole number, got '3'")):
            with pytest.raises(error, match=f"^{name} {text}"):
                call(k)
    with pytest.raises(ValueError, match=f"at most {2**63 - 4}, .* got {2**63 - 3}"):
        own.uniform((np.int64(4),), first=2**63 - 3)
    assert own.uniform((4,), first=np.int64(2**63 - 4)).shape == (4,)
    assert gan.noise(3, own, first_row=2**63 // 5 - 3).shape == (3, 5)
    with pytest.raises(ValueError, match=f"noise: first_row must be at most {2**63 // 5 - 3}, "):
        gan.noise(3, own, first_row=2**63 // 5 - 2)
    for call in (lambda k: TinyVAE()(minidl.zeros(5, 4), first_row=k),
                 lambda k: negative_elbo(TinyVAE(), minidl.zeros(5, 4), own, first_row=k)):
        call(2**63 // 3 - 5)                                  # 5 codes of 3 numbers each
        with pytest.raises(ValueError, match=f"first_row must be at most {2**63 // 3 - 5}, "):
            call(2**63 // 3 - 4)
    assert own.counter == 3


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
