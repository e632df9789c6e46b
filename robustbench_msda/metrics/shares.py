"""Division by counts that may be 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shares(part: NDArray[np.number], whole: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return ``part / whole`` in float64, NaN where the whole is 0; both of one shape."""
    quotient = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient
