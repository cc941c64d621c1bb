"""Training: the documents' procedures, and the loop with log, progress and checkpoints around them.

    procedure = training.ClassifierSteps(model, optim.Adam(model.parameters()))
    training.Trainer(procedure, train_loader, test_loader).fit(epochs=5)
"""

from __future__ import annotations

from . import checkpoint, classifier_steps, gan_steps, outputs, vae_steps
from .classifier_steps import ClassifierSteps
from .gan_steps import GANSteps
from .gan_variants import CGANSteps, LSGANSteps, WGANPenaltySteps, WGANSteps
from .job import load_model
from .loop import Trainer
from .out_of_memory import OutOfMemory
from .outputs import predict
from .progress import Progress, progress
from .resumable import NotFinite, restore_model
from .run import Run
from .vae_steps import VAESteps

__all__ = ["CGANSteps", "ClassifierSteps", "GANSteps", "LSGANSteps", "NotFinite", "OutOfMemory",
           "Progress", "Run", "Trainer", "VAESteps", "WGANPenaltySteps", "WGANSteps", "checkpoint",
           "classifier_steps", "gan_steps", "load_model", "outputs", "predict",
           "progress", "restore_model", "vae_steps"]
