"""A run's config: the numbers of a training, as they stand in its config.json.

Its keys are ``model, options, epochs, batch_size, lr, seed, data, quick``.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..models import MODELS, Recipe

__all__ = ["config_for", "recipe_called", "valid_config"]

# --quick: images to train on and to test on, epochs, and the largest batch.
QUICK_RUNS = {"classifier": (1024, 300, 2, 64), "gan": (32, 96, 2, 16), "vae": (256, 100, 2, 64)}

TYPES = {"model": str, "options": dict, "epochs": int, "batch_size": int, "lr": (int, float),
         "seed": int, "data": (str, type(None)), "quick": bool}


def recipe_called(name: str) -> Recipe:
    """The recipe of that name. Raises ValueError with the names there are."""
    if name not in MODELS:
        raise ValueError(f"model: there is no {name!r}; there are {', '.join(MODELS)} (a run of "
                         "one's own network goes on by Trainer.resume, in the script that made it)")
    return MODELS[name]


def config_for(name: str, *, epochs: int | None = None, batch_size: int | None = None,
               lr: float | None = None, seed: int = 0, data: str | None = None,
               quick: bool = False, **options: Any) -> dict[str, Any]:
    """A run's config: the recipe's numbers unless given; `options` go to the model (`latent`)."""
    recipe = recipe_called(name)
    few, small = QUICK_RUNS[recipe.kind][2:] if quick else (recipe.epochs, recipe.batch_size)
    config = {
        "model": name, "options": options, "epochs": few if epochs is None else epochs,
        "batch_size": min(small, recipe.batch_size) if batch_size is None else batch_size,
        "lr": recipe.lr if lr is None else lr, "seed": seed, "data": data, "quick": quick}
    return valid_config({key: value.item() if isinstance(value, np.generic) else value
                         for key, value in config.items()})


def valid_config(config: dict[str, Any]) -> dict[str, Any]:
    """`config`. Raises ValueError for a key that is missing, a value of another type or out of
    range, and an option that the model does not take."""
    if isinstance(config.get("model"), str):
        recipe_called(config["model"])
    for key, kind in TYPES.items():
        if key not in config:
            raise ValueError(f"{key}: it is missing")
        if not _is_of(config[key], kind):
            raise ValueError(f"{key}: {config[key]!r} is of the wrong type")
    recipe, options = recipe_called(config["model"]), config["options"]
    try:
        inspect.signature(recipe.build).bind(**options)
    except TypeError as error:
        raise ValueError(f"options: {recipe.name} {error}") from error
    least = {"epochs": 1, "batch_size": 1, "seed": 0, "latent": 1}
    for key, value in {**config, **options}.items():
        if key in least and not _is_of(value, int):
            raise ValueError(f"{key.replace('_', '-')}: {value!r} is of the wrong type")
        if key in least and value < least[key]:
            raise ValueError(f"{key.replace('_', '-')}: {value} is too small, it must be at least "
                             f"{least[key]}")
    if not 0 < config["lr"] < float("inf"):
        raise ValueError(f"lr: {config['lr']} is no learning rate, it must be above 0")
    return config


def _is_of(value: Any, kind: Any) -> bool:
    """Is it of this type? To Python True is an int, here it is none."""
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
