"""The further generative adversarial networks of the documents.

Three are listed; D3 names three more (WGAN, LSGAN, CGAN) by what is new in each, the loss or the
condition, and they share the last, `SmallGAN`. Where a listing has `activation='relu'` before
LeakyReLU, which is then idle, only the LeakyReLU stands (E2.2).
"""

from __future__ import annotations

from ... import nn
from ..gan import GAN, keras_batch_norm


class DCGAN(GAN):
    """Convolutions alone, without batch norm: noise is an image of 1x1 with 100 channels.

    generator      tconv 4x4, relu 64x4x4 | tconv 4x4 s2, relu 32x8x8 | tconv 4x4 s2, relu 32x16x16
                   | tconv 4x4 s2, tanh 1x32x32
    discriminator  conv 3x3 s2, LeakyReLU 0.01: 32x16x16, 64x8x8, 128x4x4 | conv 4x4 1x1x1

    152,193 and 94,721 parameters. Erratum E0.2: printed are the first, second and last transposed
    convolutions, all with stride 2, which end at 8x8 where the discriminator wants 32x32. So the
    first has stride 1 and no padding, and one of the printed kind, 32 to 32 channels, is put in.
    Images have one channel, not three. Source: D0-GAN.
    """

    def __init__(self, channels: int = 1, latent: int = 100):
        generator = nn.Sequential(
            nn.Unflatten(1, (latent, 1, 1)),
            nn.ConvTranspose2d(latent, 64, kernel_size=4, stride=1, padding=0), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(32, 32, kernel_size=4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(32, channels, kernel_size=4, stride=2, padding=1), nn.Tanh(),
        )
        discriminator = nn.Sequential(
            nn.Conv2d(channels, 32, kernel_size=3, stride=2, padding=1), nn.LeakyReLU(0.01),
            nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1), nn.LeakyReLU(0.01),
            nn.Conv2d(64, 128, kernel_size=3, stride=2, padding=1), nn.LeakyReLU(0.01),
            nn.Conv2d(128, 1, kernel_size=4, stride=1, padding=0),
            nn.Flatten(),
        )
        super().__init__(generator, discriminator, latent)


class UpsampleGAN(GAN):
    """Up-sampling by repeated pixels, then ordinary convolutions: (N,100) -> 32x32.

    generator      dense, LeakyReLU 0.2 256x8x8 | up-sample, conv, relu, BN 0.8 128x16x16
                   | up-sample, conv, relu, BN 0.8 64x32x32 | conv, tanh 1x32x32
    discriminator  conv s2, LeakyReLU 0.2, BN 0.8: 64x16x16, 128x8x8, 256x4x4 | dense 1

    All convolutions are 3x3 with "same" padding; the first of each player is He-initialised.
    2,008,193 and 374,657 parameters. Errata E2.1: the discriminator takes 32x32, what the generator
    makes, and images have one channel, not three; E2.2: the dense layer's relu is left out. `width`
    is the discriminator's 64. Source: D2-GAN.
    """

    def __init__(self, channels: int = 1, latent: int = 100, width: int = 64):
        w = width
        generator = nn.Sequential(
            nn.Linear(latent, 8 * 8 * 4 * w, bias=False), nn.LeakyReLU(0.2),
            nn.Unflatten(1, (4 * w, 8, 8)),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(4 * w, 2 * w, 3, padding="same"), nn.ReLU(),
            keras_batch_norm(nn.BatchNorm2d, 2 * w, 0.8),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * w, w, 3, padding="same"), nn.ReLU(),
            keras_batch_norm(nn.BatchNorm2d, w, 0.8),
            nn.Conv2d(w, channels, 3, padding="same"), nn.Tanh(),
        )
        discriminator = nn.Sequential(
            nn.Conv2d(channels, w, 3, stride=2, padding="same"), nn.LeakyReLU(0.2),
            keras_batch_norm(nn.BatchNorm2d, w, 0.8),
            nn.Conv2d(w, 2 * w, 3, stride=2, padding="same"), nn.LeakyReLU(0.2),
            keras_batch_norm(nn.BatchNorm2d, 2 * w, 0.8),
            nn.Conv2d(2 * w, 4 * w, 3, stride=2, padding="same"), nn.LeakyReLU(0.2),
            keras_batch_norm(nn.BatchNorm2d, 4 * w, 0.8),
            nn.Flatten(),
            nn.Linear(4 * w * 4 * 4, 1),
        )
        super().__init__(generator, discriminator, latent)
        nn.init.keras_(self)
        for conv in (generator[4], discriminator[0]):      # each one's first: 'he_normal', printed
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")


class DenseGAN(GAN):
    """Four dense layers, then seven convolutions and an eighth to the image: (N,100) -> 28x28.

    generator      dense 256, 512, 1024, 256*7*7, each with LeakyReLU 0.2, BN 0.8
                   | up-sample, four convs 128x14x14 | up-sample, three convs 128x28x28, each with
                   BN 0.8, LeakyReLU 0.2 | conv, tanh 1x28x28
    discriminator  conv s2 and three convs 128x14x14, dense 512, each with LeakyReLU 0.2, BN 0.8
                   | dense 256, LeakyReLU 0.2 | dense 1

    Convolutions are 3x3, "same", and no convolution or dense layer has a bias but the
    discriminator's last. 14,737,280 and 13,421,953
    parameters. Errata E4.1: the listing has stride 2 where this up-samples, and ends in 10 channels
    and batch norm; its discriminator has a last batch norm before "dense 1", which makes the mean
    logit of every batch, real or fake, the same; E2.2: the dense layers' relu is left out.
    `width` is the 128. Source: D4-GAN.
    """

    def __init__(self, latent: int = 100, width: int = 128):
        w = width

        def dense(inputs: int, outputs: int) -> list[nn.Module]:
            return [nn.Linear(inputs, outputs, bias=False), nn.LeakyReLU(0.2),
                    keras_batch_norm(nn.BatchNorm1d, outputs, 0.8)]

        def norm_first(inputs: int) -> list[nn.Module]:           # the generator's order
            return [nn.Conv2d(inputs, w, 3, padding="same", bias=False),
                    keras_batch_norm(nn.BatchNorm2d, w, 0.8), nn.LeakyReLU(0.2)]

        def norm_last(inputs: int, stride: int = 1) -> list[nn.Module]:   # the discriminator's
            return [nn.Conv2d(inputs, w, 3, stride=stride, padding="same", bias=False),
                    nn.LeakyReLU(0.2), keras_batch_norm(nn.BatchNorm2d, w, 0.8)]

        generator = nn.Sequential(
            *dense(latent, 2 * w), *dense(2 * w, 4 * w), *dense(4 * w, 8 * w),
            *dense(8 * w, 7 * 7 * 2 * w),
            nn.Unflatten(1, (2 * w, 7, 7)),
            nn.Upsample(scale_factor=2),
            *norm_first(2 * w), *norm_first(w), *norm_first(w), *norm_first(w),
            nn.Upsample(scale_factor=2),
            *norm_first(w), *norm_first(w), *norm_first(w),
            nn.Conv2d(w, 1, 3, padding="same", bias=False), nn.Tanh(),
        )
        discriminator = nn.Sequential(
            *norm_last(1, stride=2), *norm_last(w), *norm_last(w), *norm_last(w),
            nn.Flatten(),
            *dense(w * 14 * 14, 4 * w),
            nn.Linear(4 * w, 2 * w, bias=False), nn.LeakyReLU(0.2),
            nn.Linear(2 * w, 1),
        )
        super().__init__(generator, discriminator, latent)
        nn.init.keras_(self)


class SmallGAN(GAN):
    """Small enough to compare losses on: two transposed convolutions against two convolutions.

    generator      dense, BN, relu 48x7x7 | tconv 4x4 s2, BN, relu 24x14x14 | tconv 4x4 s2, tanh
                   1x28x28
    discriminator  conv 4x4 s2, LeakyReLU 0.2: 24x14x14, 48x7x7 | dense 1, or `classes`

    169,489 and 21,241 parameters, 193,009 and 42,418 if both players are told which of 10 `classes`
    to make or to see. The discriminator has no batch norm, for the gradient penalty takes each
    image by itself, and ends without sigmoid, so it is WGAN's critic and LSGAN's D as it stands.
    `width` is the 24. Source: D3-WGAN, D3-LSGAN, D3-CGAN.
    """

    def __init__(self, latent: int = 64, width: int = 24, classes: int = 0):
        w = width
        generator = nn.Sequential(
            nn.Linear(latent + classes, 7 * 7 * 2 * w, bias=False),
            nn.Unflatten(1, (2 * w, 7, 7)),
            nn.BatchNorm2d(2 * w), nn.ReLU(),
            nn.ConvTranspose2d(2 * w, w, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(w), nn.ReLU(),
            nn.ConvTranspose2d(w, 1, kernel_size=4, stride=2, padding=1), nn.Tanh(),
        )
        discriminator = nn.Sequential(
            nn.Conv2d(1, w, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(w, 2 * w, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * w * 7 * 7, classes or 1),
        )
        super().__init__(generator, discriminator, latent)
        self.classes = classes
