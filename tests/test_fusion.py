"""Layers that run together do what they do one by one, whatever of them was replaced."""

from __future__ import annotations

import types

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import fusion

PLACES = (0, 1, 2)                       # of the convolution, the activation, the pooling


def network():
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2))


class Doubled(nn.ReLU):
    def forward(self, input):
        return super().forward(input) * 2


def _on_the_object(module, monkeypatch):
    forward = module.forward
    module.forward = lambda input: forward(input) * 2 + 1


def _bound(module, monkeypatch):
    forward = type(module).forward
    module.forward = types.MethodType(lambda self, input: forward(self, input) - 3, module)


def _on_the_class(module, monkeypatch):
    forward = type(module).forward
    monkeypatch.setattr(type(module), "forward", lambda self, input: forward(self, input) + 5)


def _called(module, monkeypatch):
    call = type(module).__call__
    monkeypatch.setattr(type(module), "__call__", lambda self, *args: call(self, *args) * 3)


def _hooked(module, monkeypatch):
    module.register_forward_hook(lambda module, args, output: output * 7)


REPLACED = [_on_the_object, _bound, _on_the_class, _called, _hooked]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("replace", REPLACED)
def test_what_was_replaced_is_called(place, replace, monkeypatch):
    net, x = network(), minidl.randn(2, 2, 8, 8)
    before = net(x).numpy()
    replace(net[place], monkeypatch)
    fused = net(x)
    net.fuse = False
    np.testing.assert_allclose(fused.numpy(), net(x).numpy(), rtol=1e-5, atol=1e-6)
    assert not np.allclose(fused.numpy(), before)


def test_the_examples_would_fuse():
    """Or the tests above would show nothing."""
    assert fusion._together(list(network())) == 3
    assert fusion._together([nn.Linear(2, 3), nn.LeakyReLU(0.2)]) == 2
    assert fusion._together([nn.Linear(2, 3), Doubled()]) == 1
    assert fusion._together([nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2, return_indices=True)]
                            ) == 2


def test_attributes_that_were_changed_count():
    x = minidl.randn(2, 2, 9, 9)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.LeakyReLU(0.1), nn.MaxPool2d(2))
    for change in (lambda: setattr(net[1], "negative_slope", 0.5),
                   lambda: setattr(net[1], "negative_slope", 2.0),
                   lambda: setattr(net[1], "negative_slope", -1.0),
                   lambda: setattr(net[0], "padding", (1, 1)),
                   lambda: setattr(net[0], "stride", (2, 2)),
                   lambda: setattr(net[2], "kernel_size", 3),
                   lambda: setattr(net[0], "bias", None)):
        change()
        net.fuse = True
        fused = net(x)
        net.fuse = False
        np.testing.assert_allclose(fused.numpy(), net(x).numpy(), rtol=1e-5, atol=1e-6)


def test_a_derived_class_is_called():
    net = nn.Sequential(nn.Linear(3, 4), Doubled())
    x = minidl.randn(2, 3)
    np.testing.assert_allclose(net(x).numpy(), 2 * net[0](x).relu().numpy(), rtol=1e-6)


def test_a_window_in_the_border_alone_is_minus_infinity_fused_or_not():
    for act in (nn.ReLU(), nn.LeakyReLU(0.1)):
        net = nn.Sequential(nn.Conv2d(1, 2, 1), act, nn.MaxPool2d(2, 1, 1, 3))
        x = minidl.randn(2, 1, 2, 2)
        fused = net(x).numpy()
        net.fuse = False
        np.testing.assert_array_equal(fused, net(x).numpy())
        assert (fused == -np.inf).any()


def test_fuse_may_be_given_set_and_inherited():
    layers = nn.Conv2d(1, 2, 3), nn.ReLU()
    assert nn.Sequential(*layers).fuse and not nn.Sequential(*layers, fuse=False).fuse
    assert not nn.Sequential(*layers, fuse=False)[:1].fuse

    class Apart(nn.Sequential):
        fuse = False
    assert not Apart(*layers).fuse and Apart(*layers, fuse=True).fuse
    with pytest.raises(TypeError, match="Sequential: fuse must be True or False, got 3"):
        nn.Sequential(*layers, fuse=3)
