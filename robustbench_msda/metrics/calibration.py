"""Does confidence mean what it says: calibration errors, reliability bins, AURRA and the soft F1 score.

Confidence is the probability of the first answer; ``correct`` says whether that answer is the label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustbench_msda.metrics.checks import flags, probabilities
from robustbench_msda.metrics.shares import shares


class ReliabilityBins(NamedTuple):
    """A reliability diagram: for each bin its images, their mean confidence and accuracy, NaN in an empty bin."""

    n: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def reliability_bins(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15) -> ReliabilityBins:
    """Return the diagram over ``bins`` bins of equal width, (a, b] with the edges ``linspace(0, 1, bins + 1)``.

    A confidence of 0, which only one class could have, falls into the first bin.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,).
        bins: how many.

    Raises:
        ValueError: there are no images or bins, the shapes disagree or a confidence leaves [0, 1].
    """
    if bins < 1:
        raise ValueError(f"expected at least one bin, got {bins}")
    sure = probabilities(confidence, flags(correct).shape)
    which = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], sure, side="left")
    count = np.bincount(which, minlength=bins).astype(np.int64)
    sums = (np.bincount(which, weights=values, minlength=bins) for values in (sure, correct))
    return ReliabilityBins(count, *(shares(total, count) for total in sums))


def expected_calibration_error(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Return the mean over images of the gap between confidence and accuracy in an image's bin, in [0, 1].

    ECE of Guo et al. (ICML 2017), eq. 3, with their 15 bins of equal width; bins as in ``reliability_bins``.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,).
        bins: how many.

    Raises:
        ValueError: as ``reliability_bins``.
    """
    diagram = reliability_bins(confidence, correct, bins)
    gap = np.abs(diagram.accuracy - diagram.confidence)
    return float(np.nansum(diagram.n * gap) / diagram.n.sum())


def maximum_calibration_error(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Return the largest gap between confidence and accuracy of a bin that has images, in [0, 1].

    MCE of Guo et al. (ICML 2017), eq. 4; bins as in ``reliability_bins``. A bin of few images decides as one of many.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,).
        bins: how many.

    Raises:
        ValueError: as ``reliability_bins``.
    """
    diagram = reliability_bins(confidence, correct, bins)
    return float(np.nanmax(np.abs(diagram.accuracy - diagram.confidence)))


def equal_mass_calibration_error(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Return ``expected_calibration_error`` over bins of equally many images instead of equal width, in [0, 1].

    ECE with adaptive bins (Nixon et al., "Measuring Calibration in Deep Learning", CVPR workshops 2019; of the first
    answer only, as ECE is). Bins are runs in the order of confidence, equal ones in the order given; the sizes of two
    bins differ by one image at most, larger ones first. With fewer images than bins, each image is a bin.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,).
        bins: how many.

    Raises:
        ValueError: there are no images or bins, the shapes disagree or a confidence leaves [0, 1].
    """
    if bins < 1:
        raise ValueError(f"expected at least one bin, got {bins}")
    sure = probabilities(confidence, flags(correct).shape)
    gaps = (sure - correct)[np.argsort(sure, kind="stable")]
    return float(sum(abs(run.sum()) for run in np.array_split(gaps, bins)) / len(gaps))


def rms_calibration_error(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bin_size: int = 100) -> float:
    """Return the root mean square over images of the gap between confidence and accuracy in an image's bin, in [0, 1].

    Bins are runs of ``bin_size`` images in the order of confidence, equal ones in the order given; the last takes the
    remainder. NaN where there are fewer than ``bin_size`` images, which fill no bin.

    Differs from the paper: every bin counts, where the code of Hendrycks et al. (Natural Adversarial Examples, CVPR
    2021) leaves out the most confident one; ``rms_calibration_error_published`` does as it does.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,).
        bin_size: images a bin.

    Raises:
        ValueError: there are no images or none a bin, the shapes disagree or a confidence leaves [0, 1].
    """
    terms = _squared_gaps(confidence, correct, bin_size)
    return float(np.sqrt(terms.sum())) if terms.size else float("nan")


def rms_calibration_error_published(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], bin_size: int = 100
) -> float:
    """Return ``rms_calibration_error`` as the published code computes it: without the most confident bin.

    ``calib_err`` of hendrycks/natural-adv-examples, ``calibration_tools.py``: its loop ends one bin early, though the
    images of that bin stay in the divisor. So 0 where there is one bin only (100 to 199 images), and NaN with fewer
    than ``bin_size`` images, where that code stops with an IndexError. That code's sort is not stable: among equal
    confidences its order is unspecified, here it is the order given.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,).
        bin_size: images a bin.

    Raises:
        ValueError: there are no images or none a bin, the shapes disagree or a confidence leaves [0, 1].
    """
    terms = _squared_gaps(confidence, correct, bin_size)
    return float(np.sqrt(terms[:-1].sum())) if terms.size else float("nan")


def _squared_gaps(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bin_size: int) -> NDArray[np.float64]:
    """Return each bin's squared gap times its share of the images, by rising confidence; none if none is full."""
    if bin_size < 1:
        raise ValueError(f"expected at least one image a bin, got {bin_size}")
    sure = probabilities(confidence, flags(correct).shape)
    gaps = (sure - correct)[np.argsort(sure, kind="stable")]
    starts = np.arange(len(gaps) // bin_size) * bin_size
    counts = np.diff(np.append(starts, len(gaps)))
    squares: NDArray[np.float64] = np.add.reduceat(gaps, starts) ** 2 / (counts * len(gaps))
    return squares


def aurra(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> float:
    """Return the area under the response rate accuracy curve, in [0, 1].

    The mean over k = 1…n of the accuracy on the k most confident images (Hendrycks et al., Natural Adversarial
    Examples, CVPR 2021). As in their code, equal confidences are taken last one first.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,).

    Raises:
        ValueError: there are no images, the shapes disagree or a confidence leaves [0, 1].
    """
    sure = probabilities(confidence, flags(correct).shape)
    answered = correct[np.argsort(sure, kind="stable")[::-1]]
    return float((np.cumsum(answered) / np.arange(1, len(answered) + 1)).mean())


def soft_f1(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> float:
    """Return the soft F1 score of 1 − confidence as a detector of wrong answers, in [0, 1], larger is better.

    2 Σ u w / Σ (u + w) with u = 1 − confidence and w = 1 − correct (Hendrycks et al., ``calibration_tools.py``). NaN
    where every answer is correct with confidence 1.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,).

    Raises:
        ValueError: there are no images, the shapes disagree or a confidence leaves [0, 1].
    """
    unsure = 1 - probabilities(confidence, flags(correct).shape)
    total = unsure.sum() + np.count_nonzero(~correct)
    return float(2 * unsure[~correct].sum() / total) if total > 0 else float("nan")
