"""How good a classifier is: scikit-learn's meanings, on NumPy arrays or tensors.

Class numbers: `true` and `predicted` are integers (N,). Scores: `true` is 0 or 1 (N,), `scores`
are numbers (N,), larger meaning more surely 1. For one class c,

    TP = #(true = c and predicted = c)    FP = #(true != c and predicted = c)
    FN = #(true = c and predicted != c)

`average` joins the classes: "macro" is the plain mean, "weighted" the mean weighted by how often
a class is true, "micro" takes TP, FP and FN summed over the classes, None returns an array with
one entry a class, and "binary" (scikit-learn's default; here it is "macro") returns class 1's.
A quotient 0/0 is `zero_division`: 0 unless said otherwise, 1, or NaN, which the means leave out.

Source: D2-METRICS. The document gives F1 and AUC-ROC accuracy's formula (erratum E2.3); here they
are what their names say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks.arrays import unmasked

__all__ = ["accuracy", "auc", "average_precision", "confusion_matrix", "f1", "precision",
           "precision_recall_curve", "recall", "roc_auc", "roc_curve"]


def accuracy(true: Any, predicted: Any) -> float:
    """#(true = predicted) / N, in [0, 1]. Source: D2-METRICS."""
    true, predicted = _classes("accuracy", true, predicted)
    return float(np.mean(true == predicted))


def confusion_matrix(true: Any, predicted: Any, labels: Any = None) -> np.ndarray:
    """Entry [i, j]: how many examples of class labels[i] were called labels[j]; int64 (K, K).

    `labels` defaults to every class that occurs, sorted; examples of other classes are left out.
    Source: D2-METRICS.
    """
    true, predicted = _classes("confusion_matrix", true, predicted)
    labels = _wanted("confusion_matrix", labels, np.union1d(true, predicted))
    k = len(labels)
    order = np.argsort(labels)
    rows, columns = (
        order[np.searchsorted(labels, values, sorter=order).clip(max=k - 1)]
        for values in (true, predicted)
    )
    known = (labels[rows] == true) & (labels[columns] == predicted)
    return np.bincount(rows[known] * k + columns[known], minlength=k * k).reshape(k, k)


def precision(
    true: Any,
    predicted: Any,
    average: str | None = "macro",
    labels: Any = None,
    zero_division: float = 0.0,
) -> Any:
    """TP / (TP + FP): of what was called c, the part that is. Source: D2-METRICS."""
    tp, called, actual = _counts("precision", true, predicted, average, labels)
    return _joined(tp, called, actual, average, zero_division)


def recall(
    true: Any,
    predicted: Any,
    average: str | None = "macro",
    labels: Any = None,
    zero_division: float = 0.0,
) -> Any:
    """TP / (TP + FN): of what is c, the part that was called so. Source: D2-METRICS."""
    tp, _, actual = _counts("recall", true, predicted, average, labels)
    return _joined(tp, actual, actual, average, zero_division)


def f1(
    true: Any,
    predicted: Any,
    average: str | None = "macro",
    labels: Any = None,
    zero_division: float = 0.0,
) -> Any:
    """2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall.

    Source: D2-METRICS; the document prints accuracy's formula (erratum E2.3).
    """
    tp, called, actual = _counts("f1", true, predicted, average, labels)
    return _joined(2 * tp, called + actual, actual, average, zero_division)


def roc_curve(
    true: Any, scores: Any, drop_intermediate: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False positive rate, true positive rate and thresholds, as the threshold falls.

    fpr[k] = #(true = 0 and scores >= thresholds[k]) / #(true = 0), tpr the same for true = 1. The
    first threshold is infinite: nothing is called 1. `drop_intermediate` leaves out points on a
    straight line between their neighbours, which changes no area.
    Raises ValueError when one of the two classes does not occur. Source: D2-METRICS.
    """
    fp, tp, thresholds = _counts_by_threshold("roc_curve", true, scores)
    if drop_intermediate and len(fp) > 2:
        bend = (np.diff(fp, 2) != 0) | (np.diff(tp, 2) != 0)
        keep = np.concatenate(([True], bend, [True]))
        fp, tp, thresholds = fp[keep], tp[keep], thresholds[keep]
    return np.append(0, fp / fp[-1]), np.append(0, tp / tp[-1]), np.append(np.inf, thresholds)


def auc(x: Any, y: Any) -> float:
    """The area under a curve by trapezia, sum of (x[k+1] - x[k]) (y[k+1] + y[k]) / 2.

    `x` must rise or fall throughout; the area under a falling one is counted positive too.
    Source: D2-METRICS; the document prints accuracy's formula (erratum E2.3).
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise ValueError(
            f"auc: x and y must be (K,) with at least 2 points, got {x.shape} and {y.shape}"
        )
    steps = np.diff(x)
    if not ((steps >= 0).all() or (steps <= 0).all()):
        raise ValueError("auc: x must rise or fall throughout")
    area = float(np.sum(steps * (y[1:] + y[:-1]) / 2))
    return area if x[-1] >= x[0] else -area


def roc_auc(true: Any, scores: Any) -> float:
    """The area under the ROC curve: P(score of a 1 > score of a 0) + P(they are equal) / 2.

    Raises ValueError when one of the two classes does not occur. Source: D2-METRICS, E2.3.
    """
    fpr, tpr, _ = roc_curve(true, scores)
    return auc(fpr, tpr)


def precision_recall_curve(true: Any, scores: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision and recall (K + 1,) and thresholds (K,), as the threshold rises.

    Entry k calls 1 what scores at least thresholds[k]; the last entry, precision 1 and recall 0,
    has no threshold. Raises ValueError when one of the two classes does not occur.
    Source: D2-METRICS.
    """
    fp, tp, thresholds = _counts_by_threshold("precision_recall_curve", true, scores)
    return (
        np.append((tp / (tp + fp))[::-1], 1.0),
        np.append((tp / tp[-1])[::-1], 0.0),
        thresholds[::-1],
    )


def average_precision(true: Any, scores: Any) -> float:
    """The area under the precision-recall curve in steps, sum of (R[k] - R[k-1]) P[k] as the
    threshold falls: the mean, over the ones, of the precision where the score of each is reached.

    Trapezia would promise too much here: precision is no straight line between two thresholds.
    Raises ValueError when one of the two classes does not occur. Source: D2-METRICS.
    """
    p, r, _ = precision_recall_curve(true, scores)
    return float(-np.sum(np.diff(r) * p[:-1]))


# --- what they share -------------------------------------------------------------------------


def _host_array(values: Any) -> np.ndarray:
    """A host array; tensors on a GPU come over by their `numpy()`."""
    return np.asarray(unmasked("metrics", values.numpy() if hasattr(values, "numpy") else values))


def _classes(name: str, true: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = _host_array(true), _host_array(predicted)
    if true.ndim != 1 or true.shape != predicted.shape or len(true) == 0:
        hint = "; of scores (N, K) pass their argmax(1)" if predicted.ndim == 2 else ""
        raise ValueError(
            f"{name}: true and predicted must be class numbers (N,), N >= 1, "
            f"got {true.shape} and {predicted.shape}{hint}"
        )
    for which, values in (("true", true), ("predicted", predicted)):
        if values.dtype.kind not in "iub":
            raise TypeError(f"{name}: {which} must be integers, got {values.dtype}")
    return true.astype(np.int64), predicted.astype(np.int64)


def _wanted(name: str, labels: Any, occurring: np.ndarray) -> np.ndarray:
    """The classes asked for: `labels`, or all that occur."""
    labels = occurring if labels is None else np.asarray(labels)
    if labels.ndim != 1 or not 0 < len(np.unique(labels)) == len(labels):
        raise ValueError(f"{name}: labels must be different classes, got {labels}")
    return labels


def _counts(
    name: str, true: Any, predicted: Any, average: str | None, labels: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each class: TP, how often it was called (TP + FP), how often it is true (TP + FN)."""
    if average not in ("macro", "micro", "weighted", "binary", None):
        raise ValueError(
            f'{name}: average is {average!r}, it must be "macro", "micro", "weighted", "binary" '
            "or None"
        )
    true, predicted = _classes(name, true, predicted)
    if average == "binary":
        if not ((true | predicted) >> 1 == 0).all():
            raise ValueError(f'{name}: average="binary" needs classes 0 and 1')
        if labels is not None:
            raise ValueError(f'{name}: average="binary" is about class 1, labels cannot be given')
        labels = [1]
    occurring = np.union1d(true, predicted)
    wanted = _wanted(name, labels, occurring)
    every = np.union1d(occurring, wanted)
    matrix = confusion_matrix(true, predicted, every)
    at = np.searchsorted(every, wanted)
    return matrix.diagonal()[at], matrix.sum(axis=0)[at], matrix.sum(axis=1)[at]


def _joined(
    top: np.ndarray, bottom: np.ndarray, actual: np.ndarray, average: str | None, zero: float
) -> Any:
    """top / bottom of each class, joined as `average` says."""
    if average == "micro":
        top, bottom = top.sum(keepdims=True), bottom.sum(keepdims=True)
    share = np.full(len(top), float(zero))
    np.divide(top, bottom, out=share, where=bottom > 0)
    if average is None:
        return share
    defined = ~np.isnan(share)
    if not defined.any():
        return float("nan")
    share, weights = share[defined], actual[defined] if average == "weighted" else None
    if weights is not None and weights.sum() == 0:
        weights = None
    return float(np.average(share, weights=weights))


def _counts_by_threshold(
    name: str, true: Any, scores: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """FP and TP when everything with a score >= threshold is called 1, for every threshold."""
    true, scores = _host_array(true), _host_array(scores).astype(np.float64)
    if true.ndim != 1 or true.shape != scores.shape:
        raise ValueError(
            f"{name}: true and scores must be (N,), got {true.shape} and {scores.shape}"
        )
    if not np.isin(true, (0, 1)).all() or not (true == 0).any() or not (true == 1).any():
        raise ValueError(f"{name}: true must hold 0 and 1, both of them, and nothing else")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}: scores must be finite")
    order = np.argsort(-scores, kind="stable")
    true, scores = true[order] == 1, scores[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # the last of equal scores
    return np.cumsum(~true)[last], np.cumsum(true)[last], scores[last]
