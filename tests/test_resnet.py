"""D3-RESNET: the network against plain formulas, its twin without skips, and examples/resnet.py."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from test_training import Quiet

import minidl
from examples import EXAMPLES, load_example
from minidl import data, formulas, nn, optim
from minidl.models import MODELS, ResNet
from minidl.training import ClassifierSteps, Trainer


def tiny(skips: bool = True) -> ResNet:
    """One stage of one block, float64; in evaluation mode, with statistics as if it had learnt."""
    model = ResNet(widths=(2,), blocks=1, classes=3, skips=skips).double().eval()
    rng = np.random.default_rng(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                with minidl.no_grad():
                    tensor.copy_(rng.uniform(0.5, 2, 2))
    return model


def by_formulas(model: ResNet, x: np.ndarray, skips: bool) -> np.ndarray:
    """The logits by the loops of formulas.py."""
    w = {name: tensor.numpy() for name, tensor in model.state_dict().items()}

    def conv_norm(x, conv, norm, stride):
        y = formulas.conv2d(x, w[f"{conv}.weight"], stride=(stride, stride), padding=(1, 1))
        parts = (w[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
        return formulas.batch_norm(y, *parts, eps=1e-5, training=False)[0]

    def function(x):
        at = "3.function" if skips else "3"
        h = formulas.relu(conv_norm(x, f"{at}.0", f"{at}.1", 1))
        return conv_norm(h, f"{at}.3", f"{at}.4", 1)

    x = formulas.relu(conv_norm(x, "0", "1", 2))
    x = formulas.relu(formulas.residual(x, function) if skips else function(x))
    return formulas.linear(x.mean((2, 3)), w["7.weight"], w["7.bias"])


@pytest.mark.parametrize("skips", [True, False])
def test_the_network_is_its_formulas(skips):
    """D3-RESNET, D3-RESIDUAL: by the loops of formulas.py, with skips and without."""
    model, x = tiny(skips), np.random.default_rng(1).normal(size=(2, 1, 6, 6))
    y = model(minidl.tensor(x, dtype=np.float64)).numpy()
    assert y == pytest.approx(by_formulas(model, x, skips), rel=1e-10)


def test_with_and_without_skips_begin_with_the_same_weights():
    minidl.manual_seed(3)
    ours = ResNet(blocks=2)
    minidl.manual_seed(3)
    plain = ResNet(blocks=2, skips=False)
    pairs = list(zip(ours.parameters(), plain.parameters(), strict=True))
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)
    assert sum(isinstance(m, nn.Residual) for m in ours.modules()) == 4
    assert not any(isinstance(m, nn.Residual) for m in plain.modules())


def test_depth_and_classes_are_options():
    model = ResNet(channels=3, classes=5, widths=(4, 8, 16), blocks=2)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 3 * (1 + 2 * 2)
    assert model(minidl.rand(2, 3, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize("options", [{"blocks": 0}, {"widths": ()}])
def test_no_block_or_no_stage_is_an_error(options):
    with pytest.raises(ValueError, match="ResNet: widths=.*blocks=.*at least one"):
        ResNet(**options)


# --------------------------------------------------------------------------- examples/resnet.py
def test_the_curve_with_skips_is_the_network_with_skips(monkeypatch):
    """Of both depths: through training, runs and picture to the names in the legend."""
    script, train = load_example("resnet"), data.mnist().train[:4]

    def fit(name, model, loader, test, epochs, lr):
        skips = any(isinstance(module, nn.Residual) for module in model.modules())
        assert name == f"{script.depth(model)} layers, {'with' if skips else 'without'} skips"
        return ([0.25] * 3, [0.75, 0.875]) if skips else ([0.5] * 3, [0.25, 0.375])

    monkeypatch.setattr(script, "fit", fit)
    runs = script.compare(1, train, train, 2, 4e-3, 0) | script.compare(2, train, train, 1, 4e-3, 0)
    assert list(runs) == [(7, True), (7, False), (11, True), (11, False)]
    assert all((run.losses[0] == 0.25) == skips for (_, skips), run in runs.items())
    left, middle, right = script.draw(runs).axes
    for axes in (left, right):
        curves = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
        assert curves == {"with skips": [0.25] * 3, "without skips": [0.5] * 3}
    errors = {line.get_label(): list(line.get_ydata()) for line in middle.get_lines()}
    assert errors == {"with skips: 12.50 %": [25, 12.5], "without skips: 62.50 %": [75, 62.5]}


def test_fit_follows_the_schedule(monkeypatch):
    """One cycle over all steps of all epochs, as `minidl train` has it."""
    script, rates = load_example("resnet"), []
    step = ClassifierSteps.step

    def recording(self, images, labels):
        rates.append(self.optimizers["model"].param_groups[0]["lr"])
        return step(self, images, labels)

    monkeypatch.setattr(ClassifierSteps, "step", recording)
    loader, model = data.DataLoader(data.mnist().train[:12], 4), ResNet(widths=(2,), blocks=1)
    losses, accuracies = script.fit("x", model, loader, data.mnist().test[:5], 2, 0.5)
    assert len(losses) == 6 and len(accuracies) == 2
    by_script, rates[:] = rates[:], []
    Trainer(ClassifierSteps(model, optim.Adam(model.parameters(), 0.5)), loader, show=Quiet(),
            schedule=MODELS["resnet"].schedule).fit(2)
    assert by_script == rates


@pytest.mark.parametrize("wrong, message", [
    (["--epochs", "0"], "0 is too small, at least 1"),
    (["--lr", "0"], "a number above 0 is needed"),
])
def test_wrong_numbers_are_refused_before_training(monkeypatch, capsys, wrong, message):
    monkeypatch.setattr(sys, "argv", ["resnet.py", *wrong])
    monkeypatch.setattr(data, "mnist", lambda: pytest.fail("it went on"))
    with pytest.raises(SystemExit, match="2"):
        load_example("resnet").main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("asked, epochs", [("", 1), ("--epochs 2", 2)])
def test_what_is_asked_for_goes_before_quick(monkeypatch, asked, epochs):
    script = load_example("resnet")
    monkeypatch.setattr(sys, "argv", ["resnet.py", "--quick", *asked.split()])
    monkeypatch.setattr(script, "compare", lambda *given, **_: sys.exit(f"{given[3]}"))
    with pytest.raises(SystemExit, match=f"^{epochs}$"):
        script.main()


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    path = tmp_path / "resnet.png"
    command = [sys.executable, str(EXAMPLES / "resnet.py"), "--quick", "--out", str(path)]
    out = [subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
           for _ in range(2)]
    tables = [text.split("network ")[1].splitlines()[:5] for text in out]
    for first, second in zip(*tables):                           # but for the seconds
        assert first.split()[:-1] == second.split()[:-1]
    assert "7 layers, with skips " in out[0] and "11 layers, without skips " in out[0]
    assert path.read_bytes()[:4] == b"\x89PNG"
