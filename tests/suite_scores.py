"""Score rows of several attacks beside those of a made-up study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

NOISY = "weaker than uniform noise (masked gradients?)"
LEVELS = ("0.001", "0.01", "0.03", "0.1")
TEXTS = ("fgsm()", "bim(steps=10, rel_stepsize=0.2)", "uniform_noise()")


def with_suite(
    scores: pd.DataFrame,
    name: str = "linf_attacks",
    texts: Sequence[str] = TEXTS,
    levels: Sequence[str] = LEVELS,
    n: int = 1000,
) -> pd.DataFrame:
    """Return ``scores`` and those of the suite ``name``; FGSM at ε = 0.1 is flagged for the first network of all."""
    clean = scores[(scores["benchmark"] == "clean") & (scores["metric"] == "error")]
    rows = [row for place, (_, network) in enumerate(clean.iterrows()) for row in of_network(network, place)]
    suite = pd.DataFrame(rows).assign(benchmark=name, world="5017e000", n=n, low=math.nan, high=math.nan)
    kept = suite["level"].isin(levels) & suite["condition"].isin([*TEXTS, ""])
    suite = suite[kept].replace({"condition": dict(zip(TEXTS, texts, strict=True))})
    return pd.concat([scores, suite], ignore_index=True)


def of_network(network: pd.Series[str], place: int) -> Iterator[dict[str, object]]:
    """Yield the errors of one network, and in the worst case: by place in the text, rising with ε."""
    for level in ("0", *LEVELS, "0.25", "0.5"):
        errors = {}
        for k, text in enumerate(TEXTS):
            errors[text] = 1 - (1 - float(network["value"])) * math.exp(-float(level) * (50 - 20 * k))
            flags = NOISY if (place, k, level) == (0, 0, "0.1") else ""
            yield network.to_dict() | {"condition": text, "level": level, "value": errors[text], "flags": flags}
        worst = {"metric": "worst_case_error", "condition": "", "value": min(1.0, max(errors.values()) + 0.01)}
        yield network.to_dict() | worst | {"level": level, "flags": ""}
