"""What a run leaves to look at: its pictures, and the numbers that judge it."""

from __future__ import annotations

import contextlib
import io
import math
import os
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from .. import plots
from ..data import DataLoader
from ..files.regular import open_regular, read_at_most
from ..files.saving import write_atomically
from ..models import MODELS
from . import metrics, outputs
from .job import Job
from .run import Run

__all__ = ["after_epoch", "asked_classes", "generated_images", "judged", "pictures", "sheet"]


def generated_images(job: Job, n: int, seed: int = 0, digit: str | None = None) -> np.ndarray:
    """`n` new images (n, C, H, W) in [0, 1] of a job's GAN or VAE; a conditional GAN can make all
    of them of one class, `digit`."""
    if job.recipe.kind == "classifier":
        raise ValueError(f"sample: {job.recipe.name} is a classifier, it makes no images; give the "
                         "run of a GAN or a VAE")
    if digit is not None:
        return outputs.samples(job.model, n, seed, np.full(n, _class_number(job, digit)))
    samples = outputs.samples if job.recipe.kind == "gan" else outputs.prior_samples
    return samples(job.model, n, seed)


def _class_number(job: Job, digit: str) -> int:
    if not job.told:
        able = " and ".join(recipe.name for recipe in MODELS.values() if recipe.steps == "cgan")
        raise ValueError(f"sample: {job.recipe.name} cannot be asked for a digit; {able} can, it "
                         "is told the class of each image")
    if digit not in job.told:
        raise ValueError(f"sample: there is no class {digit!r}; there are {', '.join(job.told)}")
    return job.told.index(digit)


def sheet(job: Job, n: int, seed: int = 0, digit: str | None = None) -> Any:
    """A Figure of these samples: of a conditional GAN with a column for each class."""
    images, columns = generated_images(job, n, seed, digit), None
    title = f"{job.recipe.name}, seed {seed}"
    if digit is not None:
        title += f": all told to be {digit}"
    elif job.told:
        columns = min(n, len(job.told))
        title += f"; columns: {' '.join(job.told[:columns])}"
    return plots.grid(images, textwrap.fill(title, 60), columns)


def asked_classes(job: Job, n: int) -> np.ndarray | None:
    """The classes (n,) that `generated_images` asks a conditional GAN for; None: another model."""
    return outputs.asked(job.model, n) if job.recipe.kind == "gan" else None


def after_epoch(run: Run, job: Job, epoch: int) -> None:
    """For a Trainer: what a GAN or VAE makes of the same noise after each epoch (0: before)."""
    if job.recipe.kind == "classifier":
        return
    now = _now(job)
    frames = np.concatenate([_frames(run, epoch, now), now])
    content = io.BytesIO()
    np.save(content, frames)                 # all epochs so far: the film is made of them
    write_atomically(run.folder / "samples.npy", content.getvalue())
    if not plots.matplotlib_problem():
        _draw_sheet(run, job, frames, epoch)


def _now(job: Job) -> np.ndarray:
    """What the model makes of the same noise now: one frame (1, n, C, H, W), as bytes."""
    n = 64 if asked_classes(job, 1) is None else 100     # ten rows, and a column for each digit
    return np.round(255 * generated_images(job, n)).astype(np.uint8)[None]


def _frames(run: Run, count: int, now: np.ndarray) -> np.ndarray:
    """The first `count` frames of samples.npy, like `now`. What that file, damaged or deleted, does
    not give is blank: training need not stop for a picture."""
    frames = np.zeros((count, *now.shape[1:]), np.uint8)
    # NumPy raises all sorts of errors for a damaged file.
    with contextlib.suppress(Exception), open_regular(run.folder / "samples.npy") as file:
        np.lib.format.read_magic(file)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        whole = os.fstat(file.fileno()).st_size - file.tell() == math.prod(shape)
        if whole and dtype == np.uint8 and shape[1:] == frames.shape[1:] and not fortran:
            found = np.frombuffer(read_at_most(file, now.nbytes * min(count, shape[0])), np.uint8)
            found = found.reshape(-1, *now.shape[1:])
            frames[:len(found)] = found
    return frames


def _draw_sheet(run: Run, job: Job, frames: np.ndarray, epoch: int) -> None:
    path = _sheet(run, epoch)
    path.parent.mkdir(exist_ok=True)
    plots.grid(frames[epoch] / np.float32(255), _samples_title(job, epoch)).savefig(path)


def _sheet(run: Run, epoch: int) -> Path:
    return run.folder / "samples" / f"epoch-{epoch:03d}.png"


def _samples_title(job: Job, epoch: int) -> str:
    what = "samples from the prior" if job.recipe.kind == "vae" else "samples"
    return f"{job.recipe.name}: {what}, " + (f"epoch {epoch}" if epoch else "before training")


def pictures(run: Run, job: Job) -> list[Path]:
    """Draw all pictures of a finished run into its folder. Needs matplotlib."""
    make = {"classifier": _classifier, "gan": _gan, "vae": _vae}[job.recipe.kind]
    figures, paths = make(run, job), []
    if job.recipe.kind != "classifier":
        now = _now(job)
        frames = _frames(run, len(run.records("epoch")) + 1, now)
        frames[-1] = frames[-1] if frames[-1].any() else now
        titles = [_samples_title(job, epoch) for epoch in range(len(frames))]
        for epoch in range(len(frames)):
            if not _sheet(run, epoch).exists():              # a kill, or no matplotlib then
                _draw_sheet(run, job, frames, epoch)
        frames = frames / np.float32(255)
        paths.append(plots.film(frames, run.folder / "samples.gif", titles))
        figures["samples"] = plots.grid(frames[-1], titles[-1])
    for name, figure in figures.items():
        paths.append(run.folder / f"{name}.png")
        figure.savefig(paths[-1])
    return sorted(paths)


def _classifier(run: Run, job: Job) -> dict[str, Any]:
    p, labels = outputs.class_probabilities(job.model, job.test_loader())
    classes = job.splits.classes
    matrix = metrics.confusion_matrix(labels, p.argmax(1), range(len(classes)))
    images = np.concatenate([batch.numpy() for batch, _ in job.test_loader()])
    first = next(weight for weight in job.model.parameters() if weight.ndim == 4)
    figures = {"confusion": plots.confusion(matrix, classes),
               "worst": plots.worst(images, p, labels, classes),
               "kernels": plots.kernels(first.numpy())}
    if run.records("epoch"):                 # a run may be looked at before its first epoch ends
        figures["curves"] = plots.curves(run.records("epoch"), _step_records(run, job))
    return figures


def _gan(run: Run, job: Job) -> dict[str, Any]:
    steps = _step_records(run, job)
    scores = job.recipe.steps not in (None, "cgan")          # D's output is no probability
    return {"curves": plots.gan_curves(steps, scores)} if steps else {}


def _step_records(run: Run, job: Job) -> list[dict[str, Any]]:
    """The log's single batches, with "epoch" a number that grows from 0 with every step."""
    length = len(job.train_loader())
    return [{**record, "epoch": record["epoch"] - 1 + record["step"] / length}
            for record in run.records("step")]


def _vae(run: Run, job: Job) -> dict[str, Any]:
    count = 2000 if job.model.latent == 2 else 60
    mu, labels = outputs.encoded(job.model, job.test_loader(count))
    images = np.concatenate([batch.numpy() for batch, _ in job.test_loader(60)])
    again = outputs.decoded(job.model, mu[:len(images)])
    figures = {"reconstructions": plots.reconstructions(images, again)}
    if run.records("epoch"):
        figures["curves"] = plots.vae_curves(run.records("epoch"))
    if job.model.latent == 2:
        figures["plane"] = plots.plane(lambda z: outputs.decoded(job.model, z))
        figures["codes"] = plots.scatter(mu, labels, job.splits.classes)
    return figures


def judged(images: np.ndarray, judge: Job, asked: np.ndarray | None = None) -> dict[str, Any]:
    """What a trained classifier of 28x28 digits takes generated images (n, 1, H, W) for.

    The share of each class among them, the mean of the largest probability (confidence), and the
    share of images that are taken for the classes `asked` (n,), if those are given. Images of other
    sizes are brought back: 16x16 doubled, then the border of 2 pixels cut off.
    """
    if judge.recipe.kind != "classifier":
        raise ValueError(f"judge: {judge.recipe.name} is no classifier; give the run of one")
    size = images.shape[1:]
    if size[1:] == (16, 16):
        images = images.repeat(2, 2).repeat(2, 3)
    if images.shape[2:] == (32, 32):
        images = images[:, :, 2:-2, 2:-2]
    if images.shape[1:] != judge.recipe.image:
        raise ValueError(f"judge: {judge.recipe.name} takes images of {judge.recipe.image}, "
                         f"the samples are {size}")
    loader = DataLoader((images, np.zeros(len(images), np.int64)), 250)
    p, _ = outputs.class_probabilities(judge.model, loader)
    called = np.bincount(p.argmax(1), minlength=p.shape[1]) / len(p)
    found = {"confidence": float(p.max(1).mean()),
             "shares": dict(zip(judge.splits.classes, called.tolist()))}
    return found if asked is None else {
        **found, "as_asked": float(np.mean(p.argmax(1) == asked))}
