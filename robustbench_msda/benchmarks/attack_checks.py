"""What must hold for the number an attack gives to be one: looked at as attacks run, told where they are scored."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from robustbench_msda.errors import UserError
from robustbench_msda.prediction import SMALLEST_BATCH, forward
from robustbench_msda.records import Cell

# Checks, by the names that sidecars keep, and what a score says where images failed one.
FLAT = "zero_gradient"
LOST = "not_finite"
CHANGED = "changed_buffers"
UNLIKE = "unlike_passes"
FLAGS = {
    FLAT: "some gradients zero or NaN",
    LOST: "some images attacked to NaN, counted unattacked",
    CHANGED: "network changes as it answers",
    UNLIKE: "two clean passes differ",
}


class Watch:
    """A network under attack, which must stay as it is and answer equal images alike."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.before = {name: buffer.clone() for name, buffer in model.named_buffers()}
        self.unlike: int | None = None

    def checks(self, images: Tensor) -> dict[str, int]:
        """Return how many of the clean ``images`` (B, C, H, W) failed: all where a buffer is no longer what it was.

        The first time, up to 16 of them are answered twice.
        """
        found = {CHANGED: len(images) if self.has_changed() else 0}
        if self.unlike is None:
            self.unlike = self.unlike_answers(images[:SMALLEST_BATCH])
            found[UNLIKE] = self.unlike
        return found

    def has_changed(self) -> bool:
        """Return whether a buffer is not what it was, such as a running mean of batch normalisation."""
        now = dict(self.model.named_buffers())
        return any(name not in now or not torch.equal(now[name], buffer) for name, buffer in self.before.items())

    def unlike_answers(self, images: Tensor) -> int:
        """Return how many of ``images`` are not answered alike twice, to the bit."""
        with torch.no_grad():
            one, other = forward(self.model, images), forward(self.model, images)
        return int((one != other).flatten(1).any(1).sum())


def put_back(images: Tensor, attacked: Tensor) -> tuple[Tensor, dict[str, int]]:
    """Return ``attacked`` with ``images`` in place of those that are not finite, and how many they are.

    The gradient of some networks is NaN, at which an attack comes to nothing.
    """
    lost = torch.logical_not(attacked.flatten(1).isfinite().all(1))
    return torch.where(lost[:, None, None, None], images, attacked), {LOST: int(lost.sum())}


@contextlib.contextmanager
def refused(cell: Cell, images: Tensor) -> Iterator[None]:
    """Raise ``UserError`` in place of what a network raises that cannot be attacked on ``images``."""
    size = "×".join(str(length) for length in images.shape[2:])
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError(
            f"no memory for {cell.condition} on {len(images)} images of {size}; give a smaller --batch-size"
        ) from None
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"the network cannot be attacked by {cell.condition} on images of {size} ({reason}); "
            "give one with gradients, made for this size"
        ) from error
