"""Whether a network's answers follow the labels, be it through another order of the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

FOLDS = 5


def best_order(labels: NDArray[np.integer], answers: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Return (K,) the label that each answer stands for, one to one, in the order that makes most images right.

    An optimal assignment on the confusion matrix; an answer stays what it is where nothing is gained by another.

    Args:
        labels: (n,) in [0, K).
        answers: (n,) in [0, K).
        classes: K.
    """
    gain = np.zeros((classes, classes))
    np.add.at(gain, (answers, labels), 1)
    # In all less than one image.
    gain[np.diag_indices(classes)] += 0.5 / classes
    order: NDArray[np.int64] = linear_sum_assignment(gain, maximize=True)[1]
    return order


def right_in_best_order(
    labels: NDArray[np.integer], answers: NDArray[np.integer], classes: int, folds: int = FOLDS
) -> NDArray[np.bool_]:
    """Return (n,) whether each answer is right in the order of classes that is best for the other images.

    Found and judged on the same images, the best order flatters any network: so every class is dealt out to ``folds``
    folds, and the order for a fold is that of the others.

    Args:
        labels: (n,) in [0, K).
        answers: (n,) in [0, K).
        classes: K.
        folds: how many, from 2.
    """
    fold = np.empty(len(labels), np.int64)
    fold[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % folds
    right = np.zeros(len(labels), np.bool_)
    for k in range(folds):
        held = fold == k
        order = best_order(labels[~held], answers[~held], classes)
        right[held] = order[answers[held]] == labels[held]
    return right


def chance_accuracy(labels: NDArray[np.integer], answers: NDArray[np.integer], classes: int) -> float:
    """Return the share in [0, 1] that the same answers, dealt out to the images by chance, would get right.

    Args:
        labels: (n,) in [0, K), n from 1.
        answers: (n,) in [0, K).
        classes: K.
    """
    asked, answered = (np.bincount(values, minlength=classes) / len(values) for values in (labels, answers))
    return float(asked @ answered)
