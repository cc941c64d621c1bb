"""Training: the documents' procedures, and the loop with log, progress and checkpoints around them.

    procedure = training.Classifier(model, optim.Adam(model.parameters()))
    training.Trainer(procedure, train_loader, test_loader).fit(epochs=5)
"""

from __future__ import annotations

from . import checkpoint, classifier, gan, vae
from .classifier import Classifier
from .gan import GAN
from .loop import NotFinite, Trainer, restore_model
from .progress import Progress, progress
from .run import Run
from .vae import VAE

__all__ = ["GAN", "VAE", "Classifier", "NotFinite", "Progress", "Run", "Trainer", "checkpoint",
           "classifier", "gan", "progress", "restore_model", "vae"]
