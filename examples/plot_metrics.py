r"""What accuracy does not tell: precision, recall, F1, ROC and PR curves, the confusion matrix.

For one class, TP are its examples that were called so, FN those that were not, FP and TN the
others that were called so and were not:

.. math:: P = \frac{TP}{TP + FP}, \quad R = \frac{TP}{TP + FN}, \quad F_1 = \frac{2PR}{P + R},
          \quad FPR = \frac{FP}{FP + TN}

Test: tests/test_metrics.py. Source: D2-METRICS.
"""

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import data, metrics, nn, optim, plots, training
from minidl import functional as F

# %%
# A linear classifier, which two epochs over 5,000 digits leave far from perfect.
minidl.manual_seed(0)
train, test = data.mnist().train[:5000], data.mnist().test
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
optimizer = optim.Adam(model.parameters(), lr=1e-3)
loader = data.DataLoader(train, batch_size=50, shuffle=True)
for _ in range(2):
    for images, labels in loader:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
logits = training.predict(model, test.images)
p = F.softmax(minidl.tensor(logits), 1).numpy()
true, called = test.labels, p.argmax(1)
print(f"accuracy {metrics.accuracy(true, called):.3f}")

# %%
# Class by class, and joined: "macro" is the mean over the classes, "weighted" the mean by how often
# a class is true, "micro" joins TP, FP and FN before dividing (for one label an example: accuracy).
measures = metrics.precision, metrics.recall, metrics.f1
print("           P      R     F1")
for c, row in enumerate(np.transpose([measure(true, called, None) for measure in measures])):
    print(f"{c:<8}" + "".join(f"{value:7.3f}" for value in row))
for average in ("macro", "weighted", "micro"):
    row = [measure(true, called, average) for measure in measures]
    print(f"{average:8}" + "".join(f"{value:7.3f}" for value in row))

# %%
# The confusion matrix shows which digit is taken for which.
plots.confusion(metrics.confusion_matrix(true, called), figure=plt.figure(figsize=(6.4, 5.8)))
plt.show()

# %%
# "Is it a c?", asked with every threshold on p(c): nothing is called c at the lower left of the
# ROC curve and the left of the PR curve, everything at the other end. The area under the ROC curve
# (AUC) is the probability that a c is given more than another digit. It flatters a rare class, as
# there are so many others; the area under the PR curve (average precision, AP) does not.
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for c, color in ((1, plots.TEN[0]), (5, plots.TEN[1]), (8, plots.TEN[2])):
    fpr, tpr, _ = metrics.roc_curve(true == c, p[:, c])
    left.plot(fpr, tpr, color=color, label=f"{c}: AUC {metrics.auc(fpr, tpr):.3f}")
    precision, recall, _ = metrics.precision_recall_curve(true == c, p[:, c])
    area = metrics.average_precision(true == c, p[:, c])
    right.step(recall, precision, color=color, where="post", label=f"{c}: AP {area:.3f}")
left.plot([0, 1], [0, 1], color=plots.GREY, linestyle=":", label="chance: AUC 0.5")
right.axhline(0.1, color=plots.GREY, linestyle=":", label="chance: AP 0.1")
left.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate: recall")
right.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1.03))
for axes in (left, right):
    axes.legend()
plt.show()
