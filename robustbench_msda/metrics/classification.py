"""Errors, proper scores and counts by class, from what is stored of each image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.metrics.checks import class_indices, flags, floats, probabilities
from robustbench_msda.metrics.shares import shares


def error_rate(correct: NDArray[np.bool_]) -> float:
    """Return the share of images whose first answer is wrong, in [0, 1].

    Args:
        correct: (n,).

    Raises:
        ValueError: there are no images.
    """
    return float(np.count_nonzero(~flags(correct)) / correct.size)


def top5_error(top5: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """Return the share of images whose label is none of the first five answers, in [0, 1].

    Args:
        top5: (n, 5) classes; −1 pads fewer than five.
        labels: (n,).

    Raises:
        ValueError: there are no images, an image has no label, or the shapes disagree.
    """
    if labels.size == 0 or labels.min() < 0 or top5.shape != (labels.size, 5):
        raise ValueError(f"expected top5 (n, 5) and labels (n,) from 0, got {top5.shape} and {labels.shape}")
    return float(np.count_nonzero((top5 != labels[:, None]).all(axis=1)) / labels.size)


def robust_error(correct: NDArray[np.bool_]) -> float:
    """Return the share of images that at least one attack makes wrong, in [0, 1].

    Worst case by image at one ε; an image that is wrong without an attack counts as wrong (FMix's protocol, as in
    Foolbox). It is not the largest of the attacks' errors, which can be lower.

    Args:
        correct: (attacks, n).

    Raises:
        ValueError: there are no attacks or no images.
    """
    return error_rate(np.asarray(flags(correct, ndim=2).all(axis=0)))


def negative_log_likelihood(logsumexp: NDArray[np.floating], label_logit: NDArray[np.floating]) -> float:
    """Return the mean of −ln p(label), in nats, at least 0; infinite where a label is masked out.

    Args:
        logsumexp: (n,) over the logits of all classes.
        label_logit: (n,) the logit of the label.

    Raises:
        ValueError: there are no images, the shapes disagree or a label logit is NaN.
    """
    total = floats(logsumexp, label_logit.shape)
    # Rounding to float32 can put the label's logit above the sum of all.
    return float(np.maximum(total - floats(label_logit, total.shape), 0.0).mean())


def brier_score(sum_p2: NDArray[np.floating], label_probability: NDArray[np.floating]) -> float:
    """Return the mean over images of Σₖ (pₖ − [k is the label])², in [0, 2] (Brier, 1950, summed over all classes).

    Since the square expands to Σₖ pₖ² − 2 p(label) + 1, two numbers an image are enough.

    Args:
        sum_p2: (n,) the sum of squared probabilities.
        label_probability: (n,).

    Raises:
        ValueError: there are no images, the shapes disagree or a probability leaves [0, 1].
    """
    probability = probabilities(label_probability, sum_p2.shape)
    # The true sum is at least p(label)²; its float32 rounding may be less.
    squares = np.maximum(floats(sum_p2, sum_p2.shape), probability**2)
    return float((squares - 2 * probability + 1).mean())


def class_counts(
    labels: NDArray[np.integer], correct: NDArray[np.bool_], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many images of each class are answered correctly, and how many there are: (classes,) exact integers.

    Raises:
        ValueError: there are no images, the shapes disagree or a label leaves [0, classes).
    """
    indices = class_indices(labels, classes)
    if correct.shape != indices.shape:
        raise ValueError(f"expected one flag a label, got {correct.shape} and {labels.shape}")
    counted = np.bincount(indices[flags(correct)], minlength=classes)
    return counted.astype(np.int64), np.bincount(indices, minlength=classes).astype(np.int64)


def class_recall(correct: NDArray[np.integer], n: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the share of each class's images that are answered correctly: (classes,), NaN for a class without images.

    Args:
        correct: (classes,) counts.
        n: (classes,) counts.
    """
    return shares(correct, n)


def class_confidence(
    labels: NDArray[np.integer], label_probability: NDArray[np.floating], classes: int
) -> NDArray[np.float64]:
    """Return the mean probability of the label over each class's images: (classes,), NaN for a class without images.

    Class confidence of Lee et al. (2023), Table 3 and Figure 5; they do not say whether it is the probability of the
    true class, as here, or of the first answer.

    Args:
        labels: (n,).
        label_probability: (n,); another probability of each image is averaged in the same way.
        classes: how many.

    Raises:
        ValueError: there are no images, the shapes disagree or a value leaves its range.
    """
    indices = class_indices(labels, classes)
    sums = np.bincount(indices, weights=probabilities(label_probability, indices.shape), minlength=classes)
    return shares(sums, np.bincount(indices, minlength=classes))


def confusion_counts(labels: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Return how many images of the row's class are answered with the column's: (classes, classes) exact integers.

    Raises:
        ValueError: there are no images, the shapes disagree or a class leaves [0, classes).
    """
    rows, columns = class_indices(labels, classes), class_indices(predicted, classes)
    if rows.shape != columns.shape:
        raise ValueError(f"expected one answer a label, got {predicted.shape} and {labels.shape}")
    cells = np.bincount(rows * classes + columns, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)
