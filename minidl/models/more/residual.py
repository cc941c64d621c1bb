"""A residual network, and the same network without its skips."""

from __future__ import annotations

from collections.abc import Sequence

from ... import nn


class ResNet(nn.Sequential):
    """Blocks that add to what they are given, y = relu(x + F(x)): (N,1,28,28) -> (N,10) logits.

    ======================= ======== ===========================================================
    layer                   output
    ======================= ======== ===========================================================
    conv 3x3, norm, relu    16x14x14 of stride 2, padded by 1
    3 residual blocks       16x14x14 F: conv 3x3, norm, relu, conv 3x3, norm
    conv 3x3, norm, relu    32x7x7   of stride 2: between the stages nothing can be skipped
    3 residual blocks       32x7x7
    mean of each channel    32       average pooling over all pixels
    dense                   10
    ======================= ======== ===========================================================

    15 layers with weights, 74,874 parameters. `widths` are the channels of the stages, `blocks` the
    blocks in each of them. With ``skips=False`` a block is relu(F(x)), and all else as it was: the
    same depth, the same parameters. The norm is batch norm, which has the convolution's bias.

    Raises ValueError if there is no stage or no block. Source: D3-RESNET, D3-RESIDUAL; He et al.
    (2016).
    """

    def __init__(self, channels: int = 1, classes: int = 10, *, widths: Sequence[int] = (16, 32),
                 blocks: int = 3, skips: bool = True):
        if not widths or blocks < 1:
            raise ValueError(f"ResNet: widths={tuple(widths)}, blocks={blocks}; at least one stage "
                             "and one block in each are needed")
        layers: list[nn.Module] = []
        for width in widths:
            layers += [*_conv_norm(channels, width, stride=2), nn.ReLU()]
            for _ in range(blocks):
                F = nn.Sequential(*_conv_norm(width, width), nn.ReLU(), *_conv_norm(width, width))
                layers += [nn.Residual(F) if skips else F, nn.ReLU()]
            channels = width
        super().__init__(*layers,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def _conv_norm(channels: int, width: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width)]
