"""From a run's config to all that it needs: data, model, procedure, loaders.

Training, resuming, evaluating and sampling all start here, so a run folder says by itself what it
is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import data
from ..models import Recipe
from ..random import manual_seed
from . import checkpoint, restore
from .classifier_steps import ClassifierSteps
from .config import QUICK_RUNS, recipe_called, valid_config
from .gan_steps import GANSteps
from .gan_variants import CGANSteps, LSGANSteps, WGANPenaltySteps, WGANSteps
from .resumable import restore_model
from .run import Run
from .vae_steps import VAESteps

__all__ = ["Job", "load_model", "trained"]

PROCEDURES = {"classifier": ClassifierSteps, "gan": GANSteps, "vae": VAESteps,
              "lsgan": LSGANSteps, "wgan": WGANSteps, "wgan-gp": WGANPenaltySteps,
              "cgan": CGANSteps}


@dataclass
class Job:
    """What a config stands for; data and model are made when first asked for."""

    config: dict[str, Any]
    device: str = "cpu"
    trained_on: str | None = None         # the fingerprint that the training data must have

    def __post_init__(self) -> None:
        valid_config(self.config)

    @classmethod
    def of(cls, run: Run, device: str = "cpu") -> Job:
        """What a run folder's config stands for. Raises ValueError if it is damaged."""
        try:
            return cls(run.config, device)
        except ValueError as error:
            raise ValueError(f"run: {run.folder / 'config.json'}: {error}") from error

    @property
    def recipe(self) -> Recipe:
        return recipe_called(self.config["model"])

    @cached_property
    def splits(self) -> data.Splits:
        """The data: MNIST, or what is in config["data"]; a few hundred images of it if quick."""
        folder, quick = self.config["data"], self.config["quick"]
        if self.recipe.image[0] == 3:
            splits = data.cifar10(folder) if folder else data.synthetic_rgb()
        else:
            splits = data.mnist(folder)
        train, test = splits.train, splits.test
        if quick:
            n_train, n_test, _, _ = QUICK_RUNS[self.recipe.kind]
            train, test = train.subset(slice(n_train)), test.subset(slice(n_test))
        self._check_size(train.images.shape[1:], splits.name)
        if self.trained_on not in (None, restore.fingerprint(train)):
            raise ValueError(f"data: {splits.name} is not what the run was made with; config.json "
                             "says where its data lies")
        return data.Splits(train, test, splits.name, splits.notice)

    def _check_size(self, shape: tuple[int, ...], name: str) -> None:
        channels, height, width = shape
        pad, shrink = self.recipe.pad, self.recipe.shrink
        made = (channels, (height + 2 * pad) // shrink, (width + 2 * pad) // shrink)
        if made != self.recipe.image:
            raise ValueError(f"data: {self.recipe.name} takes images of {self.recipe.image} "
                             f"(channels, height, width), {name} gives {made}")

    @cached_property
    def model(self) -> Any:
        """The network with the first weights of the config's seed, on the device."""
        options = dict(self.config["options"])
        if self._knows_classes and len(self.splits.classes) != 10:
            options["classes"] = len(self.splits.classes)
        manual_seed(self.config["seed"])
        try:
            return self.recipe.build(**options).to(self.device)
        except (TypeError, ArithmeticError) as error:
            raise ValueError(f"options: {self.recipe.name} cannot be made with {options} ({error})"
                             ) from error

    @property
    def _knows_classes(self) -> bool:
        return self.recipe.kind == "classifier" or self.recipe.steps == "cgan"

    @property
    def told(self) -> tuple[str, ...]:
        """The names of the classes that a conditional GAN is told; none for another model."""
        return self.splits.classes if self.recipe.steps == "cgan" else ()

    @property
    def _steps(self) -> Any:
        return PROCEDURES[self.recipe.steps or self.recipe.kind]

    @cached_property
    def procedure(self) -> Any:
        """The documents' training steps for this kind of model, with the recipe's optimisers."""
        recipe, lr, model = self.recipe, self.config["lr"], self.model
        players = [model.generator, model.discriminator] if recipe.kind == "gan" else [model]
        optimizers = [recipe.optimizer(player.parameters(), lr) for player in players]
        options = {"one_hot": True} if recipe.one_hot else {}
        return self._steps(model, *optimizers, **options)

    def train_loader(self) -> data.DataLoader:
        """Shuffled batches of the training set."""
        return self._loader(self.splits.train, self.config["batch_size"], shuffle=True,
                            drop_last=self._steps.drop_last)

    def test_loader(self, n: int | None = None) -> data.DataLoader:
        """The test set (its first `n` images), in order."""
        test = self.splits.test
        return self._loader(test if n is None else test.subset(slice(n)), 250)

    def _loader(self, dataset: Any, batch_size: int, **more: Any) -> data.DataLoader:
        recipe = self.recipe
        return data.DataLoader(dataset, batch_size, seed=self.config["seed"],
                               scale=self._steps.scale, pad=recipe.pad, shrink=recipe.shrink,
                               device=self.device, **more)


def trained(run: Run, device: str = "cpu") -> Job:
    """The job of a run folder, its model with the checkpoint's weights, in evaluation mode. Raises
    FileNotFoundError before there is a checkpoint, ValueError for one that is damaged or was made
    with another config."""
    job = Job.of(run, device)
    state = checkpoint.read_state(run.checkpoint)
    try:
        restore.check_form(state)
        job.trained_on = state["made_with"].pop("data", None)
        restore.check_origin(state["made_with"], restore.made_with(run.config))
        restore_model(job.model, state, job.recipe.name)
    except (TypeError, ValueError) as error:
        raise ValueError(f"checkpoint: {run.checkpoint}: {error}") from error
    run.mark = state["log"]
    job.model.eval()
    return job


def load_model(folder: str | Path, device: str = "cpu") -> Any:
    """The trained network of the run in `folder`, in evaluation mode."""
    return trained(Run.open(folder), device).model
