"""Training a classifier: the five steps of D0 §3.1.3.

1. initialise weights and biases; 2. compute the features of the images; 3. let a loss judge them;
4. change weights and biases by gradient descent; 5. repeat 2-4 until it converges.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..data import DataLoader, TensorDataset
from ..device import to_host
from ..modes import no_grad
from ..tensor import Tensor

__all__ = ["ClassifierSteps", "class_probabilities", "predict", "scores"]


class ClassifierSteps:
    """One step of gradient descent on the cross entropy. Source: D0 §3.1.3, D0-CE.

    The loss takes the class numbers as they come, or, with ``one_hot``, as rows of 0 and one 1, as
    D4-CNN has them: the same number, up to rounding.
    """

    scale = "unit"       # pixels in [0, 1]
    drop_last = False

    def __init__(self, model: Any, optimizer: Any, one_hot: bool = False) -> None:
        # Step 1, the initial weights and biases, was done when the model was made.
        self.model, self.optimizers, self.one_hot = model, {"model": optimizer}, one_hot

    def step(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """images (N, C, H, W) in [0, 1], labels (N,): the loss before the step, and accuracy."""
        optimizer = self.optimizers["model"]
        logits = self.model(images)                      # step 2: features, down to ten scores
        loss = self._loss(logits, labels)                # step 3: the loss judges them
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()                                 # step 4: gradient descent
        return {"loss": loss.detach(), "accuracy": _hits(logits, labels).mean()}
        # Step 5, again until it converges, is the loop around this: Trainer.fit.

    def evaluate(self, loader: Any) -> dict[str, float]:
        """Mean cross entropy (nats) and accuracy over all images of `loader`."""
        loss, right, images = 0.0, 0.0, 0
        for logits, labels in scores(self.model, loader):
            loss += self._loss(logits, labels, "sum").item()
            right += _hits(logits, labels).sum().item()
            images += len(labels)
        return {"loss": loss / images, "accuracy": right / images}

    def _loss(self, logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
        targets = F.one_hot(labels, logits.shape[1]).float() if self.one_hot else labels
        return F.cross_entropy(logits, targets, reduction=reduction)


def _hits(logits: Tensor, labels: Tensor) -> Tensor:
    """1.0 where the largest score is the true class's, else 0.0."""
    return (logits.detach().argmax(1) == labels).float()


def scores(model: Any, loader: Any) -> Any:
    """(logits, labels), batch after batch, without gradients and in evaluation mode."""
    model.eval()
    device = next(iter(model.parameters())).device
    for images, labels in loader:
        with no_grad():
            logits = model(images.to(device))
        yield logits, labels.to(device)


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
