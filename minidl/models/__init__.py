"""The documents' networks, and the recipes that train them: ``MODELS["cnn"].build()``."""

from .cnn import CNN
from .gan import GAN, ConvGAN
from .vae import VAE
from .recipes import MODELS, Recipe, falling, keras_adam, keras_rmsprop, one_cycle
from .more.classifiers import ColourCNN, PaddedCNN
from .more.gans import DCGAN, DenseGAN, SmallGAN, UpsampleGAN
from .more.residual import ResNet
from .more.small import SmallConvGAN, SmallVAE
from .more.transformer import PatchAttention, SequenceModel, TransformerBlock

__all__ = ["CNN", "DCGAN", "GAN", "MODELS", "VAE", "ColourCNN", "ConvGAN", "DenseGAN", "PaddedCNN",
           "PatchAttention", "Recipe", "ResNet", "SequenceModel", "SmallConvGAN", "SmallGAN",
           "SmallVAE", "TransformerBlock", "UpsampleGAN", "falling", "keras_adam", "keras_rmsprop",
           "one_cycle"]
