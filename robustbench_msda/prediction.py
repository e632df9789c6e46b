"""The only forward loop of evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_msda.errors import UserError
from robustbench_msda.records import Batch, Predictions

T = TypeVar("T", bound=np.generic)

# Convolution kernels change with very small batches, and with them the last bits of a logit.
SMALLEST_BATCH = 16


def predict(
    model: nn.Module, batches: Iterable[Batch], *, keep_logits: bool = False, classes: int | None = None
) -> Predictions:
    """Return what ``model``, which is in evaluation mode, answers to every image of ``batches``, in their order.

    Args:
        model: takes (B, C, H, W) in [0, 1] and returns logits (B, K).
        batches: their targets are (B,) classes, −1 where there is none.
        keep_logits: whether the answer holds all logits.
        classes: how many the network must answer with; None for any number that the labels allow.

    Raises:
        UserError: the network refuses the images, answers NaN or infinity, or with another number of classes.
        ValueError: there is no batch.
    """
    pieces: list[Predictions] = []
    for batch in batches:
        # Around the network alone: stimuli that are attacks need gradients.
        with torch.no_grad():
            answer = forward if pieces else first_forward
            logits = answer(model, batch.images).float()
        if classes is not None and logits.shape[1:] != (classes,):
            raise UserError(
                f"the network answers with {logits.shape[-1]} classes, the data set has {classes}; "
                "give the data set it was trained for"
            )
        pieces.append(summarise(batch, logits, keep_logits=keep_logits))
    if not pieces:
        raise ValueError("expected at least one batch, got none")
    return Predictions.concatenate(pieces)


def first_forward(model: nn.Module, images: Tensor) -> Tensor:
    """Return ``forward``'s logits, or raise ``UserError`` where the network cannot answer ``images`` (B, C, H, W)."""
    size = "×".join(str(length) for length in images.shape[2:])
    try:
        return forward(model, images)
    except torch.OutOfMemoryError:
        raise UserError(
            f"no memory for {len(images)} images of {size} on {images.device}; give a smaller --batch-size"
        ) from None
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"the network refuses images of {size} ({reason}); give a network made for this size, or data of another"
        ) from error


def forward(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits (B, K) of ``images``; batches under 16 are padded, so that an image's bits are its own."""
    missing = SMALLEST_BATCH - len(images)
    if missing <= 0:
        logits: Tensor = model(images)
        return logits
    padded: Tensor = model(torch.cat([images, images[-1:].expand(missing, *images.shape[1:])]))
    return padded[: len(images)]


def summarise(batch: Batch, logits: Tensor, *, keep_logits: bool = False) -> Predictions:
    """Return the row of every image: the sufficient statistics of its logits (B, K), summed in float64."""
    labels = batch.targets.to(logits.device)
    check_logits(logits, labels)
    exact = logits.double()
    logsumexp = exact.logsumexp(1)
    # A stable sort: ties go to the lower class, which topk does not promise.
    values, classes = logits.sort(dim=1, descending=True, stable=True)
    label_logit = exact.gather(1, labels.clamp(min=0)[:, None])[:, 0].masked_fill(labels < 0, torch.nan)
    return Predictions(
        index=array(batch.index, np.int32),
        frame=np.zeros(len(logits), np.int16) if batch.frame is None else array(batch.frame, np.int16),
        label=array(labels, np.int16),
        top5=five(array(classes, np.int16), -1),
        top5_logit=five(array(values, np.float32), -np.inf),
        label_logit=array(label_logit, np.float32),
        logsumexp=array(logsumexp, np.float32),
        sum_p2=array((exact - logsumexp[:, None]).exp().square().sum(1), np.float32),
        logits=array(logits, np.float32) if keep_logits else None,
        targets=None if batch.answers is None else array(batch.answers, np.float32),
        delta_max=None if batch.delta_max is None else array(batch.delta_max, np.float32),
    )


def masked(predictions: Predictions, classes: NDArray[np.int64]) -> Predictions:
    """Return what ``predictions`` would be with the logits of all but ``classes`` at −∞, from the logits they hold.

    Classes keep their own indices; the answer holds no logits itself.

    Args:
        predictions: of a benchmark that keeps logits.
        classes: ascending; every label that there is is among them.

    Raises:
        ValueError: there are no logits, ``classes`` are not ascending, or a label is none of them.
    """
    if predictions.logits is None or (np.diff(classes) <= 0).any():
        raise ValueError("expected predictions with logits and ascending classes: is the benchmark's keeps_logits set?")
    place = np.full(predictions.logits.shape[1] + 1, -1)
    place[classes] = np.arange(len(classes))
    labels = place[predictions.label]
    if ((labels < 0) & (predictions.label >= 0)).any():
        raise ValueError("expected labels among the classes of the mask, got another")
    kept = torch.from_numpy(predictions.logits[:, classes])
    blank = torch.empty(len(kept), 0)
    found = summarise(Batch(blank, torch.from_numpy(labels), torch.from_numpy(predictions.index)), kept)
    top5 = np.where(found.top5 < 0, -1, classes[found.top5]).astype(np.int16)
    return replace(found, frame=predictions.frame, label=predictions.label, top5=top5)


def check_logits(logits: Tensor, labels: Tensor) -> None:
    """Raise ``UserError`` unless ``logits`` are (B, K), finite and have a column for every label."""
    if logits.ndim != 2 or len(logits) != len(labels):
        raise UserError(
            f"the network must answer with logits ({len(labels)}, classes), found shape {tuple(logits.shape)}; "
            "give a classifier"
        )
    if not bool(logits.isfinite().all()):
        raise UserError("the network answers NaN or infinity; its weights or its mean and std are damaged")
    if len(labels) and int(labels.max()) >= logits.shape[1]:
        raise UserError(
            f"the network answers with {logits.shape[1]} classes, but the data set has label {int(labels.max())}; "
            "give the data set it was trained for"
        )


def five(columns: NDArray[T], fill: float) -> NDArray[T]:
    """Return the first five columns of (n, K), padded with ``fill`` where K < 5."""
    first = columns[:, :5]
    return np.pad(first, ((0, 0), (0, 5 - first.shape[1])), constant_values=fill)


def array(tensor: Tensor, dtype: type[T]) -> NDArray[T]:
    """Return ``tensor`` as a NumPy array of ``dtype``."""
    return tensor.detach().cpu().numpy().astype(dtype)
