"""Aggregates that divide by the errors of another network: what each is called, and what it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable

# Published constants first; what a baseline is, the flags of a row say.
NORMALISERS = {
    "alexnet": ("AlexNet", "on all of ImageNet's validation images"),
    "robustbench5k": ("AlexNet 5k", "AlexNet on the 5,000 images of RobustBench"),
    "baseline": ("baseline", "the network named by --normalise-by"),
}
KINDS = {"mce": "mCE", "relative_mce": "relative mCE"}
MEANS = tuple(f"{kind}_{name}" for kind in KINDS for name in NORMALISERS)
FLIP_RATES = ("mfr_alexnet", "mfr_baseline")
MCE = "mCE: a corruption's error, summed over severities, over that of the network in brackets, averaged over {over}"
RELATIVE = "relative mCE: the same with the clean error taken off above and below"
MFR = "mFR: a perturbation's flip probability over that of the network in brackets, averaged over {over}"


def normalised_title(metric: str) -> str:
    """Return how ``metric`` is printed, always with what it is normalised by: ``relative mCE (AlexNet)``."""
    kind, _, normaliser = metric.rpartition("_")
    return f"{KINDS.get(kind, 'mFR')} ({NORMALISERS[normaliser][0]})"


def normalised_sentence(metrics: Collection[str], over: str) -> str:
    """Return what ``metrics``, means ``over`` something, are and what they are normalised by; '' for none."""
    kinds = {metric.rpartition("_")[0] for metric in metrics}
    definitions = [MCE, RELATIVE] if "relative_mce" in kinds else [MCE] if "mce" in kinds else [MFR] if kinds else []
    normalisers = dict.fromkeys(metric.rpartition("_")[2] for metric in metrics)
    told = [text.format(over=over) for text in definitions] + [named(name) for name in normalisers]
    return f"{'; '.join(told)}." if told else ""


def named(normaliser: str) -> str:
    """Return what the name of a normaliser stands for."""
    return ": ".join(NORMALISERS[normaliser])


def present(metrics: Iterable[str], found: Collection[str]) -> list[str]:
    """Return those of ``metrics`` that are among ``found``, in their order."""
    return [metric for metric in metrics if metric in found]
