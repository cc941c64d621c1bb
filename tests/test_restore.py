"""What a checkpoint must hold: all of it is checked before anything is changed by it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil

import numpy as np
import pytest
from test_training import Quiet, assert_same, state, tiny_gan, tiny_trainer

import minidl
from minidl import cli, data
from minidl.files import saving
from minidl.training import Run, Trainer, checkpoint, restore
from minidl.training.config import config_for
from minidl.training.job import Job


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run stopped in its second epoch, after step 3 of 12."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    trainer = tiny_trainer(folder, save_every=0)
    minidl.manual_seed(3)
    trainer.fit(1)
    trainer.loader.set_epoch(1)
    for _, (images, labels) in zip(range(3), trainer.loader):
        trainer.procedure.step(images, labels)
    trainer.step, trainer.epochs = 3, 4
    trainer.sums, trainer.images = {"loss": 12.0, "accuracy": 6.0}, 12
    trainer.save()
    return folder


@pytest.fixture
def run(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    return tmp_path / "run"


def put(key, *path_and_value):
    """Set ``state[key][...]`` to the last argument."""
    *path, last, value = key, *path_and_value

    def change(state):
        for name in path:
            state = state[name]
        state[last] = value
    return change


def drop(*path):
    def change(state):
        for name in path[:-1]:
            state = state[name]
        del state[path[-1]]
    return change


OPTIMIZER = ("optimizers", "model")
NAN = np.full((3, 32), np.nan, np.float32)

# What is wrong, and what is said of it. No checksum tells: the file was written with it.
WRONG = [
    (put("epoch", -5), '"epoch" is -5'), (put("epoch", 1.5), '"epoch" is missing, or of the wrong'),
    (put("epoch", True), '"epoch" is missing, or of'), (put("epoch", 2), '"history" is not a rec'),
    (put("step", "x"), '"step" is missing, or of the wrong type'), (put("step", -1), '"step" is'),
    (put("step", 13), "its step is 13, an epoch has 12"),
    (put("step", 0), '"sums" are of 12 images, after 0 steps'),
    (put("images", 11), '"sums" are of 11 images, after 3 steps'),
    (put("sums", {}), '"sums" are of 12 images'), (put("sums", "loss", "x"), '"sums" are no fin'),
    (put("sums", "loss", float("nan")), '"sums" are no finite numbers'),
    (put("epochs", None), '"epochs" is missing'), (put("epochs", -1), '"epochs" is -1'),
    (put("history", [{"epoch": 7}]), '"history" is not a record'), (put("history", [3]), "history"),
    (put("history", 0, "loss", float("inf")), "history"), (put("log", []), '"log" is no mark'),
    (put("log", [-1, "x"]), '"log" is no mark'), (put("random", [0]), r"expected \(seed, counter"),
    (put("random", [0, -1]), "must be at least 0, got -1"), (put("random", None), "random"),
    (put("random", [2**64, 0]), r"seed must be in \[0, 2\*\*64\)"),
    (put("random", [0, 2**64]), r"counter must be in"), (put("random", ["0", 1]), "whole number"),
    (drop("random"), '"random" is missing'), (drop("sums"), '"sums" is missing'),
    (drop("model"), '"model" is missing'), (put("model", [1]), '"model" is missing, or of'),
    (drop("model", "0.weight"), "missing: 0.weight"),
    (put("model", "9.bias", np.ones(3, np.float32)), "unexpected: 9.bias"),
    (put("model", "0.bias", 3.0), "its 0.bias is no array"),
    (put("model", "4.weight", NAN), "its 4.weight is not finite"),
    (put("model", "4.weight", NAN[:, :2] * 0), r"its 4.weight is not finite|\(3, 2\) given"),
    (put("model", "4.weight", np.zeros((3, 32))), "its 4.weight is float64, the model's float32"),
    (put("model", "4.weight", np.zeros((3, 32), np.int32)), "its 4.weight is int32, the model's"),
    (put("model_name", "vae"), "holds the model 'vae', 'tiny' is needed"),
    (drop("optimizers"), '"optimizers" is missing'), (put("optimizers", {}), "holds the optimis"),
    (put("optimizers", "other", {}), "it holds the optimisers model, other; needed are model"),
    (put(*OPTIMIZER, {}), "Adam.load_state_dict: state_dict must have .*param_groups"),
    (put(*OPTIMIZER, "state", {}), "has state of 0 parameters, it moved 4"),
    (drop(*OPTIMIZER, "state", 2), "has state of 3 parameters, it moved 4"),
    (put(*OPTIMIZER, "state", [1]), "must have .state., a dict of dicts"),
    (put(*OPTIMIZER, "state", 9, {}), "state of parameter 9, this optimiser has 4"),
    (put(*OPTIMIZER, "state", 0, "step", "x"), "step of parameter 0 must be a whole number"),
    (put(*OPTIMIZER, "state", 0, "step", -2), "step of parameter 0 must be at least 0"),
    (put(*OPTIMIZER, "state", 0, "step", 2.5), "step of parameter 0 must be a whole number"),
    (drop(*OPTIMIZER, "state", 0, "exp_avg"), "exp_avg of parameter 0 is missing"),
    (put(*OPTIMIZER, "state", 0, "exp_avg", 1.0), "exp_avg of parameter 0 is missing, or of anot"),
    (put(*OPTIMIZER, "state", 0, "exp_avg", NAN), r"exp_avg of parameter 0 has shape \(3, 32\)"),
    (put(*OPTIMIZER, "state", 0, "exp_avg", np.zeros((2, 1, 3, 3), np.int32)), "is of dtype int32"),
    (put(*OPTIMIZER, "param_groups", []), r"groups of \[\] parameters given"),
    (put(*OPTIMIZER, "param_groups", 0, "lr", "x"), "lr must be a number, got 'x'"),
    (put(*OPTIMIZER, "param_groups", 0, "lr", -1), "lr must be at least 0"),
    (put(*OPTIMIZER, "param_groups", 0, "initial_lr", None), "initial_lr must be a number, got"),
    (put(*OPTIMIZER, "param_groups", 0, "betas", [0.9]), "betas must be a pair of numbers"),
    (put(*OPTIMIZER, "param_groups", 0, "params", [0]), r"groups of \[1\] parameters given"),
    (put("made_with", "seed", 4), "made with seed 4, now it is 3: put it back"),
    (put("made_with", "data", "0"), "was made with other data than these"),
    (put("made_with", "batch_size", 8), "made with batch_size 8, now it is 4"),
    (put("made_with", "lr", 0.1), "made with lr 0.1, now it is None"),
    (drop("made_with"), '"made_with" is missing'),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_state_that_is_wrong_is_refused_and_nothing_is_changed(change, message, run):
    content = checkpoint.read_state(run / "checkpoint.safetensors")
    change(content)
    checkpoint.write_state(run / "checkpoint.safetensors", content)
    log = (run / "log.jsonl").read_bytes()
    trainer = tiny_trainer()
    trainer.run = Run.open(run)
    before = state(trainer)
    with pytest.raises(ValueError, match=message) as refused:
        trainer.resume()
    assert str(run / "checkpoint.safetensors") in str(refused.value)
    assert_same(state(trainer), before)
    assert (trainer.epoch, trainer.step, trainer.history) == (0, 0, [])
    assert (run / "log.jsonl").read_bytes() == log


def test_the_state_that_those_are_made_of_is_taken(run):
    resumed = tiny_trainer(run, resume=True)
    assert (resumed.epoch, resumed.step, resumed.epochs, resumed.images) == (1, 3, 4, 12)


def test_a_second_optimiser_that_is_wrong_leaves_the_first_as_it_was(tmp_path):
    loader = data.DataLoader((np.zeros((8, 1, 8, 8), np.float32), np.zeros(8, int)), 4)
    run = Run.create({"model": "gan"}, tmp_path)
    Trainer(tiny_gan(), loader, run=run, show=Quiet()).fit(1)
    content = checkpoint.read_state(run.checkpoint)
    content["optimizers"]["discriminator"]["state"][0]["step"] = "x"
    checkpoint.write_state(run.checkpoint, content)
    fresh = Trainer(tiny_gan(), loader, run=run, show=Quiet())
    before = state(fresh)
    with pytest.raises(ValueError, match="step of parameter 0 must be a whole number"):
        fresh.resume()
    assert_same(state(fresh), before)
    assert not any(o.state for o in fresh.procedure.optimizers.values())


class Loader:
    """Somebody's own: what a Trainer asks for, and a dataset that is a list."""

    batch_size = 4

    def __init__(self):
        rng = np.random.default_rng(0)
        self.dataset = [(rng.normal(size=(4, 1, 6, 6)).astype(np.float32), np.arange(4) % 3)
                        for _ in range(3)]

    def __len__(self):
        return len(self.dataset)

    def set_epoch(self, epoch, step=0):
        self.at = step

    def __iter__(self):
        for images, labels in self.dataset[self.at:]:
            yield minidl.tensor(images), minidl.tensor(labels)


def test_a_loader_of_ones_own_goes_on(tmp_path):
    def trainer(resume=False, folder=tmp_path / "run"):
        made = tiny_trainer()
        made.loader, made.test = Loader(), None
        made.run = Run.open(folder) if resume else Run.create({"model": "tiny"}, folder)
        return made

    whole = trainer(folder=tmp_path / "whole")
    whole.fit(2)
    trainer().fit(1)
    saved = checkpoint.read_state(tmp_path / "run" / "checkpoint.safetensors")
    assert saved["made_with"]["data"] is None
    resumed = trainer(resume=True)
    resumed.resume()
    resumed.fit(2)
    assert_same(state(resumed), state(whole))


# --------------------------------------------------------------------------- files
def test_every_byte_of_a_checkpoint_is_watched(run):
    """A byte changed anywhere, in header or numbers, and every truncation, is an error."""
    path = run / "checkpoint.safetensors"
    whole = path.read_bytes()
    size, rng = 8 + int.from_bytes(whole[:8], "little"), np.random.default_rng(5)
    places = [*range(8), *rng.integers(8, size, 150), *rng.integers(size, len(whole), 50)]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        with pytest.raises(ValueError):
            checkpoint.read_state(path)
    for length in (*range(0, 9), *rng.integers(9, len(whole), 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="truncated, damaged"):
            checkpoint.read_state(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(ValueError):
        checkpoint.read_state(path)
    path.write_bytes(whole)
    checkpoint.read_state(path)


def test_a_type_changed_in_the_header_is_an_error(run):
    path = run / "checkpoint.safetensors"
    whole = path.read_bytes()
    assert whole.count(b'"dtype":"F32"') > 4
    path.write_bytes(whole.replace(b'"dtype":"F32"', b'"dtype":"I32"', 1))
    with pytest.raises(ValueError, match="do not have the checksum that was written with them"):
        checkpoint.read_state(path)


def test_equal_states_are_equal_files_and_say_who_wrote_them(tmp_path):
    files = []
    for name in ("one", "another/place"):
        tiny_trainer(tmp_path / name).fit(2)
        files.append((tmp_path / name / "checkpoint.safetensors").read_bytes())
    assert files[0] == files[1]
    _, header = saving.read_arrays(tmp_path / "one" / "checkpoint.safetensors")
    assert header["version"] == minidl.__version__


def test_a_run_that_went_on_ends_in_the_same_file(tmp_path):
    tiny_trainer(tmp_path / "whole").fit(2)
    tiny_trainer(tmp_path / "halves").fit(1)
    tiny_trainer(tmp_path / "halves", resume=True).fit(2)
    for name in ("checkpoint.safetensors", "log.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "halves" / name).read_bytes()


def test_weights_that_were_saved_are_watched_too(tmp_path):
    path = tmp_path / "w.safetensors"
    minidl.save({"a": minidl.ones(100)}, path)
    content = bytearray(path.read_bytes())
    content[-7] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: its contents do not have the checksum"):
        minidl.load(path)


def test_a_checkpoint_of_an_older_minidl_says_what_to_do(tmp_path):
    from safetensors.numpy import save_file
    path = tmp_path / "c.safetensors"
    save_file({"a": np.ones(3)}, path, {"format": "minidl-checkpoint-1", "state": "{}"})
    with pytest.raises(ValueError, match="of the format minidl-checkpoint-1, .* or train again"):
        checkpoint.read_state(path)


# --------------------------------------------------------------------------- configs
@pytest.fixture(scope="module")
def vae_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vae"
    job = Job(config_for("vae", epochs=1, batch_size=64, quick=True, latent=2))
    Trainer(job.procedure, job.train_loader(), run=Run.create(job.config, folder),
            show=Quiet()).fit(1)
    return folder


@pytest.mark.parametrize(("key", "value", "message"), [
    ("lr", 0.002, "made with lr 0.001, now it is 0.002"),
    ("batch_size", 32, "made with batch_size 64, now it is 32"),
    ("seed", 1, "made with seed 0, now it is 1"),
    ("quick", False, "made with quick True, now it is False"),
    ("options", {"latent": 3}, r"made with options \{'latent': 2\}, now it is \{'latent': 3\}"),
    ("options", {"latent": 2, "likelihood": "gaussian"}, "made with options"),
    ("model", "cnn-padded", "options: .*latent|'cnn-padded' is needed"),
    ("more", 1, "made with more None, now it is 1"),
    ("lr", True, "lr: True is of the wrong type"), ("seed", True, "seed: True is of the wrong"),
    ("quick", 1, "quick: 1 is of the wrong type"), ("epochs", "2", "epochs: '2' is of the wrong"),
    ("options", {"latent": "x"}, "latent: 'x' is of the wrong type"),
    ("options", {"latent": True}, "latent: True is of the wrong type"),
    ("options", {"latent": 2, "\x1b[31m": 1}, r"options: .*\\x1b\[31m"),
])
def test_a_config_that_was_edited_is_refused(key, value, message, vae_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(vae_run, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, key: value}))
    for arguments in (["train", "--resume", run], ["evaluate", run, "--no-pictures"],
                      ["sample", run]):
        assert cli.main([*map(str, arguments)]) == 2, arguments
        err = capsys.readouterr().err
        assert re.search(message, err) and err.count("\n") == 1, err


def test_how_far_a_run_goes_is_known_by_its_checkpoint(vae_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli.plots, "matplotlib_problem", lambda: "no pictures here")
    run = tmp_path / "run"
    shutil.copytree(vae_run, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "epochs": 3}))
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert ("note: config.json says 3 epochs, the run was asked for 1: --epochs 3 changes that"
            in capsys.readouterr().out)
    assert json.loads((run / "config.json").read_text()) == config


def test_other_data_are_refused_wherever_they_lie(vae_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(vae_run, run)
    config = json.loads((run / "config.json").read_text())
    other = tmp_path / "digits"
    other.mkdir()
    for name, images in (("train", 256), ("t10k", 100)):
        for kind, shape in (("images-idx3", (images, 28, 28)), ("labels-idx1", (images,))):
            head = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes()
            (other / f"{name}-{kind}-ubyte").write_bytes(head + bytes(int(np.prod(shape))))
    (run / "config.json").write_text(json.dumps({**config, "data": str(other)}))
    for arguments in (["train", "--resume", run], ["evaluate", run, "--no-pictures"]):
        assert cli.main([*map(str, arguments)]) == 2
        err = capsys.readouterr().err
        assert "made with other data" in err or "is not what the run was made with" in err


@pytest.mark.parametrize("step, images, sums, right", [
    (0, 0, {}, True), (1, 1, {"loss": 0.5}, True), (2, 7, {"loss": 0.5}, True),
    (0, 1, {}, False), (1, 0, {"loss": 0.5}, False), (1, 1, {}, False),
    (0, 0, {"loss": 0.5}, False), (3, 9, {"loss": 0.5}, False)])
def test_the_place_in_batches_of_ones_own(step, images, sums, right):
    """How many images there were is known only of a DataLoader: else, whether there were any."""
    state = {"step": step, "images": images, "sums": sums}
    refused = pytest.raises(ValueError, match="its .?(step|sums)")
    with contextlib.nullcontext() if right else refused:
        restore.check_place(state, [1, 2])
