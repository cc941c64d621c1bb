"""Training: the documents' procedures, and the loop with log, progress and checkpoints around them.

    procedure = training.ClassifierSteps(model, optim.Adam(model.parameters()))
    training.Trainer(procedure, train_loader, test_loader).fit(epochs=5)
"""

from __future__ import annotations

from . import checkpoint, classifier, gan, vae
from .classifier import ClassifierSteps, predict
from .gan import CGANSteps, GANSteps, LSGANSteps, WGANPenaltySteps, WGANSteps
from .job import load_model
from .loop import NotFinite, Trainer, restore_model
from .memory import OutOfMemory
from .progress import Progress, progress
from .run import Run
from .vae import VAESteps

__all__ = ["CGANSteps", "ClassifierSteps", "GANSteps", "LSGANSteps", "NotFinite", "OutOfMemory",
           "Progress", "Run", "Trainer", "VAESteps", "WGANPenaltySteps", "WGANSteps", "checkpoint",
           "classifier", "gan", "load_model", "predict", "progress", "restore_model", "vae"]
