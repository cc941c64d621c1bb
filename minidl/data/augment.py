"""Augmentation: each function returns an `aug(images, rng)` that changes a batch at random.

`images` is (N, C, H, W), uint8 or float; the result has its dtype, and its shape too except for
`crop`. Every image draws its own numbers from `rng`, a NumPy Generator, all at once: no loop over
images. What moves in from outside the picture is 0. The input is never changed.

    aug = Compose([shift(2), rotate(10)])
    loader = DataLoader(train, 64, shuffle=True, augment=aug)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["Augmentation", "Compose", "crop", "mirror", "rotate", "shift"]

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Compose:
    """One augmentation after another, in the order of the list."""

    def __init__(self, augmentations: Sequence[Augmentation]) -> None:
        self.augmentations = tuple(augmentations)

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for augmentation in self.augmentations:
            images = augmentation(images, rng)
        return images


def crop(size: int | tuple[int, int], padding: int = 0) -> Augmentation:
    """A random window of `size` from the picture with `padding` zeros put on all four sides."""
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1 or padding < 0:
        raise ValueError(f"crop: size is {size}, padding {padding}; size >= 1, padding >= 0")

    def apply(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return _random_window(_batch_of_images("crop", images), height, width, padding, rng)

    return apply


def shift(max_pixels: int) -> Augmentation:
    """Move by -max_pixels … max_pixels whole pixels, down and across: a crop of the same size."""
    if max_pixels < 0:
        raise ValueError(f"shift: max_pixels is {max_pixels}, it must not be negative")

    def apply(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = _batch_of_images("shift", images).shape[2:]
        return _random_window(images, height, width, max_pixels, rng)

    return apply


def mirror(probability: float = 0.5) -> Augmentation:
    """Exchange left and right, with the given probability. Not for digits: a 2 has no mirror."""
    if not 0 <= probability <= 1:
        raise ValueError(f"mirror: probability is {probability}, it must be in [0, 1]")

    def apply(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        chosen = rng.random(len(_batch_of_images("mirror", images))) < probability
        return np.where(chosen[:, None, None, None], images[..., ::-1], images)

    return apply


def rotate(max_degrees: float) -> Augmentation:
    """Turn about the centre by an angle in [-max_degrees, max_degrees], bilinear between pixels.

    The value at offset (y, x) from the centre comes from (y cos t - x sin t, y sin t + x cos t).
    """
    if max_degrees < 0:
        raise ValueError(f"rotate: max_degrees is {max_degrees}, it must not be negative")

    def apply(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        n, _, height, width = _batch_of_images("rotate", images).shape
        angle = np.deg2rad(rng.uniform(-max_degrees, max_degrees, (n, 1, 1)))
        sin, cos = np.sin(angle).astype(np.float32), np.cos(angle).astype(np.float32)
        centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
        y = (np.arange(height, dtype=np.float32) - centre_y)[:, None]
        x = (np.arange(width, dtype=np.float32) - centre_x)[None, :]
        turned = _bilinear(images, y * cos - x * sin + centre_y, y * sin + x * cos + centre_x)
        if images.dtype.kind in "iu":
            np.rint(turned, out=turned)
        return turned.astype(images.dtype)

    return apply


def _bilinear(images: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """`images` (N, C, H, W) at the points y, x (N, OH, OW): float (N, C, OH, OW)."""
    n, channels, height, width = images.shape
    # One row and column of zeros all round: points outside are clipped onto it.
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y, x = np.clip(y + 1, 0, height + 1), np.clip(x + 1, 0, width + 1)
    top, left = np.minimum(np.floor(y), height), np.minimum(np.floor(x), width)
    down, right = (y - top)[:, None], (x - left)[:, None]  # parts of a pixel, in [0, 1]
    stride = width + 2
    plane = np.arange(n * channels).reshape(n, channels, 1, 1) * ((height + 2) * stride)
    corner = plane + (top * stride + left).astype(np.intp)[:, None]

    def pixel(dy: int, dx: int) -> np.ndarray:
        return np.take(padded, corner + (dy * stride + dx))

    above = pixel(0, 0) * (1 - right) + pixel(0, 1) * right
    below = pixel(1, 0) * (1 - right) + pixel(1, 1) * right
    return above * (1 - down) + below * down


def _random_window(
    images: np.ndarray, height: int, width: int, padding: int, rng: np.random.Generator
) -> np.ndarray:
    n, _, image_height, image_width = images.shape
    free_y, free_x = image_height + 2 * padding - height, image_width + 2 * padding - width
    if free_y < 0 or free_x < 0:
        raise ValueError(
            f"crop: {height}x{width} does not fit into images of {image_height}x{image_width} "
            f"with padding {padding}"
        )
    top, left = rng.integers(0, free_y + 1, n), rng.integers(0, free_x + 1, n)
    side = (padding, padding)
    padded = np.pad(images, ((0, 0), (0, 0), side, side))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    return windows[np.arange(n), :, top, left]


def _batch_of_images(name: str, images: np.ndarray) -> np.ndarray:
    if images.ndim != 4:
        raise ValueError(f"{name}: images must be (N, C, H, W), got shape {images.shape}")
    return images
