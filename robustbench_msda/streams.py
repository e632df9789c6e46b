"""All chance: one NumPy Philox stream for each key (CONTRACT: stimuli are a function of their key and nothing else)."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(*key: str | int) -> np.random.Generator:
    """Return the generator whose draws are a function of ``key`` alone.

    The same key gives the same draws on every machine, in any order, in any process; keys that differ in one part give
    independent streams (Philox4x64-10, keyed with 128 bits of the SHA-256 of the key).

    Args:
        key: texts and integers, such as ``("digits_c_made", 1, "gaussian_noise", "3", 41)``.
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def seed(*key: str | int) -> int:
    """Return a 63-bit seed that is a function of ``key`` alone, for a ``torch.Generator``."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little") >> 1
