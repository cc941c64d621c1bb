"""Films of trainings: frames of some moments beside one recorded step; the training is the same."""

from __future__ import annotations

import numpy as np
import pytest
from test_cli import few_digits as few_digits

import minidl
from minidl import cli, nn, optim, training
from minidl.explain.trace import Trace
from minidl.models.vae import VAE
from minidl.training.filming import Filmed
from minidl.training.gan_steps import GANSteps
from minidl.training.vae_steps import VAESteps


def test_a_film_has_frames_and_one_recorded_step(few_digits, tmp_path, capsys):
    film, out = str(tmp_path / "film.json.gz"), str(tmp_path / "run")
    assert cli.main(["train", "cnn", "--data", str(few_digits), "--epochs", "1", "--batch-size",
                     "16", "--out", out, "--device", "cpu", "--film", film]) == 0
    weights = training.load_model(out).state_dict()
    trace = Trace.load(tmp_path / "film.json.gz")
    assert [frame["step"] for frame in trace.frames] == [0, 1, 2, 3]
    assert trace.frames[0]["numbers"] == {} and trace.frames[3]["numbers"].keys() == {
        "loss", "accuracy"}
    (turn,) = trace.turns
    first, last = (trace.arrays[f["arrays"]["kernels"]] for f in (trace.frames[0],
                                                                 trace.frames[-1]))
    trained = next(n for n in trace.nodes if n["name"] == "0.weight")
    assert first.shape == (32, 1, 3, 3) and (first != last).any()
    assert (trace.value(trained["id"]) == last).all() and turn["optimizer"] == "Adam"
    assert (weights["0.weight"].numpy() == last).all()     # the recorded step was put back
    assert cli.main(["train", "--resume", out, "--film", film]) == 2
    assert "--film belongs to a new run" in capsys.readouterr().err


class TinyGAN(nn.Module):
    """4x4 images of one channel from codes of two numbers."""

    latent, classes = 2, None

    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))
        self.discriminator = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 1))

    def noise(self, n, generator=None):
        return minidl.randn(n, 2, generator=generator)

    def forward(self, z, y=None):
        return self.generator(z)


class TinyVAE(VAE):
    def __init__(self):
        nn.Module.__init__(self)
        self.latent, self.likelihood = 2, "bernoulli"
        self.encoder, self.decoder = nn.Linear(16, 4), nn.Linear(2, 16)

    def encode(self, x):
        code = self.encoder(x.flatten(1))
        return code[:, :2], code[:, 2:]

    def decode(self, z):
        return self.decoder(z).reshape(-1, 1, 4, 4)


def steps_of(kind):
    if kind == "gan":
        model = TinyGAN()
        return GANSteps(model, optim.Adam(model.generator.parameters()),
                        optim.Adam(model.discriminator.parameters()))
    model = TinyVAE()
    return VAESteps(model, optim.Adam(model.parameters()))


@pytest.mark.parametrize("kind", ["gan", "vae"])
def test_samples_are_drawn_from_the_same_noise_and_change_nothing(kind):
    losses = []
    for film in (True, False):
        minidl.manual_seed(0)
        steps = steps_of(kind)
        steps.model.train()
        procedure = Filmed(steps, 120) if film else steps
        losses.append([{k: v.item() for k, v in procedure.step(minidl.rand(3, 1, 4, 4)).items()}
                       for _ in range(120)])
        if film:
            frames, was = procedure.frames, procedure.model.training
    assert losses[0] == losses[1] and was
    assert [step for step, _ in frames] == list(range(0, 121, 5))
    pixels = [frame["samples"] for _, frame in frames]
    assert all(p.shape == (8, 1, 4, 4) and p.dtype == np.uint8 for p in pixels)
    assert (pixels[0] != pixels[-1]).any() and ("kernels" in frames[0][1]) == (kind == "gan")
    assert frames[-1][1].keys() - {"samples", "kernels"} == losses[0][0].keys()
