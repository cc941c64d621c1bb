"""WGAN, LSGAN and CGAN: what their steps refuse, the conditions, the recipes on the command line,
and the two scripts that show them. Their steps against the formulas are in test_gan_step.py."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from test_training import Quiet, assert_same, state

import minidl
from examples import EXAMPLES, load_example
from minidl import cli, data, formulas, optim, plots, training
from minidl.models import MODELS, SmallGAN
from minidl.random import Generator
from minidl.training import Run, Trainer
from minidl.training.config import config_for
from minidl.training.job import Job
from minidl.training.report import judged

VARIANTS = {"lsgan": training.LSGANSteps, "wgan": training.WGANSteps,
            "wgan-gp": training.WGANPenaltySteps, "cgan": training.CGANSteps}


def small(name: str, lr: float = 0.05, **options):
    """A tiny GAN of float64 that plain gradient descent moves."""
    model = SmallGAN(latent=3, width=2, classes=10 * (name == "cgan")).double()
    return VARIANTS[name](model, *(optim.SGD(player.parameters(), lr=lr)
                                   for player in (model.generator, model.discriminator)), **options)


def digits(n: int) -> minidl.Tensor:
    return minidl.rand(n, 1, 28, 28, dtype=np.float64) * 2 - 1


# --------------------------------------------------------------------------- what a step is
def test_what_a_step_refuses():
    with pytest.raises(ValueError, match="3 turns, got 2"):
        small("wgan").step(digits(2))
    with pytest.raises(ValueError, match="WGANSteps: clip is -0.1, it must be above 0"):
        small("wgan", clip=-0.1)
    with pytest.raises(ValueError, match="WGANSteps: clip is 0, it must be above 0"):
        small("wgan", clip=0)
    with pytest.raises(ValueError, match="turns is 0, it must be at least 1"):
        small("wgan-gp", turns=0)
    with pytest.raises(ValueError, match="weight is -1, it must not be negative"):
        small("wgan-gp", weight=-1)


# --------------------------------------------------------------------------- the condition
def test_what_the_players_are_told():
    """D3-CGAN: a row of one 1 behind noise; of D's numbers the class's own."""
    model, labels = SmallGAN(classes=3, width=2, latent=4), [2, 0]
    z, scores, y = minidl.rand(2, 4), minidl.rand(2, 3), minidl.tensor(labels)
    row = model.told(z, y).numpy()
    assert np.array_equal(row, np.concatenate([z.numpy(), np.eye(3)[labels]], 1))
    assert row.dtype == np.float32
    one = model.of_class(scores, y).numpy()
    assert np.array_equal(one, [[scores.numpy()[0, 2]], [scores.numpy()[1, 0]]])
    with pytest.raises(ValueError, match=r"told: labels must be \(2,\).*got None"):
        model.told(z, None)
    with pytest.raises(ValueError, match=r"of_class: labels must be \(2,\).*got \(3,\)"):
        model.of_class(scores, minidl.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="one_hot"):
        model.told(z, minidl.tensor([0, 3]))


def test_the_generator_answers_to_the_class():
    """Asked for another class, G draws another image of the same noise."""
    model, z = SmallGAN(classes=10, width=2), minidl.rand(1, 64)
    model.eval()
    images = [model(z, minidl.tensor([y])).numpy() for y in (3, 5)]
    assert abs(images[0] - images[1]).max() > 1e-3


def test_samples_ask_for_the_classes_in_turn():
    model = SmallGAN(classes=10, width=2)
    assert training.outputs.asked(model, 12).tolist() == [*range(10), 0, 1]
    assert training.outputs.asked(SmallGAN(width=2), 5) is None
    images = training.outputs.samples(model, 103, seed=4)
    assert images.shape == (103, 1, 28, 28) and images.min() >= 0 and images.max() <= 1
    rng = Generator(4)
    with minidl.no_grad():
        model.noise(100, rng)
        again = model(model.noise(3, rng), minidl.tensor([0, 1, 2])).numpy() / 2 + 0.5
    assert np.array_equal(images[100:], again)


def test_judged_counts_what_was_asked_for():
    judge = Job(config_for("cnn", quick=True))
    images = data.mnist().test.images[:40] / np.float32(255)
    loader = data.DataLoader((images, np.zeros(40, np.int64)), 40)
    called = training.outputs.class_probabilities(judge.model, loader)[0].argmax(1)
    asked = np.where(np.arange(40) < 30, called, (called + 1) % 10)
    assert judged(images, judge, asked)["as_asked"] == 0.75
    assert "as_asked" not in judged(images, judge)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_on_a_gpu_is_the_cpus(gpu, name):
    """On the stand-in for CuPy, with the readable arithmetic."""
    before, found = minidl.kernels_in_use(), []
    minidl.use_kernels("reference")
    try:
        for device in ("cpu", "cuda"):
            minidl.manual_seed(4)
            steps, images = small(name), digits(3)
            steps.model.to(device)
            losses = steps.step(images.to(device), minidl.tensor([3, 1, 3]).to(device))
            found.append([*(value.item() for value in losses.values()),
                          *(p.numpy().sum() for p in steps.model.parameters()),
                          training.outputs.samples(steps.model, 2).sum()])
    finally:
        minidl.use_kernels(before)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)


# --------------------------------------------------------------------------- recipes, runs
def test_recipes_train_by_their_own_steps():
    for name, procedure in VARIANTS.items():
        job = Job(config_for(name, quick=True))
        assert type(job.procedure) is procedure
        images, labels = next(iter(job.train_loader()))
        first = job.procedure.step(images, labels)
        assert all(np.isfinite(value.item()) for value in first.values())
        tested = job.procedure.evaluate(job.test_loader(20))
        assert set(tested) == {"d_real", "d_fake"}
        if name == "cgan":
            assert 0 < tested["d_real"] < 1


def test_recipes_are_one_network():
    """One architecture for all; only cgan's players take the class besides."""
    shapes = {name: {k: v.shape for k, v in MODELS[name].build().state_dict().items()}
              for name in VARIANTS}
    assert shapes["lsgan"] == shapes["wgan"] == shapes["wgan-gp"]
    other = {k for k, v in shapes["cgan"].items() if shapes["wgan"][k] != v}
    assert other == {"generator.0.weight", "discriminator.5.weight", "discriminator.5.bias"}


def test_a_wgan_resumes(tmp_path):
    """A run stopped after one epoch and resumed gives the weights of two epochs in one go."""
    images = np.linspace(-1, 1, 12 * 784).reshape(12, 1, 28, 28).astype(np.float32)

    def trainer(run):
        minidl.manual_seed(1)
        model = SmallGAN(width=2, latent=3)
        steps = training.WGANPenaltySteps(model, *(
            optim.Adam(p.parameters()) for p in (model.generator, model.discriminator)))
        loader = data.DataLoader((images, np.zeros(12, np.int64)), 6, shuffle=True)
        return Trainer(steps, loader, run=run, show=Quiet())

    whole = trainer(Run.create({"model": "wgan-gp"}, tmp_path / "whole"))
    whole.fit(2)
    halves = Run.create({"model": "wgan-gp"}, tmp_path / "halves")
    trainer(halves).fit(1)
    second = trainer(halves)
    second.resume()
    second.fit(2)
    assert_same(state(whole), state(second))


def test_curves_of_scores_are_not_held_to_probabilities():
    steps = [{"epoch": i / 9, "d_loss": -3.0 - i, "g_loss": 2.0, "d_real": 5.0 + i, "d_fake": -4.0}
             for i in range(10)]
    left, right = plots.gan_curves(steps, scores=True).axes
    assert left.get_ylim()[0] < -11 and right.get_ylim()[1] > 13
    assert len(left.get_lines()) == 4                       # two losses and their means, no 2 ln 2
    left, right = plots.gan_curves(steps).axes
    assert left.get_ylim()[0] == 0 and right.get_ylim() == (0, 1)


@pytest.mark.slow
def test_a_conditional_run_is_sampled_and_judged(tmp_path, capsys):
    """D3-CGAN by the command line: ten columns of samples, and the share as asked."""
    run, judge = tmp_path / "cgan", tmp_path / "cnn"
    assert cli.main(["train", "cnn", "--quick", "--out", str(judge)]) == 0
    assert cli.main(["train", "cgan", "--quick", "--out", str(run)]) == 0
    assert np.load(run / "samples.npy").shape == (3, 100, 1, 28, 28)
    assert cli.main(["evaluate", str(run), "--judge", str(judge), "--number", "100"]) == 0
    assert "% as asked" in capsys.readouterr().out
    found = json.loads((run / "evaluation.json").read_text())["judged"]
    assert 0 <= found["as_asked"] <= 1 and found["samples"] == 100


# --------------------------------------------------------------------------- the scripts
def linear(procedure):
    """A tiny GAN whose D is linear, x . w + b: its steps, w (784,), b."""
    gan = SmallGAN(width=2, latent=3).double()
    gan.discriminator = minidl.nn.Sequential(minidl.nn.Flatten(), minidl.nn.Linear(784, 1)).double()
    w, b = (p.numpy().ravel() for p in gan.discriminator.parameters())
    return procedure(gan, None, None), w, b


def test_the_gradient_that_reaches_the_generator():
    """For a linear D the lengths by hand: ||w||, for the WGAN; |D(x) - 1| ||w||, for the LSGAN;
    (1 - D(x)) ||w|| without and D(x) ||w|| with the saturating loss."""
    reaching, fakes = load_example("gan_losses").gradient_reaching, digits(6)
    for procedure, of_score in ((training.WGANSteps, np.ones_like),
                                (training.LSGANSteps, lambda s: abs(s - 1)),
                                (training.GANSteps, lambda s: 1 - formulas.sigmoid(s))):
        steps, w, b = linear(procedure)
        s = fakes.numpy().reshape(6, -1) @ w + b
        expected = np.mean(of_score(s)) * np.linalg.norm(w)
        assert reaching(steps, fakes) == pytest.approx(expected)
    expected = np.mean(formulas.sigmoid(s)) * np.linalg.norm(w)
    assert reaching(steps, fakes, saturating=True) == pytest.approx(expected)


@pytest.mark.parametrize("procedure", [training.GANSteps, training.WGANSteps])
def test_what_is_measured_by_hand(monkeypatch, procedure):
    """D's means over digits and over the very fakes of the seed, which the judge is given too."""
    script, seen = load_example("gan_losses"), []
    shares = {"0": 0.6, "1": 0.04, "2": 0.36}
    monkeypatch.setattr(script, "judged", lambda images, judge: seen.append((images, judge)) or {
        "confidence": 0.75, "shares": shares})
    steps, w, b = linear(procedure)
    real, judge = digits(5), object()
    row = script.measured(steps, real, judge, seed=3)
    drawn = training.outputs.samples(steps.model, 5, seed=3)
    (judged_images, by), = seen
    assert by is judge and np.array_equal(judged_images, drawn)
    output = formulas.sigmoid if procedure is training.GANSteps else lambda s: s
    d_real = output(real.numpy().reshape(5, -1) @ w + b)
    d_fake = output((2 * drawn - 1).reshape(5, -1) @ w + b)
    expected = {"real": d_real.mean(), "fake": d_fake.mean(), "gap": d_real.mean() - d_fake.mean(),
                "doubt": 0.25, "rarest": 0.04, "gradient": np.linalg.norm(w)}
    if procedure is training.GANSteps:
        expected["saturating"] = np.mean(d_fake) * np.linalg.norm(w)
        expected["gradient"] = np.mean(1 - d_fake) * np.linalg.norm(w)
    assert row == pytest.approx(expected)


def test_the_last_turn_is_measured(monkeypatch):
    script, images = load_example("gan_losses"), data.mnist().train.images[:64]
    monkeypatch.setattr(script, "measured", lambda *_: {"gap": 1.0, "doubt": 0.5})
    rows, _ = script.train("GAN", images, None, None, turns=3, every=2, seed=0)
    assert [row["turn"] for row in rows] == [2, 3]


def test_the_rates_are_the_trainers(monkeypatch):
    """D3-LSGAN: the whole learning rate at the first step, and not yet none at the last."""
    script, images, rates = load_example("gan_losses"), data.mnist().train.images[:64], []
    recipe, step = MODELS["lsgan"], training.LSGANSteps.step

    def recording(self, images, labels=None):
        rates.append([o.param_groups[0]["lr"] for o in self.optimizers.values()])
        return step(self, images, labels)

    monkeypatch.setattr(training.LSGANSteps, "step", recording)
    monkeypatch.setattr(script, "measured", lambda *_: {})
    script.train("LSGAN", images, None, None, turns=4, every=4, seed=0)
    by_script, rates[:] = rates[:], []
    job = Job(config_for("lsgan", epochs=2))
    job.splits = data.Splits(data.mnist().train[:64], None, "64 digits")
    Trainer(job.procedure, job.train_loader(), schedule=recipe.schedule, show=Quiet()).fit(2)
    assert by_script == rates and len(rates) == 4
    assert rates[0] == [recipe.lr] * 2 and rates[-1][0] > 0


def test_a_correlation_or_none():
    """Warnings are errors here: a nan would come with one."""
    correlation = load_example("gan_losses").correlation
    rows = [{"gap": gap, "doubt": doubt} for gap, doubt in ((1, 3), (2, 2), (3, 4))]
    assert correlation(rows) == "0.50"
    assert correlation(rows[:1]) == "-"
    assert correlation([{**row, "doubt": 0.5} for row in rows]) == "-"


def test_the_scripts_turns_are_the_procedures():
    """D3-CGAN: the loop that the script writes out gives the weights of CGANSteps, bit for bit."""
    script, images, y = load_example("conditional_gan"), minidl.rand(4, 1, 28, 28), [5, 5, 0, 8]
    found = []
    for by_hand in (True, False):
        minidl.manual_seed(2)
        model = SmallGAN(width=2, classes=10)
        g, d = (optim.Adam(p.parameters()) for p in (model.generator, model.discriminator))
        if by_hand:
            script.discriminator_turn(model, d, images, minidl.tensor(y))
            script.generator_turn(model, g, minidl.tensor(y))
        else:
            training.CGANSteps(model, g, d).step(images, minidl.tensor(y))
        found.append({name: p.numpy() for name, p in model.named_parameters()})
    assert_same(*found)


def library_cgan(n: int, epochs: int, seed: int):
    """What `minidl train cgan` does with the first `n` digits: the GAN, and its steps' losses."""
    job, losses = Job(config_for("cgan", epochs=epochs, seed=seed)), []
    job.splits = data.Splits(data.mnist().train[:n], None, f"{n} digits")
    step = job.procedure.step
    job.procedure.step = lambda x, y: losses.append(step(x, y)) or losses[-1]
    trainer = Trainer(job.procedure, job.train_loader(), schedule=job.recipe.schedule, show=Quiet())
    trainer.fit(epochs)
    return job.model, losses


def test_the_script_trains_as_the_command_line_does():
    """D3-CGAN: weights, batches, noise and rates of `minidl train cgan`, bit for bit."""
    by_script = load_example("conditional_gan").train(data.mnist().train[:96], epochs=2, seed=3)
    by_library, losses = library_cgan(96, epochs=2, seed=3)
    assert len(losses) == 6
    assert_same(*({name: tensor.numpy() for name, tensor in gan.state_dict().items()}
                  for gan in (by_script, by_library)))


def test_shares_as_asked_and_rows_of_one_noise():
    script, model = load_example("conditional_gan"), SmallGAN(width=2, classes=10)
    judge = Job(config_for("cnn", quick=True)).model.eval()
    images = training.outputs.samples(model, 30, seed=7)
    with minidl.no_grad():
        called = judge(minidl.tensor(images)).numpy().argmax(1)
    by_hand = [np.mean([called[10 * i + y] == y for i in range(3)]) for y in range(10)]
    assert script.as_asked(model, judge, 3, seed=7) == pytest.approx(by_hand)
    sheet = script.same_noise(model, 2, seed=5)
    z = model.noise(2, Generator(5))
    with minidl.no_grad():
        one = model(z[1:], minidl.tensor([7])).numpy() / 2 + 0.5
    assert sheet.shape == (20, 1, 28, 28) and sheet[17] == pytest.approx(one[0], abs=1e-5)


@pytest.mark.parametrize("name, wrong, message", [
    ("conditional_gan", ["--epochs", "0"], "0 is too small, at least 1"),
    ("gan_losses", ["--turns", "0"], "0 is too small, at least 1"),
])
def test_wrong_numbers_are_refused_before_training(monkeypatch, capsys, name, wrong, message):
    monkeypatch.setattr(sys, "argv", [name, *wrong])
    monkeypatch.setattr(data, "mnist", lambda: pytest.fail("it went on"))
    with pytest.raises(SystemExit, match="2"):
        load_example(name).main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("asked, epochs", [("", 1), ("--epochs 3", 3)])
def test_what_is_asked_for_goes_before_quick(monkeypatch, asked, epochs):
    script = load_example("conditional_gan")
    monkeypatch.setattr(sys, "argv", ["conditional_gan.py", "--quick", *asked.split()])
    monkeypatch.setattr(script, "train", lambda *given, **_: sys.exit(f"{given[1]}"))
    with pytest.raises(SystemExit, match=f"^{epochs}$"):
        script.main()


def run_quickly(name: str, tmp_path) -> str:
    picture = tmp_path / f"{name}.png"
    done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py", "--quick", "--out", picture],
                          capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    return done.stdout


@pytest.mark.slow
def test_gan_losses_runs(tmp_path):
    """D3-WGAN, D3-LSGAN: a line of the table for each loss, of its last measurement."""
    told, _, table = run_quickly("gan_losses", tmp_path).partition("gap ~ doubt")
    for title in ("GAN", "LSGAN", "WGAN, clipped", "WGAN, penalty"):
        numbers = re.search(rf"^{title} +([\d.]+) +([\d.]+)% +(\S+) +(\S+) +(\S+) +(\S+)$", table,
                            re.MULTILINE).groups()
        confidence, rarest, real, fake, gradient = map(float, numbers[:-1])
        turns = re.findall(rf"^{title}: turn (\d) real (\S+) fake (\S+) gap (\S+) doubt (\S+) ",
                           told, re.MULTILINE)
        assert [turn for turn, *_ in turns] == ["2", "4"]
        last = [float(value) for value in turns[-1]]
        found = [real, fake, real - fake, 1 - confidence]              # of four digits each
        assert found == pytest.approx(last[1:], rel=1e-3, abs=2e-3)
        assert rarest <= 10 and gradient > 0 and numbers[-1] == "-"      # of two points: none
        if title == "GAN":
            assert 0 < real < 1 and 0 < fake < 1


@pytest.mark.slow
def test_conditional_gan_runs(tmp_path):
    """D3-CGAN: the losses of the library's last step, and the shares of its digits."""
    out = run_quickly("conditional_gan", tmp_path)
    gan, losses = library_cgan(320, epochs=1, seed=0)
    d_loss, g_loss = (losses[-1][name].item() for name in ("d_loss", "g_loss"))
    assert f"step 10/10: D's loss {d_loss:.3f}, G's {g_loss:.3f}\n" in out
    judge = Job(config_for("cnn", epochs=1, quick=True))
    Trainer(judge.procedure, judge.train_loader(), schedule=judge.recipe.schedule,
            show=Quiet()).fit(1)
    expected = load_example("conditional_gan").as_asked(gan, judge.model, 10, seed=1)
    shares = [float(share) for share in re.findall(r"^ +\d +(\d+\.\d)%$", out, re.MULTILINE)]
    assert shares == pytest.approx(100 * expected)
    everything = re.search(r"^all +(\d+\.\d)%", out, re.MULTILINE)
    assert float(everything[1]) == pytest.approx(100 * expected.mean(), abs=0.06)
