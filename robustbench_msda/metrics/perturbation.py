"""Do answers hold still while an image changes a little: flips and top-5 distances over the frames of videos.

Hendrycks & Dietterich (ICLR 2019), sec. 4, at difficulty 1. A frame is compared with the one before it; in videos of
noise, whose frames are independent draws, with the first, clean one.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Against = Literal["previous", "first"]


def flip_probability(predicted: NDArray[np.integer], against: Against) -> float:
    """Return the share of frames answered otherwise than the frame they are compared with, in [0, 1].

    Every video weighs the same: they have one number of frames.

    Args:
        predicted: (videos, frames) classes.
        against: which frame each is compared with; ``first`` for noise.

    Raises:
        ValueError: there are no videos, or no two frames.
    """
    before, after = _pairs(predicted, against, ndim=2)
    return float((before != after).mean())


def top5_distance(top5: NDArray[np.integer], against: Against) -> float:
    """Return how far the first five answers move from frame to frame, in [0, 15], averaged over comparisons.

    With σᵢ the rank in the later frame of the class ranked i in the earlier, Σ_{i=1…5} |i − min(σᵢ, 6)|: a closed form
    of the published top-5 distance that needs no ranks beyond the fifth.

    Args:
        top5: (videos, frames, 5) classes by falling logit, ties to the lower class; −1 pads fewer than five.
        against: which frame each is compared with; ``first`` for noise.

    Raises:
        ValueError: there are no videos, or no two frames, or not five answers.
    """
    before, after = _pairs(top5, against, ndim=3)
    if top5.shape[2] != 5:
        raise ValueError(f"expected five answers a frame, got {top5.shape[2]}")
    same = before[..., :, None] == after[..., None, :]
    later = np.where(same.any(axis=-1), same.argmax(axis=-1), 5)
    return float((np.abs(np.arange(5) - later) * (before >= 0)).sum(axis=-1).mean())


def mean_flip_rate(flip_probabilities: NDArray[np.floating], normaliser: NDArray[np.floating]) -> float:
    """Return mFR: the mean over perturbations of flip probability over the baseline's, a fraction, may exceed 1.

    Ratios are averaged, not sums divided.

    Args:
        flip_probabilities: (perturbations,).
        normaliser: (perturbations,) the baseline's.

    Raises:
        ValueError: the shapes disagree, or the baseline never flips.
    """
    if flip_probabilities.shape != normaliser.shape or flip_probabilities.ndim != 1 or normaliser.size == 0:
        raise ValueError(f"expected one baseline a perturbation, got {flip_probabilities.shape}, {normaliser.shape}")
    if not (normaliser > 0).all():
        raise ValueError(f"expected a baseline that flips under every perturbation, got {normaliser.min():.3g}")
    return float((flip_probabilities.astype(np.float64) / normaliser).mean())


def _pairs(
    answers: NDArray[np.integer], against: Against, ndim: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the frames compared with and the frames compared, the former broadcasting over the latter."""
    if answers.ndim != ndim or answers.size == 0 or answers.shape[1] < 2:
        raise ValueError(f"expected videos of at least two frames in {ndim} dimensions, got shape {answers.shape}")
    return (answers[:, :1] if against == "first" else answers[:, :-1]), answers[:, 1:]
