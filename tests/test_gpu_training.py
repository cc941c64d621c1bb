"""Training on a GPU: the CPU's numbers, nothing read and nothing copied within a step.

On the fake CuPy, so without a GPU. With "fast" kernels the CUDA kernels run too, compiled for the
CPU; with "reference" only CuPy's functions.
"""

from __future__ import annotations

import json
import re

import cuda_on_cpu
import fakecupy
import numpy as np
import pytest
from test_cli import few_digits  # noqa: F401  (a fixture)
from test_training import Quiet, assert_same, state, tiny_gan, tiny_trainer

import minidl
from minidl import checks, cli, data, nn, optim, training
from minidl.models import MODELS
from minidl.training import Run, Trainer

KINDS = ("classifier", "gan", "vae")
STEPS, BATCH = 3, 4


@pytest.fixture(params=["reference", "fast"])
def kernels(request, gpu):
    """Which kernels run: on the GPU and, for large arrays, on the CPU."""
    yield from using(request.param)


@pytest.fixture
def reference(gpu):
    """The readable arithmetic, on both devices."""
    yield from using("reference")


@pytest.fixture
def fast(gpu):
    """The kernels."""
    yield from using("fast")


def using(which: str):
    if which == "fast" and cuda_on_cpu.problem():
        pytest.skip(cuda_on_cpu.problem())
    before = minidl.kernels_in_use()
    minidl.use_kernels(which)
    yield which
    minidl.use_kernels(before)


def loader_of(kind: str, device: str) -> data.DataLoader:
    """STEPS batches of digits; of their middle 8x8 for GAN and VAE, which are small ones."""
    train = data.mnist().train.subset(slice(STEPS * BATCH))
    if kind != "classifier":
        train = data.ArrayDataset(train.images[:, :, 10:18, 10:18], train.labels, train.classes)
    scale = "tanh" if kind == "gan" else "unit"
    return data.DataLoader(train, BATCH, shuffle=True, seed=1, scale=scale, device=device)


def procedure_of(kind: str, device: str):
    """A network with its optimiser, the same first weights on each device."""
    minidl.manual_seed(5)
    if kind == "gan":
        gan = tiny_gan()
        gan.model.to(device)
        return gan
    model = MODELS["cnn-dropout"].build() if kind == "classifier" else small_vae()
    model.to(device)
    steps = training.ClassifierSteps if kind == "classifier" else training.VAESteps
    return steps(model, optim.Adam(model.parameters(), lr=1e-3))


def small_vae() -> nn.Module:
    """The documents' autoencoder with few channels, for images of 8x8."""
    model = MODELS["vae"].build(latent=2)
    model.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding="same"), nn.ReLU(), nn.Flatten())
    model.mu, model.logvar = nn.Linear(4 * 8 * 8, 2), nn.Linear(4 * 8 * 8, 2)
    model.decoder = nn.Sequential(
        nn.Linear(2, 4 * 4 * 4), nn.ReLU(), nn.Unflatten(1, (4, 4, 4)),
        nn.ConvTranspose2d(4, 1, 3, stride=2, padding="same"))
    return model


def trained(kind: str, device: str):
    """The losses of one epoch (STEPS, losses), and all that was trained."""
    procedure, loader = procedure_of(kind, device), loader_of(kind, device)
    losses = [list(procedure.step(*batch).values()) for batch in loader]
    table = np.array([[value.item() for value in step] for step in losses])
    return table, Trainer(procedure, loader, device=device, show=Quiet())


# --------------------------------------------------------------------------- the same numbers
@pytest.mark.parametrize("kind", KINDS)
def test_the_losses_and_weights_are_the_cpus(kind, kernels):
    expected, on_cpu = trained(kind, "cpu")
    losses, on_gpu = trained(kind, "cuda")
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert all(p.device == "cuda:0" for p in on_gpu.procedure.model.parameters())
    expected, found = state(on_cpu), state(on_gpu)
    assert found.keys() == expected.keys()
    assert found["random"].tolist() == expected["random"].tolist()
    for name in found:                # (one weight may differ more: Adam divides by its gradient)
        error = np.linalg.norm(found[name] - expected[name])
        assert error <= 1e-3 * np.linalg.norm(expected[name]), name


def test_the_first_weights_and_the_batches_are_the_cpus_bit_for_bit(gpu):
    for kind in KINDS:
        weights = [{name: value.numpy() for name, value in
                    procedure_of(kind, device).model.state_dict().items()}
                   for device in ("cpu", "cuda")]
        assert_same(*weights)
        for on_cpu, on_gpu in zip(loader_of(kind, "cpu"), loader_of(kind, "cuda"), strict=True):
            for a, b in zip(on_cpu, on_gpu, strict=True):
                assert b.device == "cuda:0" and a.dtype == b.dtype
                np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_repeats_bit_for_bit(kind, kernels):
    first, second = trained(kind, "cuda"), trained(kind, "cuda")
    assert first[0].tobytes() == second[0].tobytes()
    assert_same(state(first[1]), state(second[1]))


# --------------------------------------------------------------------------- no hidden waiting
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_neither_waits_nor_copies(kind, kernels):
    procedure = procedure_of(kind, "cuda")
    loader, host = loader_of(kind, "cuda"), loader_of(kind, "cpu")
    for batch in loader:                             # numbers of the step are kept on the device
        procedure.step(*batch)
    checks.raise_pending()
    with fakecupy.counting() as count, fakecupy.forbid_sync():
        for batch in loader:
            procedure.step(*batch)
    assert count.syncs == count.downloads == 0
    if kernels == "fast":                            # (the readable noise is made on the host)
        assert count.uploads == 1                    # the order of the epoch
    with fakecupy.counting() as count, fakecupy.forbid_sync():
        for images, labels in host:
            images.to("cuda"), labels.to("cuda")
    assert count.uploads == 2 * STEPS
    checks.raise_pending()


def test_losses_and_flags_are_read_every_few_steps(reference):
    trainer = Trainer(procedure_of("classifier", "cuda"), loader_of("classifier", "cuda"),
                      device="cuda", show=Quiet())
    trainer.read_every = 2
    with fakecupy.counting() as count:
        trainer.fit(2)
    # After steps 2 and 3 of each epoch: a table of losses, and one of flags.
    assert count.syncs == count.downloads == 2 * 2 * 2


def test_a_wrong_label_names_the_step_it_came_up_in(fast):
    """The flag of step 2 is read after step 3, and is what is said, not the loss that is nan."""
    loader = loader_of("classifier", "cuda")
    loader.dataset.labels[loader.order(0)[BATCH]] = 10             # the first of the second batch
    trainer = Trainer(procedure_of("classifier", "cuda"), loader, device="cuda", show=Quiet())
    trainer.read_every = 3
    with pytest.raises(ValueError, match=r"^step 2: cross_entropy: class numbers must be in \[0, 9"
                                         r"\]$"):
        trainer.fit(1)
    checks.raise_pending()                                          # nothing is left of it


# --------------------------------------------------------------------------- runs and checkpoints
@pytest.mark.parametrize("first, second", [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
def test_a_run_goes_on_on_another_device(first, second, reference, tmp_path):
    """Bit for bit what was saved, and then the numbers of a run that never moved."""
    whole = tiny_trainer()
    whole.fit(2)
    begun = tiny_trainer(tmp_path / "run", device=first)
    begun.fit(1)
    saved = state(begun)
    resumed = tiny_trainer(tmp_path / "run", resume=True, device=second)
    assert resumed.procedure.model[0].weight.device == minidl.device.resolve(second)
    assert_same(state(resumed), saved)
    history = resumed.fit(2)
    for a, b in zip(history, whole.history, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    for name, array in state(whole).items():
        np.testing.assert_allclose(state(resumed)[name], array, rtol=1e-3, atol=1e-6, err_msg=name)


def test_a_checkpoint_downloads_each_array_once(reference, tmp_path):
    trainer = tiny_trainer(tmp_path / "run", device="cuda")
    trainer.fit(1)
    arrays = len(trainer.procedure.model.state_dict()) + 2 * 4       # Adam keeps two a parameter
    with fakecupy.counting() as count:
        trainer.save()
    assert count.downloads == arrays and count.uploads == 0
    with minidl.no_grad():
        trainer.procedure.model[-1].bias.fill_(np.inf)
    with pytest.raises(training.NotFinite, match="4.bias is not finite after epoch 2, step 0"):
        trainer.save()


def test_too_little_memory_on_the_gpu_tells_the_sizes(reference, gpu, tmp_path):
    run = Run.create({"model": "small"}, tmp_path / "run")
    trainer = Trainer(procedure_of("classifier", "cuda"), loader_of("classifier", "cuda"), run=run,
                      device="cuda", show=Quiet())
    trainer.fit(1)
    saved, used = state(trainer), gpu.get_default_memory_pool().used_bytes
    before = used()
    with fakecupy.memory_limit(500_000), pytest.raises(training.OutOfMemory) as stopped:
        trainer.fit(2)
    assert re.fullmatch(
        r"training stopped: out of memory on cuda:0 at epoch 2, after step 0, with batches of 4: "
        r"[\d.]+ \w+ asked for, [\d.]+ \w+ in use by this process's arrays, [\d.]+ \w+ free of "
        r"[\d.]+ \w+; the last good checkpoint is .*checkpoint.safetensors", str(stopped.value))
    assert used() - before < 50_000           # the step's arrays are gone, though not the error
    trainer.resume()
    assert (trainer.epoch, trainer.step) == (1, 0)
    assert_same(state(trainer), saved)
    assert len(trainer.fit(2)) == 2


# --------------------------------------------------------------------------- the command line
def test_the_command_line_trains_judges_and_draws_on_a_gpu(reference, few_digits,  # noqa: F811
                                                           tmp_path, capsys):
    run, vae = tmp_path / "cnn", tmp_path / "vae"
    common = ["--data", str(few_digits), "--epochs", "1", "--device", "cuda"]
    assert cli.main(["train", "cnn", *common, "--batch-size", "16", "--out", str(run)]) == 0
    out = capsys.readouterr().out
    assert "on cuda:0\n" in out and "test accuracy" in out
    assert (run / "worst.png").is_file()
    assert cli.main(["train", "vae", *common, "--latent", "2", "--batch-size", "24",
                     "--out", str(vae)]) == 0
    assert cli.main(["evaluate", str(vae), "--device", "cuda", "--judge", str(run),
                     "--number", "20"]) == 0
    judged = json.loads((vae / "evaluation.json").read_text())
    assert cli.main(["evaluate", str(vae), "--device", "cpu", "--judge", str(run),
                     "--number", "20", "--no-pictures"]) == 0
    found = json.loads((vae / "evaluation.json").read_text())
    assert found["loss"] == pytest.approx(judged["loss"], rel=1e-4)
    assert found["judged"]["confidence"] == pytest.approx(judged["judged"]["confidence"], rel=1e-3)
    assert cli.main(["train", "--resume", str(run), "--epochs", "2", "--device", "auto"]) == 0
    assert "on cuda:0\n" in capsys.readouterr().out
    assert cli.main(["train", "cnn", "--quick", "--device", "cuda:7"]) == 2
    assert 'device: "cuda:7" is not there: this machine has 1 GPU' in capsys.readouterr().err


def test_samples_are_the_same_on_both_devices(kernels):
    for kind, samples in {"gan": training.outputs.samples,
                          "vae": training.outputs.prior_samples}.items():
        images = [samples(procedure_of(kind, device).model, 3, seed=1)
                  for device in ("cpu", "cuda")]
        assert all(type(each) is np.ndarray for each in images)
        np.testing.assert_allclose(*images, atol=1e-6)
