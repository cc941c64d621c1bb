"""What trained networks give: outputs for images, class probabilities, samples, codes.

All of it on the host, in evaluation mode, without gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..data import DataLoader, TensorDataset
from ..device import to_host
from ..modes import no_grad
from ..random import Generator
from ..tensor import Tensor
from .classifier_steps import scores

__all__ = ["asked", "class_probabilities", "decoded", "encoded", "predict", "prior_samples",
           "samples"]


# --------------------------------------------------------------------------- any network
def predict(model: Any, images: Any, batch_size: int = 250) -> np.ndarray:
    """The model's outputs (N, ...) for `images`, on the host, in evaluation mode, no gradients.

    `images` is a dataset, of which the first array is taken, or an array (N, ...). uint8 images
    (N, C, H, W) are scaled to [0, 1], as a DataLoader does, floats are given the model's dtype.
    Raises ValueError for no images, TypeError for a model that does not return one tensor.
    """
    training, outputs, loader = model.training, [], _loader_for(model, images, batch_size)
    model.eval()
    try:
        for (x,) in loader:
            with no_grad():
                output = model(x)
            if not isinstance(output, Tensor):
                raise TypeError("predict: the model must return one tensor, it returned a "
                                f"{type(output).__name__}")
            outputs.append(to_host(output.data))
    finally:
        model.train(training)
    return np.concatenate(outputs)


def _loader_for(model: Any, images: Any, batch_size: int) -> DataLoader:
    """Batches of what `predict` was given, as the model wants them."""
    if isinstance(images, DataLoader):
        raise TypeError("predict: images must be an array or a dataset, not a DataLoader; its "
                        "dataset is loader.dataset")
    images = images.arrays[0] if isinstance(images, TensorDataset) else images
    images = images.numpy() if isinstance(images, Tensor) else np.asarray(images)
    if images.ndim == 0 or len(images) == 0:
        raise ValueError(f"predict: no images, got shape {images.shape}")
    if images.dtype == np.uint8 and images.ndim != 4:
        raise ValueError(f"predict: uint8 images must be (N, C, H, W), got {images.shape}; "
                         "images[:, None] adds an axis for one channel")
    weight = next(iter(model.parameters()), None)
    if images.dtype.kind == "f" and weight is not None:
        images = images.astype(weight.dtype, copy=False)
    return DataLoader((images,), batch_size, device="cpu" if weight is None else weight.device)


def class_probabilities(model: Any, loader: Any) -> tuple[np.ndarray, np.ndarray]:
    """p (N, K), each row summing to 1, and the true labels (N,), of all images of `loader`."""
    rows, truth = [], []
    for logits, labels in scores(model, loader):
        rows.append(to_host(F.softmax(logits, 1).data))
        truth.append(to_host(labels.data))
    return np.concatenate(rows), np.concatenate(truth)


# --------------------------------------------------------------------------- a GAN
def asked(model: Any, n: int) -> np.ndarray | None:
    """The classes (n,) that `samples` asks for, 0, 1, 2 and so on in turn; None if the players are
    not told any."""
    return np.arange(n) % model.classes if model.classes else None


def samples(model: Any, n: int, seed: int = 0, labels: np.ndarray | None = None) -> np.ndarray:
    """`n` images (n, C, H, W) in [0, 1] from the noise of `seed`, in evaluation mode. Players that
    are told classes are told `labels` (n,), or those `asked`."""
    model.eval()
    generator, images = Generator(seed), []
    labels = asked(model, n) if labels is None else labels
    device = next(model.parameters()).device
    for start in range(0, n, 100):
        z = model.noise(min(100, n - start), generator)
        y = None if labels is None else Tensor(labels[start:start + 100]).to(device)
        with no_grad():
            fake = model(z, y)
        images.append(to_host(fake.data) / 2 + 0.5)
    return np.concatenate(images)


# --------------------------------------------------------------------------- a VAE
def decoded(model: Any, z: np.ndarray) -> np.ndarray:
    """The images (n, 1, H, W) that codes `z` (n, latent) stand for, pixels as the mean E[x|z]."""
    model.eval()
    device = next(model.parameters()).device
    images = []
    for start in range(0, len(z), 100):
        with no_grad():
            code = Tensor(z[start:start + 100].astype(np.float32), device=device)
            images.append(to_host(model.mean(model.decode(code)).data))
    return np.concatenate(images)


def prior_samples(model: Any, n: int, seed: int = 0) -> np.ndarray:
    """`n` images from the prior: z ~ N(0, I) from `seed`, decoded."""
    return decoded(model, Generator(seed).normal((n, model.latent)))


def encoded(model: Any, loader: Any) -> tuple[np.ndarray, np.ndarray]:
    """The means mu (N, latent) of q(z|x) for all images of `loader`, and their labels (N,)."""
    model.eval()
    device = next(model.parameters()).device
    codes, truth = [], []
    for images, labels in loader:
        with no_grad():
            codes.append(to_host(model.encode(images.to(device))[0].data))
        truth.append(labels.numpy())
    return np.concatenate(codes), np.concatenate(truth)
