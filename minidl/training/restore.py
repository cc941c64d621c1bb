"""What a run's checkpoint must hold, checked whole before anything takes a number from it."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np

from .. import random
from ..data import DataLoader
from ..device import is_array, namespace
from ..files import saving

# Keys of a run's state, and what their values are.
FORM = {"model_name": str, "made_with": dict, "epochs": int, "epoch": int, "step": int,
        "sums": dict, "images": int, "random": list, "history": list, "log": list, "model": dict,
        "optimizers": dict, "moved": dict}


def fingerprint(dataset: Any) -> str:
    """A checksum of all examples of a dataset: the same for the same data, wherever it lies."""
    return saving.checksum({str(i): np.asarray(array) for i, array in enumerate(dataset.arrays)})


def made_with(config: dict[str, Any], loader: Any = None) -> dict[str, Any]:
    """What a run cannot go on without: its config, but how far it goes (epochs) and where its data
    lies; of the loader, the batches and a fingerprint of the data."""
    kept = {key: value for key, value in config.items() if key not in ("epochs", "data")}
    kept = json.loads(json.dumps(kept))           # as config.json has it
    if loader is None:
        return kept
    dataset = getattr(loader, "dataset", None)
    return {"batch_size": loader.batch_size, "seed": getattr(loader, "seed", None), **kept,
            "data": fingerprint(dataset) if hasattr(dataset, "arrays") else None}


def check_form(state: Any) -> None:
    """Every key is there, with a value of its kind and range. Raises ValueError."""
    for key, kind in FORM.items():
        if not isinstance(state, dict) or type(state.get(key)) is not kind:
            raise ValueError(f'its "{key}" is missing, or of the wrong type')
    for key in ("epochs", "epoch", "step", "images"):
        _require(state[key] >= 0, f'its "{key}" is {state[key]}, it must not be negative')
    _require(all(map(_is_finite_number, state["sums"].values())),
             'its "sums" are no finite numbers')
    told = all(isinstance(record, dict) and all(map(_is_finite_number, record.values()))
               for record in state["history"])
    _require(told and [record.get("epoch") for record in state["history"]]
             == [*range(1, state["epoch"] + 1)],
             'its "history" is not a record of finite numbers for each of its epochs')
    size, digest = [*state["log"], None, None][:2]
    _require(type(size) is int and size >= 0 and isinstance(digest, str), 'its "log" is no mark')
    random.Generator().set_state(state["random"])


def check_origin(saved: dict[str, Any], now: dict[str, Any]) -> None:
    """A run goes on as it was begun. Raises ValueError for a config, or data, that was changed."""
    for key in sorted({*saved, *now}, key=lambda key: (key == "data", key)):
        if saved.get(key) == now.get(key):
            continue
        if key == "data":
            raise ValueError("the run was made with other data than these")
        raise ValueError(f"the run was made with {key} {saved.get(key)!r}, now it is "
                         f"{now.get(key)!r}: put it back (config.json), or begin another run")


def check_weights(model: Any, state: dict[str, Any], name: str) -> None:
    """The weights are those of the model called `name`, of its types, and finite."""
    _require(state.get("model_name") == name,
             f"it holds the model {state.get('model_name')!r}, {name!r} is needed")
    for key, tensor in model.state_dict().items():
        array = state["model"].get(key)
        if array is None:
            continue                              # loading lists all that is missing
        _require(isinstance(array, np.ndarray), f"its {key} is no array")
        _require(array.dtype == tensor.dtype, f"its {key} is {array.dtype}, the model's "
                 f"{tensor.dtype}")
        _require(array.dtype.kind != "f" or bool(np.isfinite(array).all()),
                 f"its {key} is not finite")


def check_place(state: dict[str, Any], loader: Any) -> None:
    """The place is one that the loader's epochs have, and the sums are those of that many images.
    """
    step, images = state["step"], state["images"]
    _require(step <= len(loader), f"its step is {step}, an epoch has {len(loader)}")
    if isinstance(loader, DataLoader):
        right = images == min(step * loader.batch_size, len(loader.dataset))
    else:
        right = (images > 0) == (step > 0)
    _require(right and bool(state["sums"]) == (step > 0),
             f'its "sums" are of {images} images, after {step} steps')


def check_optimizers(state: dict[str, Any], optimizers: dict[str, Any]) -> None:
    """Each optimiser could go on from what was saved of it."""
    saved = state["optimizers"]
    _require(saved.keys() == optimizers.keys(), f"it holds the optimisers {', '.join(saved)}; "
             f"needed are {', '.join(optimizers)}")
    for name, optimizer in optimizers.items():
        trial = copy.copy(optimizer)              # its own groups and state, the same parameters
        trial.param_groups = [dict(group) for group in optimizer.param_groups]
        try:
            trial.load_state_dict(saved[name])
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"its optimiser {name} is damaged ({error})") from error
        _require(all(bool(namespace(v).isfinite(v).all()) for entry in trial.state.values()
                     for v in entry.values() if is_array(v)),
                 f"its optimiser {name} holds nan or infinity")
        _require(len(trial.state) == state["moved"].get(name), f"its optimiser {name} has state of "
                 f"{len(trial.state)} parameters, it moved {state['moved'].get(name)}")


def _is_finite_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < math.inf


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
