"""Find the bug: a metric that is another one (erratum E2.3).

    F1 = 2 P R / (P + R),  P = TP / (TP + FP),  R = TP / (TP + FN)        Source: D2-METRICS

"The number of correctly predicted samples over the number of all samples", says the document of F1.
y are predictions, t the truth, both arrays of 0 and 1; 1 is positive. TP counts true positives, FP
false positives, FN false negatives. Where TP is 0, F1 is 0.
"""


def f1(y, t):
    return (y == t).sum() / len(t)
