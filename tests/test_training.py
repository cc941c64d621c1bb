"""Training: the documents' steps, and runs that can be killed at any moment."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import data, nn, optim, training
from minidl import functional as F
from minidl.models import MODELS
from minidl.models.gan import ConvGAN
from minidl.modes import tell
from minidl.training import Run, Trainer, checkpoint


def tiny_trainer(folder=None, resume: bool = False, seed: int = 3, device: str = "cpu",
                 **options) -> Trainer:
    """A classifier with dropout and augmentation, 12 steps of 4 images of 6x6 an epoch."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (48, 1, 6, 6)).astype(np.uint8)
    labels = np.arange(48) % 3
    images[np.arange(48), 0, 1 + labels] += 150                 # a bright row tells the class
    loader = data.DataLoader(data.ArrayDataset(images, labels), 4, shuffle=True,
                             augment=data.augment.shift(1), seed=seed,
                             device=device)
    minidl.manual_seed(99 if resume else seed)        # a resumed run must not depend on this one
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
                          nn.Linear(32, 3)).to(device)
    procedure = training.ClassifierSteps(model, optim.Adam(model.parameters(), lr=1e-2))
    run = None
    if folder is not None:
        run = Run.open(folder) if resume else Run.create({"model": "tiny"}, folder)
    trainer = Trainer(procedure, loader, loader, run=run, device=device, show=Quiet(), **options)
    if resume:
        trainer.resume()
    return trainer


class Quiet(training.Progress):
    def line(self, text: str) -> None:
        pass


class Stop(Exception):
    """Stands for a kill: nothing of the trainer runs after it."""


def stop_at(trainer: Trainer, step: int, action) -> None:
    """Call `action` in the middle of the trainer's step number `step`, counted from 1."""
    train, counted = trainer.procedure.step, iter(range(1, 10**6))

    def stepping(images, labels):
        result = train(images, labels)
        if next(counted) == step:
            action()
        return result

    trainer.procedure.step = stepping


def raise_stop():
    raise Stop


def state(trainer: Trainer) -> dict[str, np.ndarray]:
    """All that training changes, as arrays to compare bit for bit."""
    arrays = {k: v.numpy() for k, v in trainer.procedure.model.state_dict().items()}
    for name, optimizer in trainer.procedure.optimizers.items():
        for i, entry in optimizer.state_dict()["state"].items():
            arrays.update({f"{name}.{i}.{k}": np.asarray(v) for k, v in entry.items()})
    arrays["random"] = np.array(minidl.random.default_generator().get_state())
    return arrays


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name


# --------------------------------------------------------------------------- steps
def test_classifier_lowers_the_loss():
    trainer = tiny_trainer()
    history = trainer.fit(8)
    assert history[-1]["loss"] < history[0]["loss"]
    assert {"epoch", "loss", "accuracy", "test_loss", "test_accuracy"} == set(history[-1])
    p, labels = training.outputs.class_probabilities(
        trainer.procedure.model, trainer.loader)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert len(labels) == 48


def test_predict_is_the_model_at_rest():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3))
    images = np.arange(28, dtype=np.uint8).reshape(7, 1, 2, 2)
    model.eval()
    wanted = model(minidl.tensor(images / np.float32(255))).numpy()
    model.train()
    for size in (1, 3, 250):
        out = training.predict(model, images, batch_size=size)
        np.testing.assert_allclose(out, wanted, rtol=1e-5)
        assert model.training and isinstance(out, np.ndarray)
    for same in (images / 255, minidl.tensor(images / np.float32(255)),
                 data.ArrayDataset(images, np.zeros(7, int))):
        np.testing.assert_allclose(training.predict(model, same), wanted, rtol=1e-5)
    with pytest.raises(ValueError):
        training.predict(model, images.repeat(2, 1))           # 8 numbers an image: a wrong shape
    assert model.training


def test_predict_of_numbers_by_a_model_without_weights():
    x = np.linspace(-2, 2, 5)
    np.testing.assert_allclose(training.predict(nn.Tanh(), x, 2), np.tanh(x), rtol=1e-12)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize("images, error, message", [
    (np.zeros((7, 2, 2), np.uint8), ValueError, r"uint8 images must be \(N, C, H, W\), got \(7, 2"),
    (np.zeros((0, 1, 2, 2), np.uint8), ValueError, r"no images, got shape \(0, 1, 2, 2\)"),
    (0.5, ValueError, r"no images, got shape \(\)"),
    (data.DataLoader((np.zeros((2, 3)),)), TypeError, "not a DataLoader; its dataset is"),
    (np.zeros((7, 3)), TypeError, "must return one tensor, it returned a tuple"),
])
def test_what_predict_cannot_do(images, error, message):
    with pytest.raises(error, match=f"predict: .*{message}"):
        training.predict(Pair(), images)


def tiny_gan() -> training.GANSteps:
    model = ConvGAN(start=2, latent=5, width=2)
    return training.GANSteps(model, *(optim.RMSprop(player.parameters(), lr=1e-3)
                                      for player in (model.generator, model.discriminator)))


def test_each_player_of_a_gan_moves_only_in_its_own_turn():
    gan = tiny_gan()
    G, D = gan.model.generator, gan.model.discriminator
    images = minidl.rand(4, 1, 8, 8) * 2 - 1

    def weights(module):
        return {k: p.numpy().copy() for k, p in module.named_parameters()}

    g, d = weights(G), weights(D)
    loss, real, fake = gan.discriminator_step(images)
    assert loss.item() == pytest.approx(F.gan_discriminator_loss(real, fake).item())
    assert_same(g, weights(G))
    assert all(p.grad is None for p in G.parameters())
    assert any((d[k] != v).any() for k, v in weights(D).items())

    d = weights(D)
    before = {k: p.grad.numpy().copy() for k, p in D.named_parameters()}
    gan.generator_step(4)
    assert_same(d, weights(D))
    assert_same(before, {k: p.grad.numpy() for k, p in D.named_parameters()})
    assert all(p.requires_grad for p in D.parameters())

    gan.g_loss = lambda score: 1 / 0
    with pytest.raises(ZeroDivisionError):
        gan.generator_step(4)
    assert all(p.requires_grad for p in D.parameters())         # a turn that failed thaws D too
    assert any((g[k] != v).any() for k, v in weights(G).items())


def test_the_discriminator_learns_real_from_fake():
    gan = tiny_gan()
    images = minidl.ones(16, 1, 8, 8)                 # nothing like the generator's first images
    for _ in range(30):
        gan.discriminator_step(images)
    gan.model.eval()
    with minidl.no_grad():
        real = gan.model.discriminator(images).sigmoid().mean().item()
        fake = gan.model.discriminator(gan.model.generator(gan.model.noise(16))).sigmoid().mean()
    assert real > 0.6 > 0.5 > fake.item()


def test_gan_samples_depend_on_the_seed_alone():
    gan = tiny_gan()
    counter = minidl.random.default_generator().get_state()
    first = training.outputs.samples(gan.model, 3, seed=1)
    assert first.shape == (3, 1, 8, 8) and first.min() >= 0 and first.max() <= 1
    assert first.tobytes() == training.outputs.samples(gan.model, 3, seed=1).tobytes()
    assert first.tobytes() != training.outputs.samples(gan.model, 3, seed=2).tobytes()
    assert counter == minidl.random.default_generator().get_state()


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_vae_loss_is_reconstruction_plus_kl(likelihood):
    model = MODELS["vae"].build(latent=2, likelihood=likelihood)
    vae = training.VAESteps(model, optim.Adam(model.parameters(), lr=1e-3))
    images = minidl.rand(4, 1, 28, 28)
    losses = [vae.step(images) for _ in range(4)]
    for values in losses:
        total = values["reconstruction"].item() + values["kl"].item()
        assert values["loss"].item() == pytest.approx(total, rel=1e-5)
    assert losses[-1]["loss"].item() < losses[0]["loss"].item()
    loader = data.DataLoader((np.zeros((5, 1, 28, 28), np.float32), np.zeros(5, int)), 2)
    assert vae.evaluate(loader) == vae.evaluate(loader)        # the same noise every time
    assert training.outputs.prior_samples(model, 3).shape == (3, 1, 28, 28)
    assert training.outputs.encoded(model, loader)[0].shape == (5, 2)


# --------------------------------------------------------------------------- resuming
def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    whole = tiny_trainer(tmp_path / "whole")
    history = whole.fit(3)
    expected = state(whole)

    killed = tiny_trainer(tmp_path / "killed", save_every=0)   # a checkpoint at every step
    stop_at(killed, 12 + 11, raise_stop)
    with pytest.raises(Stop):
        killed.fit(3)
    with open(tmp_path / "killed" / "log.jsonl", "a") as file:
        file.write('{"kind": "step", "epo')                    # a line that was being written
    resumed = tiny_trainer(tmp_path / "killed", resume=True)
    assert (resumed.epoch, resumed.step) == (1, 10)
    assert resumed.fit(3) == history
    assert_same(state(resumed), expected)
    for kind in ("step", "epoch"):
        assert resumed.run.records(kind) == whole.run.records(kind)


def test_ctrl_c_finishes_the_step_and_saves(tmp_path):
    whole = tiny_trainer()
    whole.fit(2)
    expected = state(whole)
    before = signal.getsignal(signal.SIGINT)
    stopped = tiny_trainer(tmp_path / "run")
    stop_at(stopped, 15, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(2)
    assert signal.getsignal(signal.SIGINT) is before
    resumed = tiny_trainer(tmp_path / "run", resume=True)
    assert (resumed.epoch, resumed.step) == (1, 3)
    assert resumed.fit(2) == whole.history
    assert_same(state(resumed), expected)


def train_until_killed(folder: str) -> None:
    """Run by the test below in a process of its own."""
    trainer = tiny_trainer(folder, save_every=0)
    stop_at(trainer, 30, lambda: (print("at step 30", flush=True), sys.stdin.read()))
    trainer.fit(3)


def test_a_process_that_was_really_killed(tmp_path):
    whole = tiny_trainer()
    whole.fit(3)
    expected = state(whole)
    code = (f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
            f"import test_training; test_training.train_until_killed({str(tmp_path / 'run')!r})")
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"at step 30"
        process.kill()
    resumed = tiny_trainer(tmp_path / "run", resume=True)
    assert resumed.fit(3) == whole.history
    assert_same(state(resumed), expected)


def test_a_gan_resumes_with_both_optimisers(tmp_path):
    loader = data.DataLoader((np.zeros((8, 1, 8, 8), np.float32), np.zeros(8, int)), 4)

    def trainer(seed):
        minidl.manual_seed(seed)
        return Trainer(tiny_gan(), loader, run=run, show=Quiet())

    run = Run.create({"model": "gan"}, tmp_path / "whole")
    whole = trainer(0)
    whole.fit(2)
    expected = state(whole)
    run = Run.create({"model": "gan"}, tmp_path / "halves")
    trainer(0).fit(1)
    second = trainer(5)
    second.resume()
    second.fit(2)
    assert_same(state(second), expected)


# --------------------------------------------------------------------------- what can go wrong
def test_nan_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    trainer = tiny_trainer(tmp_path / "run")
    first = trainer.procedure.model[0].weight

    def poison():
        with minidl.no_grad():
            first.data[:] = np.nan

    stop_at(trainer, 13, poison)
    with pytest.raises(training.NotFinite, match=r"loss became nan at epoch 2, step 2; .*safetens"):
        trainer.fit(3)
    saved = checkpoint.read_state(trainer.run.checkpoint)
    assert all(np.isfinite(array).all() for array in saved["model"].values())
    assert (saved["epoch"], saved["step"]) == (1, 0)


def test_too_little_memory_tells_the_sizes_and_keeps_the_last_checkpoint(tmp_path):
    trainer = tiny_trainer(tmp_path / "run")
    stop_at(trainer, 14, lambda: np.empty((10**7, 10**7)))
    with pytest.raises(training.OutOfMemory, match=(
            r"out of memory on cpu at epoch 2, after step 1, with batches of 4: Unable to allocate "
            r".* with shape \(10000000, 10000000\) .*; the last good checkpoint is .*safetensors$"
            )) as stopped:
        trainer.fit(3)
    assert stopped.value.batch_size == 4
    resumed = tiny_trainer(tmp_path / "run", resume=True)
    assert (resumed.epoch, resumed.step) == (1, 0)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    trainer = tiny_trainer(tmp_path / "run", save_every=0)
    last = trainer.procedure.model[-1].bias
    stop_at(trainer, 10, lambda: last.data.fill(np.inf))       # after the loss of step 10
    with pytest.raises(training.NotFinite, match=r"4\.bias is not finite after epoch 1, step 10"):
        trainer.fit(1)
    assert checkpoint.read_state(trainer.run.checkpoint)["step"] == 9


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="run: cannot write to the folder .*file"):
        Run.create({"model": "tiny"}, tmp_path / "file" / "run")
    with pytest.raises(OSError, match="run: cannot write to the folder"):
        Run.create({"model": "tiny"}, tmp_path / "file")


def test_what_is_no_run_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run folder, it has no config.json"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json is damaged"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match='names no "model"'):
        Run.open(tmp_path)


# --------------------------------------------------------------------------- checkpoints
def test_checkpoint_keeps_values_whatever_their_memory_order(tmp_path):
    w = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    tree = {"channels_last": minidl.from_numpy(np.ascontiguousarray(w.transpose(0, 2, 3, 1))
                                               .transpose(0, 3, 1, 2)),
            "transposed": w[0, 0].T, "strided": w[..., ::2], "scalar": np.array(2.5),
            "mask": np.array([True, False]), "empty": np.zeros((0, 3)),
            "rest": {"step": 7, "lr": 0.1, "name": "é", "none": None, "state": {0: [1, 2], 12: {}}}}
    checkpoint.write_state(tmp_path / "c.safetensors", tree)
    got = checkpoint.read_state(tmp_path / "c.safetensors")
    for name in ("channels_last", "transposed", "strided", "scalar", "mask", "empty"):
        expected = np.asarray(tree[name])
        assert got[name].dtype == expected.dtype and got[name].shape == expected.shape
        np.testing.assert_array_equal(got[name], expected)
    assert got["rest"] == tree["rest"]


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    checkpoint.write_state(path, {"a": np.ones(3)})

    def full(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.write_state(path, {"a": np.zeros(3)})
    monkeypatch.undo()
    np.testing.assert_array_equal(checkpoint.read_state(path)["a"], np.ones(3))
    assert list(tmp_path.iterdir()) == [path]


def test_unreadable_and_foreign_checkpoints(tmp_path):
    from safetensors.numpy import save_file
    path = tmp_path / "c.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        checkpoint.read_state(path)
    checkpoint.write_state(path, {"a": np.ones(300)})
    whole = path.read_bytes()
    for content in (b"", whole[:5], whole[:60], whole[:-100], b"PK\x03\x04 something else" * 9):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="truncated, damaged or no safetensors file"):
            checkpoint.read_state(path)
    save_file({"a": np.ones(3)}, path)
    with pytest.raises(ValueError, match="no checkpoint of minidl"):
        checkpoint.read_state(path)
    with pytest.raises(TypeError, match=r"checkpoint: a\.1 is a set"):
        checkpoint.write_state(path, {"a": [1, {2}]})


def test_a_checkpoint_of_another_model(tmp_path):
    tiny_trainer(tmp_path / "run").fit(1)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps({**config, "model": "vae"}))
    with pytest.raises(ValueError, match="it holds the model 'tiny', 'vae' is needed"):
        tiny_trainer(tmp_path / "run", resume=True)


def test_weights_load_as_a_plain_state_dict(tmp_path):
    from safetensors.numpy import load_file
    trainer = tiny_trainer(tmp_path / "run")
    trainer.fit(1)
    arrays = load_file(trainer.run.checkpoint)
    weights = {k.removeprefix("model."): v for k, v in arrays.items() if k.startswith("model.")}
    assert_same(weights, {k: v.numpy() for k, v in trainer.procedure.model.state_dict().items()})


# --------------------------------------------------------------------------- progress
def test_plain_progress_is_ascii_and_a_bar_needs_a_terminal(capsys):
    show = training.progress()
    assert type(show) is training.Progress            # captured output is no terminal
    show.seconds = 0
    with show:
        show.start(0, 100, 64)
        show.update(10, "epoch 1/2", {"loss": 0.5, "test_loss": 1 / 3})
        show.update(20, "epoch 1/2", {"loss": 0.25})
        show.line("done")
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.startswith("epoch 1/2  step 10/100  loss 0.5  test loss 0.3333\n")
    assert "images/s" in out and "left" in out and out.endswith("done\n")


def test_the_time_left_is_not_that_of_compiling(monkeypatch):
    show, now = training.Progress(), 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    show.start(0, 1000, 64)
    now = 40.0                                        # the first pictures, and compiling
    assert show.speed(10) == ""
    now = 40.3
    assert show.speed(13) == ""                       # too few steps to tell
    now = 41.0
    assert show.speed(20) == "640 images/s  1:38 left"
    show.forget()                                     # something else was compiled
    now = 61.0
    assert show.speed(30) == ""
    now = 62.0
    assert show.speed(50) == "1,280 images/s  0:48 left"


def test_compiling_in_the_middle_begins_the_measurement_anew():
    trainer, lines, speeds = tiny_trainer(), [], []
    trainer.show.line = lines.append
    trainer.show.update = lambda done, *rest: speeds.append(trainer.show.speed(done))
    for step in (1, 9):
        stop_at(trainer, step, lambda: tell("compiling", "gelu"))
    trainer.fit(1)
    assert [bool(speed) for speed in speeds] == 5 * [False] + 3 * [True] + 4 * [False] + [False]
    assert sum(line.startswith("compiling kernels") for line in lines) == 1
    tell("compiling", "gelu")                          # the run is over: nobody listens
    assert sum(line.startswith("compiling kernels") for line in lines) == 1


def test_the_bar_draws(monkeypatch, capsys):
    rich = pytest.importorskip("rich.console")
    from minidl.training.progress import BarProgress
    with BarProgress(console=rich.Console(force_terminal=True, width=100)) as show:
        show.start(5, 100, 64)
        show.update(40, "epoch 1/2", {"loss": 0.75})
        show.update(50, "epoch 1/2", {"loss": 0.5})
        show.line("a line [that] stays")
    out = capsys.readouterr().out
    assert "a line [that] stays" in out and "loss 0.5" in out and "left" in out
