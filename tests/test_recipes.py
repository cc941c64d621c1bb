"""How each network of MODELS is trained: every number of every recipe beside what its document
prints, and what a run makes of the recipe: networks, optimisers, batches.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

import minidl
from minidl import cli, data, nn, optim, training
from minidl.models import MODELS
from minidl.training.config import config_for
from minidl.training.job import Job


class Row(NamedTuple):
    procedure: type
    optimizer: type
    lr: float
    options: dict                      # of the optimiser
    epochs: int
    batch_size: int
    schedule: str = "always"
    pad: int = 0                       # digits of 28x28 become 32x32 by 2 pixels on each side,
    shrink: int = 1                    # and those 16x16 by the mean of 2x2


ADAM, KERAS_ADAM = ({"betas": (0.9, 0.999), "eps": eps} for eps in (1e-8, 1e-7))
HALF, KERAS_HALF = ({"betas": (0.5, 0.999), "eps": eps} for eps in (1e-8, 1e-7))
KERAS_RMSPROP = {"alpha": 0.5, "eps": 1e-7}                    # RMSprop(2e-4, 0.5): 0.5 is rho
steps = training
RECIPES = {
    "cnn": Row(steps.ClassifierSteps, optim.Adam, 4e-3, KERAS_ADAM, 2, 128, "one cycle"),
    "cnn-dropout": Row(steps.ClassifierSteps, optim.Adam, 1e-3, KERAS_ADAM, 10, 64),
    "cnn-padded": Row(steps.ClassifierSteps, optim.Adam, 1e-3, ADAM, 5, 64),
    "cnn-rgb": Row(steps.ClassifierSteps, optim.Adam, 1e-3, KERAS_ADAM, 10, 128),
    "resnet": Row(steps.ClassifierSteps, optim.Adam, 4e-3, ADAM, 3, 128, "one cycle"),
    "attention": Row(steps.ClassifierSteps, optim.Adam, 3e-3, ADAM, 4, 128, "one cycle"),
    "gan": Row(steps.GANSteps, optim.RMSprop, 2e-4, KERAS_RMSPROP, 4, 64),
    "gan-16": Row(steps.GANSteps, optim.RMSprop, 2e-4, KERAS_RMSPROP, 4, 16, pad=2, shrink=2),
    "dcgan": Row(steps.GANSteps, optim.Adam, 1e-3, HALF, 6, 64, pad=2),
    "gan-upsample": Row(steps.GANSteps, optim.Adam, 2e-4, KERAS_HALF, 5, 32, pad=2),
    "gan-dense": Row(steps.GANSteps, optim.Adam, 2e-4, KERAS_HALF, 3, 128),
    "lsgan": Row(steps.LSGANSteps, optim.Adam, 1.5e-3, HALF, 4, 32, "falling"),
    "wgan": Row(steps.WGANSteps, optim.RMSprop, 1e-3, {"alpha": 0.99, "eps": 1e-8}, 5, 96,
                "falling"),
    "wgan-gp": Row(steps.WGANPenaltySteps, optim.Adam, 1e-3, {"betas": (0.5, 0.9), "eps": 1e-8}, 5,
                   96, "falling"),
    "cgan": Row(steps.CGANSteps, optim.Adam, 1.5e-3, HALF, 6, 32, "falling"),
    "vae": Row(steps.VAESteps, optim.Adam, 1e-3, KERAS_ADAM, 5, 128),
    "small-gan": Row(steps.GANSteps, optim.RMSprop, 2e-3, KERAS_RMSPROP, 3, 64, "falling"),
    "small-vae": Row(steps.VAESteps, optim.Adam, 4e-3, KERAS_ADAM, 3, 128, "one cycle"),
}
# What the documents print. Keras's Adam() is Adam(1e-3, 0.9, 0.999, 1e-7), and its fit() takes
# batches of 32 where nothing is said. D1's, D2's and D4's GANs count single steps, not epochs.
PRINTED = {
    "cnn": {"lr": 1e-3, "options": KERAS_ADAM, "epochs": 5, "batch_size": 32},
    "cnn-dropout": {"lr": 1e-3, "options": KERAS_ADAM, "epochs": 10, "batch_size": 32},
    "cnn-padded": {"lr": 1e-3, "options": ADAM, "batch_size": 64},
    "cnn-rgb": {"lr": 1e-3, "options": KERAS_ADAM, "epochs": 10, "batch_size": 128},
    "gan": {"lr": 2e-4, "options": KERAS_RMSPROP, "batch_size": 16},
    "gan-16": {"lr": 2e-4, "options": KERAS_RMSPROP, "batch_size": 16},
    "dcgan": {"lr": 2e-4, "options": ADAM, "batch_size": 64},
    "gan-upsample": {"lr": 2e-4, "options": KERAS_HALF, "batch_size": 32},
    "gan-dense": {"lr": 1e-3, "options": KERAS_ADAM, "batch_size": 128},
    "vae": {"lr": 1e-3, "options": KERAS_ADAM, "epochs": 5, "batch_size": 32},
}
# Where a recipe is not what is printed: the shortest way to 99 %, larger batches than Keras's 32
# (so fewer steps), and the two GANs that make no digits as printed (E0.3, E4.1).
CHANGED = {("cnn", "lr"), ("cnn", "epochs"), ("cnn", "batch_size"), ("cnn-dropout", "batch_size"),
           ("gan", "batch_size"), ("dcgan", "lr"), ("dcgan", "options"), ("gan-dense", "lr"),
           ("gan-dense", "options"), ("vae", "batch_size")}
SHARES = {  # of the learning rate, at the share t of the run
    "always": lambda t: 1.0, "falling": lambda t: 1.0 - t,
    "one cycle": lambda t: (0.1 + (1 - 0.1) * t / 0.25 if t < 0.25 else
                            math.cos(math.pi / 2 * (t - 0.25) / 0.75) ** 2)}


def small(name: str) -> dict:
    """Options that make a network small, where it has such."""
    if MODELS[name].kind == "vae":
        return {"latent": 2}
    return {"width": 2} if MODELS[name].kind == "gan" and name != "dcgan" else {}


@cache
def job(name: str) -> Job:
    """A quick run's job, with batches that do not divide the training set."""
    return Job(config_for(name, quick=True, batch_size=24, seed=4, **small(name)))


def test_a_recipe_departs_from_its_document_only_where_that_is_said():
    """D0-CNN, D1-CNN, D2-CNN, D4-CNN, D0-GAN, D1-GAN, D2-GAN, D4-GAN, D1-VAE, E0.3, E4.1."""
    found = {(name, key) for name, printed in PRINTED.items() for key, value in printed.items()
             if getattr(RECIPES[name], key) != value}
    assert found == CHANGED


@pytest.mark.parametrize("name", MODELS)
def test_every_number_of_a_recipe(name):
    """D0-ADAM, D1-RMSPROP, and every system that has a recipe: what trains it, and how long."""
    row, recipe = RECIPES[name], MODELS[name]
    config = config_for(name)
    assert config == {"model": name, "options": {}, "epochs": row.epochs, "lr": row.lr,
                      "batch_size": row.batch_size, "seed": 0, "data": None, "quick": False}
    assert (recipe.pad, recipe.shrink, recipe.one_hot) == (row.pad, row.shrink, name == "cnn-rgb")
    model, procedure = job(name).model, job(name).procedure
    assert type(procedure) is row.procedure and procedure.model is model
    players = ({player: getattr(model, player) for player in ("generator", "discriminator")}
               if recipe.kind == "gan" else {"model": model})
    assert list(procedure.optimizers) == list(players)
    for player, optimizer in procedure.optimizers.items():
        (group,) = optimizer.param_groups
        assert type(optimizer) is row.optimizer and group["lr"] == row.lr
        assert {key: group[key] for key in row.options} == row.options
        assert group["weight_decay"] == 0 and group.get("momentum", 0) == 0
        owned = list(players[player].parameters())
        assert len(owned) == len(group["params"])
        assert all(a is b for a, b in zip(owned, group["params"]))
    if recipe.kind == "classifier":
        assert procedure.one_hot is (name == "cnn-rgb")


@pytest.mark.parametrize("name", MODELS)
def test_a_recipe_s_schedule_at_every_moment(name):
    schedule = MODELS[name].schedule or (lambda t: 1.0)
    for t in np.linspace(0, 1, 41):
        assert schedule(t) == pytest.approx(SHARES[RECIPES[name].schedule](t), abs=1e-12), t


@pytest.mark.parametrize("name", MODELS)
def test_what_is_given_goes_before_the_recipe(name):
    given = {"epochs": 7, "batch_size": 9, "lr": 0.25, "seed": 3, "data": "somewhere"}
    assert config_for(name, **given).items() >= given.items()
    assert config_for(name, quick=True, **given).items() >= given.items()


@pytest.mark.parametrize("kind, train, test, epochs, batch_size", [
    ("classifier", 1024, 300, 2, 64), ("gan", 32, 96, 2, 16), ("vae", 256, 100, 2, 64)])
def test_a_quick_run_is_so_long(kind, train, test, epochs, batch_size):
    for name, recipe in MODELS.items():
        if recipe.kind == kind:
            config = config_for(name, quick=True)
            assert (config["epochs"], config["batch_size"]) == (epochs, batch_size)
            splits = job(name).splits
            assert (len(splits.train), len(splits.test)) == (train, test)


# --------------------------------------------------------------------------- batches, weights
def seen(name: str, images: np.ndarray) -> np.ndarray:
    """uint8 images as the network's kind sees them: padded by background, means of blocks, then in
    [-1, 1] for a GAN, in [0, 1] for the others."""
    pad, k = RECIPES[name].pad, RECIPES[name].shrink
    x = np.pad(images.astype(np.float64), [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    N, C, H, W = x.shape
    x = x.reshape(N, C, H // k, k, W // k, k).mean((3, 5))
    return x / 127.5 - 1 if MODELS[name].kind == "gan" else x / 255


@pytest.mark.parametrize("name", MODELS)
def test_batches_are_shuffled_whole_and_scaled(name):
    """A GAN's batches are whole ones alone; a classifier's and a VAE's last one may be smaller; the
    test set comes in order, all of it."""
    made, is_gan = job(name), MODELS[name].kind == "gan"
    train, test, loader = made.splits.train, made.splits.test, made.train_loader()
    sizes = [len(labels) for _, labels in loader]
    rest = len(train) % 24
    assert rest and sizes == [24] * (len(train) // 24) + [rest] * (not is_gan)
    order = data.DataLoader(train, 24, shuffle=True, seed=4).order(0)
    assert (order != np.arange(len(train))).any()
    loader.set_epoch(0)
    images, labels = next(iter(loader))
    np.testing.assert_allclose(images.numpy(), seen(name, train.images[order[:24]]), atol=1e-6)
    assert images.shape[1:] == MODELS[name].image
    assert np.array_equal(labels.numpy(), train.labels[order[:24]])
    batches = list(made.test_loader())
    assert [len(t) for _, t in batches] == ([250, len(test) - 250] if len(test) > 250
                                            else [len(test)])
    assert np.array_equal(np.concatenate([t.numpy() for _, t in batches]), test.labels)
    np.testing.assert_allclose(batches[0][0].numpy(), seen(name, test.images[:250]), atol=1e-6)
    assert sum(len(t) for _, t in made.test_loader(7)) == 7


@pytest.mark.parametrize("name", ["cnn", "wgan", "cgan"])
def test_first_weights_are_the_seed_s(name):
    found = [p.numpy() for p in Job(config_for(name, quick=True, seed=11, **small(name)))
             .model.parameters()]
    minidl.manual_seed(11)
    model: nn.Module = MODELS[name].build(**small(name))
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(found, model.parameters(), strict=True))


def test_a_run_of_the_command_line_takes_the_recipe_s_schedule(tmp_path):
    """After the last of K steps the learning rate is lr times the schedule at (K - 1) / K."""
    folder = tmp_path / "run"
    assert cli.main(["train", "lsgan", "--quick", "--epochs", "1", "--out", str(folder)]) == 0
    state = training.checkpoint.read_state(folder / "checkpoint.safetensors")
    K = len(Job(config_for("lsgan", quick=True)).train_loader())
    rates = [group["lr"] for o in state["optimizers"].values() for group in o["param_groups"]]
    assert rates == pytest.approx([1.5e-3 * (1 - (K - 1) / K)] * 2)


@pytest.mark.parametrize("number, least", [("epochs", 1), ("batch_size", 1), ("seed", 0),
                                           ("latent", 1)])
def test_the_least_number_of_a_config(number, least):
    config = config_for("vae", **{number: least})
    assert {**config, **config["options"]}[number] == least
    name = number.replace("_", "-")
    with pytest.raises(ValueError, match=f"{name}: {least - 1} is too small, it must be at least "
                       f"{least}"):
        config_for("vae", **{number: least - 1})
