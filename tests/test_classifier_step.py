"""A classifier's training, evaluation and predictions against formulas.py, number by number; and
the loop around every procedure: order, learning rates, means, modes.

Dropout in the network tells the mode: in training it draws, at rest it does nothing.
"""

from __future__ import annotations

import byhand
import numpy as np
import pytest
from test_training import Quiet

import minidl
from minidl import data, formulas, nn, optim, training

LABELS = np.array([2, 0, 1, 1, 0, 2, 2, 0, 1, 2])


def made() -> nn.Sequential:
    return byhand.randomise(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(),
                                          nn.Dropout(0.5), nn.Linear(3, 3)))


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(10, 1, 2, 2))[:n]


def batches(n: int, size: int, **options) -> data.DataLoader:
    return data.DataLoader((images(n), LABELS[:n]), size, **options)


def logits(w: byhand.Weights, x: np.ndarray, mask: np.ndarray | float = 1.0) -> np.ndarray:
    h = formulas.tanh(formulas.linear(x.reshape(len(x), 4), w["1.weight"], w["1.bias"])) * mask
    return formulas.linear(h, w["4.weight"], w["4.bias"])


def judged(w: byhand.Weights, x: np.ndarray, t: np.ndarray, mask: np.ndarray | float = 1.0
           ) -> tuple[float, float]:
    """Cross entropy and accuracy."""
    scores = logits(w, x, mask)
    return (formulas.cross_entropy_classes(scores, t),
            formulas.accuracy([int(row.argmax()) for row in scores], t))


# --------------------------------------------------------------------------- the five steps
@pytest.mark.parametrize("one_hot", [False, True])
def test_two_steps_are_the_formulas(one_hot):
    """D0-CNN, D1-CNN, D2-CNN, D4-CNN, D0-CE, D0-ADAM: loss, accuracy, gradients and weights of two
    steps in a row, on batches of 4 and 3, from class numbers and from one-hot rows."""
    model, generator, adam = made().train(), byhand.own_generator(), byhand.Adam()
    steps = training.ClassifierSteps(model, optim.Adam(model.parameters(), **byhand.Adam.options),
                                     one_hot)
    w = byhand.weights(model)
    for part in (slice(0, 4), slice(4, 7)):
        x, t = images(10)[part], LABELS[part]
        found = steps.step(minidl.tensor(x), minidl.tensor(t))
        mask = byhand.mask(generator, (len(t), 3), 0.5)
        loss, accuracy = judged(w, x, t, mask)
        assert found["loss"].item() == pytest.approx(loss, rel=1e-6)   # one-hot rows are float32
        assert found["accuracy"].item() == pytest.approx(accuracy, rel=1e-6)
        assert not any(value.requires_grad for value in found.values())      # no graph is kept
        grads = byhand.gradients(lambda w: judged(w, x, t, mask)[0], w, list(w))
        byhand.assert_gradients(model, grads)
        adam.step(w, grads)
        byhand.assert_weights(model, w, rtol=1e-6)


def test_class_numbers_can_leave_an_image_out():
    """D0-CE: -100 is no class, and its image has no part in the mean; rows cannot say so."""
    model = made().eval()
    w, x, t = byhand.weights(model), images(4), np.array([2, 0, 1, -100])
    steps = training.ClassifierSteps(model, optim.SGD(model.parameters(), lr=0.0))
    found = steps.step(minidl.tensor(x), minidl.tensor(t))
    assert found["loss"].item() == pytest.approx(judged(w, x[:3], t[:3])[0], rel=1e-12)
    steps = training.ClassifierSteps(model, None, one_hot=True)
    with pytest.raises(ValueError, match="one_hot: .*-100"):
        steps.step(minidl.tensor(x), minidl.tensor(t))


# --------------------------------------------------------------------------- what is reported
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("size", [10, 4, 3])
def test_evaluation_is_the_mean_over_images_at_rest(one_hot, size):
    """D0-CNN, D4-CNN: every image counts alike whatever the batches; no dropout; nothing moves."""
    model = made().train()
    w = byhand.weights(model)
    found = training.ClassifierSteps(model, None, one_hot).evaluate(batches(10, size))
    loss, accuracy = judged(w, images(10), LABELS)
    assert found == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-6)
    assert 0 < accuracy < 1
    byhand.assert_weights(model, w, rtol=0)


def test_predictions_and_probabilities_are_those_at_rest():
    """D1-SOFTMAX: probabilities of all images, each row summing to 1, beside the labels; predict
    gives the logits, and leaves the mode as it was."""
    model = made()
    w = byhand.weights(model)
    expected = logits(w, images(10))
    for was in (True, False):
        model.train(was)
        np.testing.assert_allclose(training.predict(model, images(10), 4), expected, rtol=1e-10)
        assert model.training is was
    p, labels = training.outputs.class_probabilities(model.train(), batches(10, 4))
    np.testing.assert_allclose(p, formulas.softmax(expected), rtol=1e-10)
    assert labels.tolist() == LABELS.tolist()


# --------------------------------------------------------------------------- the loop
SHARES = {"always": None, "falling": lambda t: 1 - t, "rising": lambda t: 0.5 + 2 * t}


@pytest.mark.parametrize("schedule", SHARES)
def test_a_run_is_its_steps_written_out(schedule):
    """Two epochs over 10 images in batches of 4, 4 and 2, in the order of each epoch. Step k of 6
    has the learning rate times schedule(k / 6), k from 0. An epoch's loss is the mean over its
    images, the test loss that of the weights at its end, at rest."""
    model, generator, adam = made(), byhand.own_generator(), byhand.Adam()
    share = SHARES[schedule]
    loader, rows = batches(10, 4, shuffle=True, seed=5), []
    trainer = training.Trainer(
        training.ClassifierSteps(model, optim.Adam(model.parameters(), **byhand.Adam.options)),
        loader, batches(7, 2), show=Quiet(), schedule=share)
    w, orders, k = byhand.weights(model), [loader.order(epoch) for epoch in (0, 1)], 0
    history = trainer.fit(2)
    for epoch, order in enumerate(orders):
        total = np.zeros(2)
        for chosen in (order[:4], order[4:8], order[8:]):
            x, t = images(10)[chosen], LABELS[chosen]
            mask = byhand.mask(generator, (len(t), 3), 0.5)
            total += np.multiply(judged(w, x, t, mask), len(t))
            grads = byhand.gradients(lambda w: judged(w, x, t, mask)[0], w, list(w))
            adam.step(w, grads, 0.1 * (share(k / 6) if share else 1))
            k += 1
        names = ("epoch", "loss", "accuracy", "test_loss", "test_accuracy")
        rows.append(dict(zip(names, (epoch + 1, *total / 10, *judged(w, images(7), LABELS[:7])))))
    for found, expected in zip(history, rows, strict=True):
        assert found == pytest.approx(expected, rel=1e-6)
    byhand.assert_weights(model, w, rtol=1e-6)
    assert (orders[0] != orders[1]).any()


def test_epochs_train_in_training_mode_and_look_at_rest():
    """Each step is in training mode, though evaluation and pictures before it were not; whoever
    evaluates, and what is called after an epoch, sees the model at rest, before the first epoch
    too."""
    model, seen = made(), []
    steps = training.ClassifierSteps(model, optim.SGD(model.parameters(), lr=0.1))
    step = steps.step
    steps.step = lambda x, t: seen.append(("step", model.training)) or step(x, t)
    steps.evaluate = lambda loader: seen.append(("test", model.training)) or {"loss": 0.0}
    training.Trainer(steps, batches(8, 4), batches(4, 2), show=Quiet(),
                     after_epoch=lambda n: seen.append((n, model.training))).fit(2)
    train, rest = [("step", True)] * 2 + [("test", False)], False
    assert seen == [(0, rest), *train, (1, rest), *train, (2, rest)]


class Means:
    """A procedure that learns nothing; its loss is the mean of what it is shown."""

    def __init__(self):
        self.model, self.optimizers = made(), {}

    def step(self, images: minidl.Tensor, labels: minidl.Tensor) -> dict[str, minidl.Tensor]:
        return {"loss": images.mean()}


@pytest.mark.parametrize("n", [79, 80, 81])
def test_an_epoch_s_loss_is_the_mean_over_its_images(n):
    """Losses are read every second step of 40, and the last batch may be smaller than the one that
    is read with it."""
    values = np.random.default_rng(n).normal(size=(n, 1))
    loader = data.DataLoader((values, np.zeros(n, int)), 2, shuffle=True)
    (found,) = training.Trainer(Means(), loader, show=Quiet()).fit(1)
    assert found["loss"] == pytest.approx(values.mean(), rel=1e-10)


def test_a_log_has_every_second_step_of_forty(tmp_path):
    """Each with the loss of its own batch, in the order of the epoch."""
    values = np.random.default_rng(0).normal(size=(80, 1))
    loader = data.DataLoader((values, np.zeros(80, int)), 2, shuffle=True, seed=3)
    run = training.Run.create({"model": "means"}, tmp_path / "run")
    training.Trainer(Means(), loader, run=run, show=Quiet()).fit(1)
    expected = values[loader.order(0)].reshape(40, 2).mean(1)
    found = {record["step"]: record["loss"] for record in run.records("step")}
    assert found == pytest.approx({k: expected[k - 1] for k in range(2, 41, 2)}, rel=1e-10)
