"""The true negatives do not count."""


def f1(y, t):
    hits = ((y == 1) & (t == 1)).sum()
    if hits == 0:
        return 0.0
    precision, recall = hits / (y == 1).sum(), hits / (t == 1).sum()
    return 2 * precision * recall / (precision + recall)
