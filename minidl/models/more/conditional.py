"""A class told to the two players of a generative adversarial network."""

from __future__ import annotations

from ... import functional as F
from ...tensor import Tensor


class ConditionalPlayers:
    """The part of :class:`minidl.models.GAN` that tells both players a class y for each image, 0 to
    `classes` - 1: G(z|y) is the generator's image for z `told` y, and D(x|y) that of the
    discriminator's numbers, one for each class, which is `of_class` y."""

    classes: int

    def told(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """z (N,latent) and y, the classes (N,), beside it: a row that is 1 at y and 0 elsewhere."""
        return F.cat([z, self._rows("told", z, labels)], 1)

    def of_class(self, scores: Tensor, labels: Tensor | None) -> Tensor:
        """(N,classes) -> (N,1): of each row the number that is its class's of `labels` (N,)."""
        return (scores * self._rows("of_class", scores, labels)).sum(1, keepdim=True)

    def _rows(self, name: str, like: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None or labels.shape != (len(like),):
            given = None if labels is None else labels.shape
            raise ValueError(f"{name}: labels must be ({len(like)},), the classes of {like.shape}, "
                             f"got {given}")
        return F.one_hot(labels, self.classes).to(dtype=like.dtype)
