"""Metrics (D2-METRICS): by hand, against the formulas in plain loops, against scikit-learn."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import EXAMPLES
from minidl import Tensor, formulas, metrics

# Three classes, eight examples; the matrix below is counted by hand.
TRUE = np.array([0, 0, 0, 1, 1, 2, 2, 2])
CALLED = np.array([0, 0, 1, 1, 2, 2, 2, 0])
AVERAGES = ["macro", "micro", "weighted", None]

pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)


@st.composite
def scored(draw):
    """Labels with both classes, and scores with many ties among them."""
    true = [0, 1, *draw(st.lists(st.integers(0, 1), max_size=30))]
    few = st.integers(-3, 3).map(float)
    values = few | st.floats(-1e6, 1e6, allow_subnormal=False)
    scores = draw(st.lists(values, min_size=len(true), max_size=len(true)))
    return np.array(true), np.array(scores)


def columns(rows):
    true, called = np.array(rows).T
    return true, called


# --- by hand ---------------------------------------------------------------------------------


def test_counts_by_hand():
    matrix = metrics.confusion_matrix(TRUE, CALLED)
    assert matrix.tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 2]]
    assert metrics.accuracy(TRUE, CALLED) == 5 / 8
    np.testing.assert_allclose(metrics.precision(TRUE, CALLED, None), [2 / 3, 1 / 2, 2 / 3])
    np.testing.assert_allclose(metrics.recall(TRUE, CALLED, None), [2 / 3, 1 / 2, 2 / 3])
    assert metrics.precision(TRUE, CALLED) == pytest.approx(11 / 18)
    assert metrics.recall(TRUE, CALLED, "weighted") == pytest.approx(5 / 8)
    assert metrics.f1(TRUE, CALLED, "micro") == pytest.approx(5 / 8)
    assert metrics.f1(TRUE == 0, CALLED == 0, "binary") == pytest.approx(2 / 3)


def test_f1_and_auc_are_not_accuracy():
    """Erratum E2.3: the document prints accuracy's formula for both."""
    true = np.array([0] * 9 + [1])
    always_0, scores = np.zeros(10, dtype=int), np.zeros(10)
    assert metrics.accuracy(true, always_0) == 0.9
    assert metrics.f1(true, always_0, "binary") == 0
    assert metrics.roc_auc(true, scores) == 0.5


def test_labels_choose_and_order_the_classes():
    matrix = metrics.confusion_matrix(TRUE, CALLED, labels=[2, 0, 7])
    assert matrix.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert metrics.confusion_matrix([1], [1], labels=range(10)).shape == (10, 10)
    assert metrics.precision(TRUE, CALLED, None, labels=[2, 9]).tolist() == [2 / 3, 0]


def test_zero_division():
    true, called = [0, 0, 1], [0, 0, 0]  # class 1 is never called: its precision is 0 / 0
    assert metrics.precision(true, called, None).tolist() == [2 / 3, 0]
    assert metrics.precision(true, called, zero_division=1) == pytest.approx(5 / 6)
    assert metrics.precision(true, called, zero_division=np.nan) == pytest.approx(2 / 3)
    assert np.isnan(metrics.precision(true, called, None, zero_division=np.nan)[1])


def test_curves_by_hand():
    true, scores = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    fpr, tpr, thresholds = metrics.roc_curve(true, scores)
    assert fpr.tolist() == [0, 0, 0.5, 0.5, 1] and tpr.tolist() == [0, 0.5, 0.5, 1, 1]
    assert thresholds.tolist() == [np.inf, 0.8, 0.4, 0.35, 0.1]
    assert metrics.roc_auc(true, scores) == metrics.auc(fpr, tpr) == 0.75
    precision, recall, thresholds = metrics.precision_recall_curve(true, scores)
    np.testing.assert_allclose(precision, [1 / 2, 2 / 3, 1 / 2, 1, 1])
    assert recall.tolist() == [1, 1, 0.5, 0.5, 0] and thresholds.tolist() == [0.1, 0.35, 0.4, 0.8]
    assert metrics.auc([1, 0], [0, 1]) == metrics.auc([0, 1], [1, 0]) == 0.5
    assert metrics.average_precision(true, scores) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


def test_tensors_are_taken_too():
    true, called = Tensor(TRUE), Tensor(CALLED)
    assert metrics.accuracy(true, called) == 5 / 8
    assert metrics.roc_auc(Tensor(TRUE > 0), Tensor(np.arange(8.0), requires_grad=True)) == 1


# --- properties ------------------------------------------------------------------------------


@given(pairs)
def test_metrics_are_the_formulas(rows):
    true, called = columns(rows)
    assert metrics.accuracy(true, called) == pytest.approx(formulas.accuracy(called, true))
    for c in range(5):
        one = (true == c).astype(int), (called == c).astype(int)
        for name in ("precision", "recall", "f1"):
            expected = getattr(formulas, name)(one[1], one[0])
            assert getattr(metrics, name)(*one, "binary") == pytest.approx(expected)
            per_class = getattr(metrics, name)(true, called, None, labels=range(5))
            assert per_class[c] == pytest.approx(expected)


@given(scored())
def test_curves_are_the_formulas(case):
    true, scores = case
    fpr, tpr, thresholds = metrics.roc_curve(true, scores, drop_intermediate=False)
    np.testing.assert_allclose(np.stack([fpr, tpr], axis=1), formulas.roc(scores, true))
    area = formulas.auc(formulas.roc(scores, true))
    assert metrics.roc_auc(true, scores) == pytest.approx(area)
    precision, recall, thresholds = metrics.precision_recall_curve(true, scores)
    for p, r, threshold in zip(precision, recall, thresholds):
        called = (scores >= threshold).astype(int)
        assert p == pytest.approx(formulas.precision(called, true))
        assert r == pytest.approx(formulas.recall(called, true))


@given(scored())
def test_area_is_the_probability_of_the_right_order(case):
    true, scores = case
    ones, zeros = scores[true == 1][:, None], scores[true == 0][None, :]
    chance = np.mean((ones > zeros) + 0.5 * (ones == zeros))
    assert metrics.roc_auc(true, scores) == pytest.approx(chance)
    assert metrics.roc_auc(1 - true, -scores) == pytest.approx(chance)
    assert metrics.roc_auc(true, np.arctan(scores / 1e6)) == pytest.approx(chance, abs=1e-9)


@given(scored())
def test_average_precision_is_the_mean_of_precisions(case):
    true, scores = case
    at_ones = [true[scores >= score].mean() for score in scores[true == 1]]
    assert metrics.average_precision(true, scores) == pytest.approx(np.mean(at_ones))


@given(pairs, st.permutations(range(5)))
def test_matrix_properties(rows, order):
    true, called = columns(rows)
    matrix = metrics.confusion_matrix(true, called, labels=range(5))
    np.testing.assert_array_equal(matrix.T, metrics.confusion_matrix(called, true, range(5)))
    np.testing.assert_array_equal(matrix[np.ix_(order, order)],
                                  metrics.confusion_matrix(true, called, order))
    assert matrix.sum() == len(rows)
    assert matrix.trace() / len(rows) == pytest.approx(metrics.accuracy(true, called))
    assert metrics.precision(true, called, "micro") == pytest.approx(metrics.accuracy(true, called))
    assert metrics.precision(true, called) == pytest.approx(metrics.recall(called, true))


# --- scikit-learn, where it is installed -----------------------------------------------------


@pytest.fixture(scope="module")
def sklearn_metrics():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sklearn.metrics")


def same(ours, theirs, name):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("zero", [0.0, 1.0, np.nan])
@given(rows=pairs, labels=st.none() | st.lists(st.integers(0, 6), min_size=1, unique=True))
def test_averages_equal_sklearn(sklearn_metrics, average, zero, rows, labels):
    true, called = columns(rows)
    if labels is not None and not set(labels) & set(true.tolist() + called.tolist()):
        labels = None  # scikit-learn refuses these in places
    for name in ("precision", "recall", "f1"):
        theirs = getattr(sklearn_metrics, f"{name}_score")(
            true, called, average=average, labels=labels, zero_division=zero
        )
        same(getattr(metrics, name)(true, called, average, labels, zero), theirs, name)


@pytest.mark.parametrize("zero", [0.0, 1.0])
@given(rows=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_two_classes_equal_sklearn(sklearn_metrics, zero, rows):
    true, called = columns(rows)
    for name in ("precision", "recall", "f1"):
        theirs = getattr(sklearn_metrics, f"{name}_score")(true, called, zero_division=zero)
        same(getattr(metrics, name)(true, called, "binary", None, zero), theirs, name)


@given(rows=pairs, labels=st.none() | st.permutations(range(7)))
def test_accuracy_and_matrix_equal_sklearn(sklearn_metrics, rows, labels):
    true, called = columns([*rows, (0, 1)])  # of a single class scikit-learn warns
    same(metrics.accuracy(true, called), sklearn_metrics.accuracy_score(true, called), "accuracy")
    np.testing.assert_array_equal(
        metrics.confusion_matrix(true, called, labels),
        sklearn_metrics.confusion_matrix(true, called, labels=labels),
    )


@given(case=scored())
def test_curves_equal_sklearn(sklearn_metrics, case):
    for name in ("roc_curve", "precision_recall_curve"):
        for ours, theirs in zip(
            getattr(metrics, name)(*case), getattr(sklearn_metrics, name)(*case), strict=True
        ):
            same(ours, theirs, name)
    fpr, tpr, _ = sklearn_metrics.roc_curve(*case)
    same(metrics.auc(fpr, tpr), sklearn_metrics.auc(fpr, tpr), "auc")
    same(metrics.roc_auc(*case), sklearn_metrics.roc_auc_score(*case), "roc_auc")
    theirs = sklearn_metrics.average_precision_score(*case)
    same(metrics.average_precision(*case), theirs, "average_precision")


@pytest.mark.parametrize("average", AVERAGES)
def test_many_examples_equal_sklearn(sklearn_metrics, average):
    """As many as a test set has, with classes of very different sizes."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(0.3 * np.ones(10), 5000) + rng.dirichlet(np.arange(1, 11)) * 0.5
    true = np.array([rng.choice(10, p=row / row.sum()) for row in p])
    called = p.argmax(1)
    for name in ("precision", "recall", "f1"):
        theirs = getattr(sklearn_metrics, f"{name}_score")(true, called, average=average)
        same(getattr(metrics, name)(true, called, average), theirs, name)
    for c in range(10):
        theirs = sklearn_metrics.roc_auc_score(true == c, p[:, c])
        same(metrics.roc_auc(true == c, p[:, c]), theirs, f"roc_auc of {c}")
        theirs = sklearn_metrics.average_precision_score(true == c, p[:, c])
        same(metrics.average_precision(true == c, p[:, c]), theirs, f"average_precision of {c}")


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy([0, 1], [0]), r"accuracy: .* got \(2,\) and \(1,\)"),
        (lambda: metrics.accuracy([], []), "N >= 1"),
        (lambda: metrics.accuracy([0, 1], np.zeros((2, 3))), r"pass their argmax\(1\)"),
        (lambda: metrics.f1([0], [0], "mean"), "average is 'mean'"),
        (lambda: metrics.f1([0, 2], [0, 1], "binary"), "needs classes 0 and 1"),
        (lambda: metrics.recall([0, -1], [0, 1], "binary"), "needs classes 0 and 1"),
        (lambda: metrics.confusion_matrix([0], [0], [1, 1]), "must be different classes"),
        (lambda: metrics.confusion_matrix([0], [0], []), "must be different classes"),
        (lambda: metrics.roc_auc([1, 1], [0.1, 0.2]), "must hold 0 and 1"),
        (lambda: metrics.roc_curve([0, 1, 2], [0.1, 0.2, 0.3]), "must hold 0 and 1"),
        (lambda: metrics.roc_curve([0, 1], [0.1, np.nan]), "scores must be finite"),
        (lambda: metrics.precision_recall_curve([0, 1], [0.1]), r"got \(2,\) and \(1,\)"),
        (lambda: metrics.average_precision([0, 0], [0.1, 0.2]), "must hold 0 and 1"),
        (lambda: metrics.auc([0], [1]), "at least 2 points"),
        (lambda: metrics.auc([0, 2, 1], [1, 1, 1]), "rise or fall"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_labels_that_are_no_choice_of_classes(name):
    metric = getattr(metrics, name)
    for labels in ([], [1, 1], [[0, 1]], 1):
        for average in AVERAGES:
            with pytest.raises(ValueError, match=f"{name}: labels must be different classes"):
                metric(TRUE, CALLED, average, labels)
    for labels in ([1], [0, 1], []):
        with pytest.raises(ValueError, match=f'{name}: average="binary" is about class 1, labels'):
            metric([0, 1, 1], [1, 1, 0], "binary", labels)


def test_classes_must_be_integers():
    with pytest.raises(TypeError, match="precision: predicted must be integers, got float64"):
        metrics.precision([0, 1], [0.2, 0.9])


# --- the gallery's page ----------------------------------------------------------------------


@pytest.mark.slow
def test_plot_metrics_runs():
    command = [sys.executable, "-W", "ignore", EXAMPLES / "plot_metrics.py"]
    done = subprocess.run(command, env={**os.environ, "MPLBACKEND": "Agg"}, text=True,
                          capture_output=True, check=True)
    table = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert float(table["accuracy"][0]) > 0.8
    assert table["micro"] == 3 * table["accuracy"]        # one label an example: all the same
    assert len(set(table["macro"] + table["weighted"])) > 2
    for c in range(10):
        p, r, f1 = map(float, table[str(c)])
        assert f1 == pytest.approx(2 * p * r / (p + r), abs=2e-3)
