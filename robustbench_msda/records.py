"""The values everything passes around: batches, cells, predictions, scores. No torch at import."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

PREDICTIONS_VERSION = 1
PART_SIZE = 10_000
VIDEO_PART_SIZE = 500
SAFE = "._=-"


@dataclass(frozen=True)
class Batch:
    """Images on their way into a network.

    Attributes:
        images: (B, C, H, W) float32 in [0, 1].
        targets: (B,) int64 classes, −1 where there is none; in training (B, K) float32, rows sum to 1.
        index: (B,) int64, the position of each image (or video) in its data set.
        frame: (B,) int64, the frame of a video; 0 for stills.
        step: batches of this training run so far, counted across epochs; 0 in evaluation.
        progress: the share of the training run that is done, in [0, 1].
        delta_max: (B,) float32, the size of the change an attack made to each image, in its norm, in pixel units.
        answers: (B, K) float32, how many people, or what share of them, chose each class.
        checks: how many of these images failed a check of how they were made, by its name; 0 for passed.
    """

    images: Tensor
    targets: Tensor
    index: Tensor
    frame: Tensor | None = None
    step: int = 0
    progress: float = 0.0
    delta_max: Tensor | None = None
    answers: Tensor | None = None
    checks: Mapping[str, int] = field(default_factory=dict)


class Cell(NamedTuple):
    """The unit of work: one checkpoint on one condition of one benchmark."""

    fingerprint: str
    benchmark: str
    condition: str = ""
    level: str = ""
    source: str = ""
    part: int = 0

    @property
    def filename(self) -> str:
        """The name of its predictions, without folder or suffix; unsafe characters are percent-encoded."""
        return "~".join(encode(text) for text in (self.condition, self.level, self.source, str(self.part)))


@dataclass(frozen=True)
class World:
    """What a cell ran in besides its key: two cells of one key from different worlds never meet in an aggregate."""

    data: str
    version: int
    limit: int = 0
    precision: str = "float32"

    @property
    def id(self) -> str:
        """The first 8 hex digits of its hash."""
        return digest(self.__dict__)[:8]


@dataclass(frozen=True)
class Predictions:
    """What a network answered, one row an evaluated image or frame, in canonical order.

    Attributes:
        index: (n,) int32, the image or video.
        frame: (n,) int16, 0 for stills.
        label: (n,) int16, −1 where there is none.
        top5: (n, 5) int16, the classes by falling logit, ties to the lower class; −1 pads fewer than five classes.
        top5_logit: (n, 5) float32; −inf pads.
        label_logit: (n,) float32; NaN where there is no label.
        logsumexp: (n,) float32 over all classes.
        sum_p2: (n,) float32, the sum of squared probabilities.
        logits: (n, K) float32, where the benchmark keeps them.
        targets: (n, K) float32, a human label distribution, or the whole numbers of answers that it is made of.
        delta_max: (n,) float32, the size of an attack's change, in its norm, in pixel units.
    """

    index: NDArray[np.int32]
    frame: NDArray[np.int16]
    label: NDArray[np.int16]
    top5: NDArray[np.int16]
    top5_logit: NDArray[np.float32]
    label_logit: NDArray[np.float32]
    logsumexp: NDArray[np.float32]
    sum_p2: NDArray[np.float32]
    logits: NDArray[np.float32] | None = None
    targets: NDArray[np.float32] | None = None
    delta_max: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(n,) whether the first answer is the label."""
        return np.asarray(self.top5[:, 0] == self.label)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(n,) the probability of the first answer, in (0, 1]."""
        return np.exp(np.minimum(self.top5_logit[:, 0].astype(np.float64) - self.logsumexp, 0.0))

    @property
    def label_probability(self) -> NDArray[np.float64]:
        """(n,) the probability of the label, in [0, 1]; NaN where there is no label."""
        return np.exp(np.minimum(self.label_logit.astype(np.float64) - self.logsumexp, 0.0))

    def rows(self, chosen: NDArray[np.bool_]) -> Predictions:
        """Return the rows that are ``chosen``, (n,)."""
        columns: dict[str, Any] = {
            name: None if column is None else column[chosen] for name, column in vars(self).items()
        }
        return Predictions(**columns)

    @classmethod
    def concatenate(cls, pieces: Sequence[Predictions]) -> Predictions:
        """Return the rows of all ``pieces``, which carry the same optional columns, in their order.

        Raises:
            ValueError: an optional column is in some pieces only.
        """
        columns: dict[str, Any] = {}
        for each in fields(cls):
            values = [getattr(piece, each.name) for piece in pieces]
            if len({value is None for value in values}) > 1:
                raise ValueError(f"expected the same optional columns in all pieces, got {each.name} in some only")
            columns[each.name] = None if values[0] is None else np.concatenate(values)
        return cls(**columns)


@dataclass(frozen=True)
class Score:
    """One number about one checkpoint: a fraction, the ``n`` it is over, and its 95 % interval ``low``–``high``."""

    benchmark: str
    metric: str
    value: float
    n: int
    fingerprint: str = ""
    world: str = ""
    condition: str = ""
    level: str = ""
    source: str = ""
    subset: str = "all"
    low: float = float("nan")
    high: float = float("nan")
    flags: str = ""


COLUMNS = (
    *("fingerprint", "group", "seed", "dataset", "model", "augmentation"),
    *("benchmark", "world", "condition", "level", "source", "subset"),
    *("metric", "value", "n", "low", "high", "flags"),
)


def encode(text: str) -> str:
    """Return ``text`` with every character outside ``[A-Za-z0-9._=-]`` percent-encoded."""
    return quote(text, safe=SAFE).replace("~", "%7E")


def digest(value: object) -> str:
    """Return the hex SHA-256 of ``value`` as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def level_value(level: str) -> float:
    """Return the number a level stands for, so that tables sort by it: ``8/255`` after ``4/255``, ``''`` first."""
    if not level:
        return float("-inf")
    numerator, _, denominator = level.partition("/")
    return float(numerator) / float(denominator or 1)


def limited(n: int, limit: int) -> NDArray[np.int64]:
    """Return the positions a limit takes: floor(i·n/limit), so that every class keeps its share; all of them for 0."""
    if limit == 0 or limit >= n:
        return np.arange(n)
    return np.arange(limit, dtype=np.int64) * n // limit


def parts(n: int) -> range:
    """Return the numbers of the parts that ``n`` images fall into."""
    return range(max(1, -(-n // PART_SIZE)))
