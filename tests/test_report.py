"""What a run shows of itself, number by number: samples, their film, and what a judge takes them
for."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import models, training
from minidl.training import Run, report
from minidl.training.config import config_for
from minidl.training.job import Job

SMALL = {"lsgan": {"width": 2, "latent": 3}, "cgan": {"width": 2, "latent": 3},
         "vae": {"latent": 2}}


def job(name: str) -> Job:
    return Job(config_for(name, quick=True, **SMALL.get(name, {})))


@pytest.mark.parametrize("name", SMALL)
def test_samples_are_the_kind_s_own(name):
    """Of a GAN, of a VAE; of a conditional GAN the digits in turn, or one that is asked for."""
    made = job(name)
    samples = training.outputs.prior_samples if name == "vae" else training.outputs.samples
    assert np.array_equal(report.generated_images(made, 12, 3), samples(made.model, 12, 3))
    if name == "cgan":
        assert report.asked_classes(made, 12).tolist() == [*range(10), 0, 1]
        sevens = training.outputs.samples(made.model, 12, 3, np.full(12, 7))
        assert np.array_equal(report.generated_images(made, 12, 3, "7"), sevens)
    else:
        assert report.asked_classes(made, 12) is None


@pytest.mark.parametrize("name", SMALL)
def test_the_film_s_frames_are_the_same_noise_after_each_epoch(name, tmp_path):
    """64 samples, 100 where each digit has a column, of seed 0, as bytes; what comes after an epoch
    that is repeated is dropped."""
    made, run, expected = job(name), Run.create({"model": name}, tmp_path / "run"), []
    n = 100 if name == "cgan" else 64
    for epoch in (0, 1, 2, 1):
        with minidl.no_grad():
            for p in made.model.parameters():
                p.mul_(1.1)
        report.after_epoch(run, made, epoch)
        expected[epoch:] = [np.round(255 * report.generated_images(made, n, 0))]
        assert np.array_equal(np.load(run.folder / "samples.npy"), np.array(expected))
    assert abs(expected[0] - expected[1]).max() > 0


class Columns(minidl.nn.Module):
    """A judge whose logits are the first ten pixels of the third row."""

    def __init__(self):
        super().__init__()
        self.weight = minidl.nn.Parameter(np.ones(1, np.float32))

    def forward(self, x):
        return x.reshape(len(x), 784)[:, 56:66] * self.weight


def test_what_a_judge_takes_images_for(monkeypatch):
    """Shares of each class, the mean of the largest probability, and the share as asked."""
    monkeypatch.setattr(Job, "model", Columns())
    rng = np.random.default_rng(0)
    logits = rng.uniform(0, 5, (40, 10)).astype(np.float32)
    images = np.zeros((40, 1, 28, 28), np.float32)
    images[:, 0, 2, :10] = logits
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    called, asked = p.argmax(1), np.arange(40) % 10
    expected = {str(k): np.mean(called == k) for k in range(10)}
    # The same digits with a border of 2, as the networks of 32x32 make them.
    for given in (images, np.pad(images, [(0, 0), (0, 0), (2, 2), (2, 2)])):
        found = report.judged(given, job("cnn"), asked)
        assert found["confidence"] == pytest.approx(p.max(1).mean(), rel=1e-6)
        assert found["shares"] == pytest.approx(expected)
        assert found["as_asked"] == pytest.approx(np.mean(called == asked))


def test_images_of_16x16_are_doubled_before_they_are_judged(monkeypatch):
    """16x16 to 32x32, each pixel twice both ways, and the border of 2 cut off: row 2 of what the
    judge sees is row 2 of the small picture, its columns 1, 1, 2, 2 and so on."""
    monkeypatch.setattr(Job, "model", Columns())
    small = np.random.default_rng(1).uniform(0, 5, (9, 1, 16, 16)).astype(np.float32)
    logits = small[:, 0, 2, 1:6].repeat(2, 1)
    found = report.judged(small, job("cnn"))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found["confidence"] == pytest.approx(p.max(1).mean(), rel=1e-6)
    assert set(found) == {"confidence", "shares"}
    assert list(found["shares"]) == [str(k) for k in range(10)]        # also of those never called
    assert sum(found["shares"].values()) == pytest.approx(1)


def test_a_run_s_network_comes_back_at_rest(tmp_path):
    """load_model: the checkpoint's weights, not those of the seed, and no dropout."""
    config = config_for("cnn-dropout", quick=True)
    made, run = Job(config), Run.create(config, tmp_path / "run")
    with minidl.no_grad():
        for p in made.model.parameters():
            p.mul_(1.5)
    training.Trainer(made.procedure, made.train_loader(), run=run).save()
    model = training.load_model(run.folder)
    images = minidl.rand(3, 1, 28, 28)
    assert not any(module.training for module in model.modules())
    assert np.array_equal(model(images).numpy(), made.model.eval()(images).numpy())


def test_every_kind_of_model_is_known_here():
    assert {recipe.kind for recipe in models.MODELS.values()} == {"classifier", "gan", "vae"}
