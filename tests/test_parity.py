"""The documents' networks against PyTorch, by what it was recorded to make of the same numbers.

Both sides start from equal weights and see equal batches, noise and dropout masks
(fixtures/parity_inputs.py); fixtures/make_parity.py wrote PyTorch's gradients and losses down.
The quick cases of D1-GAN, D2-GAN and D4-GAN are narrower than the documents' (the option `width`);
the slow ones have the full width, in float64.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.parity_inputs import CASES, Case, batch, fingerprint, noise, weight

import minidl
import minidl.functional as F
from minidl.models import MODELS
from minidl.tensor import Tensor

RECORD = Path(__file__).parent / "fixtures" / "parity.npz"
EVERY = [pytest.param(case, marks=[pytest.mark.slow] if case.slow else [], id=case.name)
         for case in CASES.values()]
FIRST = [pytest.param(*case.values, dtype, tolerance, id=f"{case.id}-{dtype}", marks=case.marks)
         for case in EVERY for dtype, tolerance in ((minidl.float32, 1e-5), (minidl.float64, 1e-10))
         if dtype == minidl.float64 or not case.marks or case.values[0].steps32]
IN_FLOAT32 = [param for param in EVERY if param.values[0].steps32]


@pytest.fixture(scope="module")
def record():
    """What PyTorch made: gradients and losses by case and dtype."""
    with np.load(RECORD) as file:
        return dict(file)


class Run:
    """A network of a case with its optimisers, and its losses at a step."""

    def __init__(self, case: Case, dtype: np.dtype):
        self.case, self.recipe, self.dtype = case, MODELS[case.model], dtype
        self.model = self.recipe.build(**case.options).to(dtype)
        self.model.load_state_dict(
            {name: weight(case, name, p.shape) for name, p in self.model.named_parameters()},
            strict=False)                                     # running statistics stay 0 and 1
        self.gan = self.recipe.kind == "gan"
        self.parts = ([self.model.discriminator, self.model.generator] if self.gan
                      else [self.model])
        # Recorded with Keras's default rate; the recipe of cnn has a larger one, and a schedule.
        rate = 1e-3 if case.model == "cnn" else self.recipe.lr
        self.optimizers = [self.recipe.optimizer(part.parameters(), rate) for part in self.parts]

    def tensor(self, array: np.ndarray) -> Tensor:
        return Tensor(array, dtype=self.dtype)

    def losses(self, step: int):
        """One loss after the other, each computed when the step before it may have been taken."""
        minidl.manual_seed(step)                              # of the dropout masks
        images, labels = batch(self.case, step, self.recipe.image, self.gan)
        x, model = self.tensor(images), self.model
        if self.gan:
            z1, z2 = map(self.tensor, noise(self.case, step, model.latent))
            real = model.discriminator(x)
            yield F.gan_discriminator_loss(real, model.discriminator(model(z1).detach()))
            yield F.gan_generator_loss(model.discriminator(model(z2)))
        elif self.recipe.kind == "vae":
            eps = self.tensor(noise(self.case, step, model.latent)[0])
            output, mu, logvar = model(x, eps)
            yield -F.elbo(model.log_likelihood(output, x), F.gaussian_kl(mu, logvar, "none"))
        elif self.case.model == "cnn-rgb":                    # D4: one-hot rows
            yield F.cross_entropy(model(x), self.tensor(F.one_hot(Tensor(labels), 10).numpy()))
        else:
            yield F.cross_entropy(model(x), Tensor(labels))

    def first(self) -> dict[str, np.ndarray]:
        """The gradients of the first step's losses, at the initial weights."""
        found = {}
        for part, loss in zip(self.parts, self.losses(0)):
            self.model.zero_grad()
            loss.backward()
            own = set(part.parameters())
            found |= {name: p.grad.numpy()
                      for name, p in self.model.named_parameters() if p in own}
        return found

    def train(self, steps: int) -> np.ndarray:
        rows = []
        for step in range(steps):
            row = []
            for optimizer, loss in zip(self.optimizers, self.losses(step)):
                self.model.zero_grad()
                loss.backward()
                optimizer.step()
                row.append(loss.item())
            rows.append(row)
        return np.array(rows)


@pytest.mark.parametrize("case, dtype, tolerance", FIRST)
def test_first_gradients_are_pytorchs(case, dtype, tolerance, record):
    """D0-CNN, D1-CNN, D2-CNN, D4-CNN, D0-GAN, D1-GAN, D2-GAN, D4-GAN, D1-VAE: the first step's
    loss to the tolerance, and its gradients to the tolerance times their largest entry.

    Where a gradient is a sum that nearly cancels, PyTorch's float32 is itself that far from its
    float64 (batch norm over 8 examples, the discriminator's last bias). There four times PyTorch's
    own distance is allowed.
    """
    key = f"{case.name}/{dtype}"
    loss = next(Run(case, dtype).losses(0)).item()
    assert loss == pytest.approx(record[f"{key}/losses"][0, 0], rel=tolerance)
    grads = Run(case, dtype).first()
    theirs = record[f"{key}/first"].astype(np.float64)
    exact, names = record[f"{case.name}/float64/first"], record[f"{case.name}/names"]
    assert sorted(grads) == sorted(names)
    ends = np.cumsum([len(fingerprint(grads[name])) for name in names])
    for name, here, right in zip(names, np.split(theirs, ends[:-1]), np.split(exact, ends[:-1])):
        ours = fingerprint(grads[name])
        assert ours.dtype == dtype
        scale = np.full(len(ours), right[1])                  # the largest entry
        scale[0] = right[0]                                   # of the norm, the norm
        allowed = max(tolerance, 4 * np.abs((here - right) / scale).max())
        off = np.abs((ours - here) / scale).max()
        assert off <= allowed, f"{name}: off by {off:.1e} of its largest entry, not {allowed:.0e}"


@pytest.mark.parametrize("case", EVERY)
def test_losses_in_float64_are_pytorchs(case, record):
    """Step after step, so optimisers and batch norm too: 1e-9 (a GAN's row is D's loss, G's)."""
    ours = Run(case, minidl.float64).train(case.steps)
    np.testing.assert_allclose(ours, record[f"{case.name}/float64/losses"], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("case", IN_FLOAT32)
def test_losses_in_float32_stay_near_pytorchs(case, record):
    """D1-CNN and D1-VAE, 50 steps to 5e-4. No GAN: its path in float32 is chaotic, and PyTorch's
    differs from PyTorch's."""
    ours = Run(case, minidl.float32).train(case.steps32)
    np.testing.assert_allclose(ours, record[f"{case.name}/float32/losses"], rtol=5e-4)


@pytest.mark.parametrize("case", EVERY)
def test_state_dicts_have_pytorchs_names_and_shapes(case, record):
    state = Run(case, minidl.float32).model.state_dict()
    assert [f"{name} {t.shape}" for name, t in state.items()] == list(record[f"{case.name}/state"])


def test_a_state_dict_saved_by_pytorch_loads(record):
    """D1-GAN: weights, and running statistics for evaluation, from PyTorch's safetensors file."""
    safetensors = pytest.importorskip("safetensors.numpy")
    run = Run(Case("saved", "gan-16", 8, 3, {"width": 1}), minidl.float32)
    run.model.load_state_dict(safetensors.load_file(RECORD.with_suffix(".safetensors")))
    run.model.eval()
    with minidl.no_grad():
        images = run.model(run.tensor(noise(run.case, 0, 100)[0])).numpy()
    np.testing.assert_allclose(images, record["saved/images"], rtol=1e-4, atol=1e-6)
