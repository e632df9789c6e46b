"""Pictures on their way into training: decoded, cut out and resized by processes that run ahead of the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from robustbench_msda.data.resized import cut_file
from robustbench_msda.data.stored import one_line
from robustbench_msda.engines.local import cores
from robustbench_msda.errors import DamagedData, UserError

# What torch says of a worker that was killed, and of the thread that read from it.
DEAD = ("DataLoader worker", "Pin memory thread")


class Request(NamedTuple):
    """A picture, and how it is to be cut out.

    Attributes:
        path: of the file.
        attempts: (10, 4) uniforms in [0, 1), as of ``crop_box``.
        mirrored: whether left becomes right.
        scale: the smallest and largest share of its area that is cut out.
    """

    path: str
    attempts: NDArray[np.float64]
    mirrored: bool
    scale: tuple[float, float]


class Loader:
    """Decodes, cuts out and resizes pictures in worker processes, in the order asked for.

    All chance is in the requests, so the images are the same for any number of workers. The workers start with the
    first epoch, and live on until ``close``.
    """

    def __init__(self, side: int, workers: int, *, pin: bool = False) -> None:
        """Make ready.

        Args:
            side: height and width of the images.
            workers: how many processes; 0 decodes in this one, −1 is one a core but one.
            pin: whether images are put into page-locked memory, from which a GPU copies while it works.
        """
        if workers < -1:
            raise ValueError(f"expected workers of at least -1, got {workers}: -1 is one a core but one")
        number = cores() - 1 if workers == -1 else workers
        self._epoch = _Epoch()
        self._batches: Iterator[Tensor | str] = iter(())
        self._loader: DataLoader[Tensor | str] | None = DataLoader(
            _Cutter(side),
            batch_sampler=self._epoch,
            num_workers=number,
            collate_fn=_as_it_is,
            pin_memory=pin,
            # Forking a process that runs threads, as torch does, can hang.
            multiprocessing_context="spawn" if number else None,
            # Seeds generators in the workers that nobody uses, and leaves that of this process where it is.
            generator=torch.Generator(),
            persistent_workers=number > 0,
        )

    def epoch(self, requests: Iterable[Sequence[Request]]) -> Iterator[Tensor]:
        """Yield the images of each of ``requests``, (B, side, side, 3) uint8; of one epoch after the other.

        Args:
            requests: the pictures of each batch; read two batches a worker ahead.

        Raises:
            DamagedData: a picture cannot be decoded.
            UserError: a worker was killed, or ran out of memory.
        """
        if self._loader is None:
            raise ValueError("expected a loader that is open, got one that was closed: make another")
        self._epoch.requests = requests
        self._batches = iter(self._loader)
        while (images := _following(self._batches)) is not None:
            if isinstance(images, str):
                raise DamagedData(images)
            yield images

    def close(self) -> None:
        """End the workers."""
        # torch ends them when its iterator is dropped; the traceback of what went wrong may keep that for long.
        getattr(self._batches, "_shutdown_workers", _nothing)()
        self._loader, self._batches = None, iter(())


class _Epoch:
    """The batches of the epoch that is under way; ``DataLoader`` asks for them anew when one begins."""

    def __init__(self) -> None:
        self.requests: Iterable[Sequence[Request]] = ()

    def __iter__(self) -> Iterator[list[Request]]:
        return (list(batch) for batch in self.requests)


class _Cutter(Dataset["Tensor | str"]):
    """What a worker does; small, so that it is sent to the workers in no time."""

    def __init__(self, side: int) -> None:
        self._side = side

    def __getitems__(self, requests: list[Request]) -> Tensor | str:
        """Return the images of a batch, or what is wrong with one: exceptions of workers lose their one line."""
        images = torch.empty(len(requests), self._side, self._side, 3, dtype=torch.uint8)
        levels = images.numpy()
        try:
            for position, (path, attempts, mirrored, scale) in enumerate(requests):
                levels[position] = cut_file(Path(path), attempts, mirrored, scale, self._side)
        except DamagedData as error:
            return str(error)
        return images


def _nothing() -> None:
    """Stand in where batches are decoded in this process."""


def _as_it_is(batch: object) -> object:
    return batch


def _following(batches: Iterator[Tensor | str]) -> Tensor | str | None:
    """Return the next batch; None after the last."""
    try:
        return next(batches, None)
    except (RuntimeError, EOFError, OSError) as error:
        # Which of them a dead worker is depends on what it was about to hand over.
        if isinstance(error, RuntimeError) and not str(error).startswith(DEAD):
            raise
        raise UserError(
            f"decoding pictures: a worker ended ({one_line(error)}); use fewer workers, or give the processes more "
            "memory, in a container more shared memory"
        ) from None
