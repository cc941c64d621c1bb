"""Networks of self-attention: the block they stack, a classifier of images, a sequence model."""

from __future__ import annotations

import numpy as np

from ... import functional as F
from ... import nn
from ...modes import no_grad
from ...ops import stack
from ...random import Generator, default_generator
from ...tensor import Tensor

__all__ = ["PatchAttention", "SequenceModel", "TransformerBlock"]


class TransformerBlock(nn.Module):
    """x <- x + attention(norm(x)), then x <- x + mlp(norm(x)): (N,T,dim) -> (N,T,dim).

    T positions exchange what they hold by multi-head attention, then each is changed by itself: by
    two dense layers with relu between them, the inner one `mlp` times as wide. Both times by what
    is added to x, as in a residual network, and norm is layer norm, in its own weights each time.
    With ``causal=True`` position t sees positions <= t alone: then a sequence can be continued, one
    position after the other. Dropout acts on the attention weights and on the mlp's output.

    Raises ValueError if `dim` does not divide into `heads`. Source: D3-MHA, D3-RESIDUAL; Vaswani et
    al. (2017), with the norms in front, as Xiong et al. (2020) have them.
    """

    def __init__(self, dim: int, heads: int, mlp: int = 4, dropout: float = 0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp * dim), nn.ReLU(),
            nn.Linear(mlp * dim, dim), *([nn.Dropout(dropout)] if dropout else []))

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        x = x + self.attend(x, causal)[0]
        return x + self.mlp(self.norm2(x))

    def attend(self, x: Tensor, causal: bool = False) -> tuple[Tensor, Tensor]:
        """attention(norm(x)) (N,T,dim), and the weights alpha (N,heads,T,T), each row summing to 1.
        """
        h = self.norm1(x)
        return self.attention(h, h, h, average_attn_weights=False, is_causal=causal)


class PatchAttention(nn.Module):
    """A digit as a sequence of 49 patches that attend to each other: (N,1,28,28) -> (N,10) logits.

    ======================= ======== ===========================================================
    layer                   output
    ======================= ======== ===========================================================
    patches                 49x64    4x4 pixels each, by one dense map: a convolution of stride 4
    class token in front    50x64    learnt; the place where the answer is gathered
    plus position           50x64    learnt; attention itself does not see order
    2 transformer blocks    50x64    4 heads, mlp 2 times as wide
    norm, class token       64       the 49 patches have done their work
    dense                   10
    ======================= ======== ===========================================================

    72,074 parameters. Source: D3-ATTNET; Dosovitskiy et al. (2021).
    """

    def __init__(self, channels: int = 1, classes: int = 10, *, size: int = 28, patch: int = 4,
                 dim: int = 64, heads: int = 4, depth: int = 2, mlp: int = 2,
                 dropout: float = 0.0):
        super().__init__()
        if patch < 1 or size < patch or size % patch:
            raise ValueError(f"PatchAttention: size={size} does not divide into patches of "
                             f"patch={patch} pixels")
        if depth < 1:
            raise ValueError(f"PatchAttention: depth={depth}, at least 1 block is needed")
        self.size, self.side = size, size // patch                  # side: patches in a row
        self.patches = nn.Conv2d(channels, dim, patch, stride=patch)
        self.token = nn.Parameter(np.zeros((1, 1, dim), np.float32))
        self.position = nn.Parameter(np.empty((1, 1 + self.side**2, dim), np.float32))
        nn.init.normal_(self.position, std=0.3)       # as large as the vectors of patches with ink
        self.blocks = nn.ModuleList(TransformerBlock(dim, heads, mlp, dropout)
                                    for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, 0]))

    def tokens(self, images: Tensor) -> Tensor:
        """Class token and patches, each with its position: (N,C,H,W) -> (N, 1 + side^2, dim)."""
        if images.shape[-2:] != (self.size, self.size):
            raise ValueError(f"PatchAttention: images must be of {self.size}x{self.size} pixels, "
                             f"got shape {images.shape}")
        patches = self.patches(images).flatten(2).transpose(1, 2)             # (N, side^2, dim)
        token = F.expand(self.token, len(images), 1, self.token.shape[-1])
        return F.cat([token, patches], 1) + self.position

    def attention_maps(self, images: Tensor) -> Tensor:
        """How much the class token takes from each patch: (N, depth, heads, side, side).

        A map and what the token keeps for itself sum to 1.
        """
        x, maps = self.tokens(images), []
        for block in self.blocks:
            _, alpha = block.attend(x)                                        # (N, heads, T, T)
            maps.append(F.reshape(alpha[:, :, 0, 1:], len(images), -1, self.side, self.side))
            x = block(x)
        return stack(maps, 1)


class SequenceModel(nn.Module):
    """What comes next, after each symbol of a sequence: integers (N,T) -> logits (N,T,symbols).

    A learnt vector for each of `symbols` symbols, plus one for the place t < `length`; `depth`
    causal transformer blocks; layer norm; dense. The logits at place t depend on symbols 0..t
    alone, so that one pass learns from all T places at once: ::

        loss = F.cross_entropy(model(s[:, :-1]).transpose(1, 2), s[:, 1:])

    Raises ValueError if a sequence is longer than `length`, or a symbol is not in [0, symbols).
    Source: D1-TEXT, D1-MUSIC; Radford et al. (2018).
    """

    def __init__(self, symbols: int, length: int, *, dim: int = 64, heads: int = 4, depth: int = 2,
                 mlp: int = 4, dropout: float = 0.0):
        super().__init__()
        for name, value in (("symbols", symbols), ("length", length), ("depth", depth)):
            if value < 1:
                raise ValueError(f"SequenceModel: {name} must be at least 1, got {value}")
        self.symbols, self.length = symbols, length
        self.symbol, self.place = nn.Embedding(symbols, dim), nn.Embedding(length, dim)
        for table in (self.symbol, self.place):
            nn.init.normal_(table.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(TransformerBlock(dim, heads, mlp, dropout)
                                    for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, symbols)

    def forward(self, sequences: Tensor) -> Tensor:
        x = self.vectors(sequences)
        for block in self.blocks:
            x = block(x, causal=True)
        return self.head(self.norm(x))

    def vectors(self, sequences: Tensor) -> Tensor:
        """Symbol plus place: (N,T) -> (N,T,dim)."""
        if sequences.ndim != 2 or not 1 <= sequences.shape[1] <= self.length:
            raise ValueError(f"SequenceModel: sequences must be of shape (N, T) with 1 <= T <= "
                             f"length={self.length}, got {sequences.shape}")
        places = Tensor(np.arange(sequences.shape[1]), device=sequences.device)
        return self.dropout(self.symbol(sequences) + self.place(places))

    def attention_maps(self, sequences: Tensor) -> Tensor:
        """How much place t takes from each place s <= t: (N, depth, heads, T, T), rows sum to 1."""
        x, maps = self.vectors(sequences), []
        for block in self.blocks:
            maps.append(block.attend(x, causal=True)[1])
            x = block(x, causal=True)
        return stack(maps, 1)

    def sample(self, start, n: int, temperature: float = 1.0, generator: Generator | None = None,
               allowed=None) -> list[int]:
        """`n` more symbols after those of `start`, each drawn from softmax(logits / temperature).

        The model looks back at the last `length` symbols, without dropout. Near temperature 0 the
        likeliest symbol always comes; above 1 rare ones come more often. ``allowed(so_far)`` may
        name the symbols that can follow the list of all symbols so far, and an empty answer ends
        the sequence. Numbers come from `generator`, else from minidl's own. Raises ValueError for
        an empty start, a temperature <= 0, n < 0, or symbols of `allowed` that are none.
        """
        found = [int(symbol) for symbol in start]
        if not found or n < 0 or not temperature > 0:
            raise ValueError(f"sample: start must hold a symbol at least, n be 0 or more and "
                             f"temperature above 0; got {len(found)} symbols, n={n}, "
                             f"temperature={temperature}")
        generator, given, training = generator or default_generator(), len(found), self.training
        self.eval()
        try:
            for _ in range(n):
                can = self._can_follow(found, allowed)
                if not len(can):
                    break
                logits = self._next(found)[can] / temperature
                p = np.exp(logits - logits.max()).cumsum()
                u = generator.uniform((), np.float64)
                found.append(int(can[np.searchsorted(p / p[-1], u, side="right")]))
        finally:
            self.train(training)
        return found[given:]

    def _can_follow(self, found: list[int], allowed) -> np.ndarray:
        """The symbols that may come after those found."""
        if allowed is None:
            return np.arange(self.symbols)
        can = np.asarray(allowed(found), int)
        if len(can) and not (0 <= can.min() and can.max() < self.symbols):
            raise ValueError(f"sample: allowed() must name symbols in [0, {self.symbols}), "
                             f"got {can}")
        return can

    def _next(self, found: list[int]) -> np.ndarray:
        """What the model says of the next symbol: logits (symbols,), float64."""
        last = Tensor(np.array([found[-self.length:]]), device=self.head.weight.device)
        with no_grad():
            return self(last)[0, -1].numpy().astype(np.float64)
