"""Training a classifier: the five steps that the document on CNNs and GANs (D0, §3.1.3) lists.

1. initialise weights and biases; 2. compute the features of the images; 3. let a loss judge them;
4. change weights and biases by gradient descent; 5. repeat 2-4 until it converges.
"""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..modes import no_grad
from ..tensor import Tensor

__all__ = ["ClassifierSteps", "scores"]


class ClassifierSteps:
    """One step of gradient descent on the cross entropy. Source: D0 §3.1.3, D0-CE.

    The loss takes the labels as class numbers, or, with ``one_hot``, as rows of one 1 and else 0,
    which is what the small network for colour images (D4-CNN) is given. Both ways give one loss, up
    to rounding.
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
        loss, right, count = 0.0, 0.0, 0
        for logits, labels in scores(self.model, loader):
            loss += self._loss(logits, labels, "sum").item()
            right += _hits(logits, labels).sum().item()
            count += len(labels)
        return {"loss": loss / count, "accuracy": right / count}

    def _loss(self, logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
        targets = F.one_hot(labels, logits.shape[1]).float() if self.one_hot else labels
        return F.cross_entropy(logits, targets, reduction=reduction)


def _hits(logits: Tensor, labels: Tensor) -> Tensor:
    """1.0 where the largest score is the true class's, else 0.0."""
    return (logits.detach().argmax(1) == labels).float()


def scores(model: Any, loader: Any) -> Any:
    """(logits, labels), batch after batch, without gradients. The model is in evaluation mode from
    the first batch on, and stays so."""
    model.eval()                         # in a generator: when the first batch is asked for
    device = next(iter(model.parameters())).device
    for images, labels in loader:
        with no_grad():
            logits = model(images.to(device))
        yield logits, labels.to(device)
