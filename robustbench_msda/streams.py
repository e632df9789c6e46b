"""All chance: one NumPy Philox stream for each key (CONTRACT: stimuli are a function of their key and nothing else)."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray


def stream(*key: str | int) -> np.random.Generator:
    """Return the generator whose draws are a function of ``key`` alone.

    The same key gives the same draws on every machine, in any order, in any process; keys that differ in one part give
    independent streams (Philox4x64-10, keyed with 128 bits of the SHA-256 of the key).

    Args:
        key: texts and integers, such as ``("digits_c_made", 1, "gaussian_noise", "3", 41)``.
    """
    seed_sequence = _Digest(hashlib.sha256(repr(key).encode()).digest())
    return np.random.Generator(np.random.Philox(seed_sequence))  # type: ignore[arg-type]  # the stub is too narrow


class _Digest(ISeedSequence):
    """A digest as a seed: a third of the time of ``Philox(key=…)``, which asks the system for entropy it drops."""

    def __init__(self, digest: bytes) -> None:
        self.digest = digest

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint32) -> NDArray[Any]:
        """Return the first ``n_words`` words of the digest."""
        return np.frombuffer(self.digest, dtype)[:n_words]


def seed(*key: str | int) -> int:
    """Return a 63-bit seed that is a function of ``key`` alone, for a ``torch.Generator``."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little") >> 1
