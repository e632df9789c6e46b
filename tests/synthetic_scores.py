"""Score rows and comparisons like those of a real study, made from a seeded generator, for tests of reports."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from robustbench_msda.records import COLUMNS, digest

AUGMENTATIONS = ("vanilla", "mixup", "cutmix", "dropmix(rate=0.4, of=cutmix)")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CORRUPTIONS = (
    "brightness",
    "contrast",
    "fog",
    "gaussian_noise",
    "impulse_noise",
    "jpeg_compression",
    "pixelate",
    "snow",
)
PERTURBATIONS = (
    *(
        "brightness",
        "gaussian_noise",
        "motion_blur",
        "rotate",
        "scale",
        "shot_noise",
        "snow",
        "spatter",
        "speckle_noise",
    ),
    *("tilt", "translate", "zoom_blur", "gaussian_blur", "shear"),
)
FOR_VALIDATION = ("gaussian_blur", "saturate", "shear", "spatter", "speckle_noise")
ATTACKS = {"fgsm": ("fgsm()", 1.0), "pgd": ("pgd(steps=10, rel_stepsize=0.25)", 1.4)}
EPSILONS = ("1/255", "2/255", "4/255", "8/255")
BINS = 15
IMAGES = 1000


def scores_frame(
    augmentations: Sequence[str] = AUGMENTATIONS,
    seeds: int = 2,
    classes: Sequence[str] = CLASSES,
    dataset: str = "digits",
    model: str = "small_cnn",
) -> pd.DataFrame:
    """Return the score rows of ``seeds`` networks of each of ``augmentations`` on every benchmark."""
    rows = []
    for place, augmentation in enumerate(augmentations):
        for seed in range(seeds):
            rng = np.random.default_rng([place, seed, len(classes)])
            who = {
                "fingerprint": digest([dataset, model, place, seed])[:12],
                "group": digest([dataset, model, place])[:12],
                "seed": str(seed),
                "dataset": dataset,
                "model": model,
                "augmentation": augmentation,
            }
            rows += [who | row for row in network_rows(rng, place, classes, dataset)]
    frame = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    text = [name for name in COLUMNS if name not in ("value", "n", "low", "high")]
    frame[text] = frame[text].astype(object).where(frame[text].notna(), "").astype(str)
    return frame.astype({"value": float, "n": int, "low": float, "high": float})


def network_rows(
    rng: np.random.Generator, place: int, classes: Sequence[str], dataset: str
) -> Iterator[dict[str, object]]:
    """Yield the rows of one network without who it is."""
    clean = {"benchmark": "clean", "world": "c1ea0000", "subset": "all", "n": IMAGES}
    error = 0.12 - 0.01 * place + rng.normal(0, 0.004)
    yield clean | {"metric": "error", "value": error, "low": error - 0.02, "high": error + 0.02}
    yield clean | {"metric": "rms_calibration", "value": 0.05 + 0.02 * (place % 2) + rng.uniform(0, 0.01)}
    per_class = IMAGES // len(classes)
    for k, name in enumerate(classes):
        correct = rng.binomial(per_class, np.clip(1 - error + 0.06 * math.sin(2.4 * k + place), 0, 1))
        yield clean | {"metric": "correct_count", "subset": name, "value": correct, "n": per_class}
        yield clean | {"metric": "recall", "subset": name, "value": correct / per_class, "n": per_class}
        confidence = 0.9 - 0.05 * place - 0.02 * (k % 3) + 0.3 * (correct / per_class - 0.9)
        yield clean | {"metric": "class_top_confidence", "subset": name, "value": confidence, "n": per_class}
        for target, wrong in ((k + 1, (per_class - correct + 1) // 2), (k + 2 + place % 2, (per_class - correct) // 2)):
            if wrong:
                subset = f"{name}>{classes[target % len(classes)]}"
                yield clean | {"metric": "confusion_count", "subset": subset, "value": wrong}
    for k, n in enumerate(rng.multinomial(IMAGES, np.arange(1, BINS + 1) ** 2 / sum(np.arange(1, BINS + 1) ** 2))):
        if n:
            here = clean | {"subset": f"bin {k + 1}/{BINS}", "n": int(n)}
            confidence = (k + 0.5) / BINS
            yield here | {"metric": "bin_confidence", "value": confidence}
            accuracy = np.clip(confidence + rng.normal(0.03 * (place - 1), 0.03), 0, 1)
            yield here | {"metric": "bin_accuracy", "value": accuracy}
    yield from corruption_rows(rng, error, f"{dataset}_c_made", classes)
    for name, (condition, strength) in ATTACKS.items():
        attack = {"benchmark": name, "world": "a77ac000", "condition": condition, "subset": "all", "n": 400}
        for level in EPSILONS:
            epsilon = float(level.split("/")[0]) / 255
            value = 1 - (1 - error) * math.exp(-strength * 40 * epsilon * (1 + 0.2 * place)) + rng.normal(0, 0.004)
            yield attack | {"level": level, "metric": "error", "value": min(value, 1.0)}
            yield attack | {"level": level, "metric": "rms_calibration", "value": min(0.8 * value, 1.0)}
            yield from class_counts(attack | {"level": level}, value, classes)
    yield from perturbation_rows(rng, place, f"{dataset}_p_made")


def class_counts(at: dict[str, object], error: float, classes: Sequence[str]) -> Iterator[dict[str, object]]:
    """Yield how many images of every class are right, about a share of one minus ``error``, without chance."""
    n = IMAGES // len(classes)
    for k, name in enumerate(classes):
        correct = round(n * float(np.clip(1 - error + 0.05 * math.cos(1.7 * k + 300 * error), 0, 1)))
        yield at | {"metric": "correct_count", "subset": name, "value": correct, "n": n}


def corruption_rows(
    rng: np.random.Generator, error: float, benchmark: str, classes: Sequence[str]
) -> Iterator[dict[str, object]]:
    """Yield errors and calibration under corruption, their means over severities, and those over corruptions."""
    at = {"benchmark": benchmark, "world": "c0440000", "subset": "all", "n": IMAGES}
    means, calibration = [], []
    for k, name in enumerate(CORRUPTIONS):
        errors = np.clip(error + (0.03 + 0.012 * k) * np.arange(1, 6) + rng.normal(0, 0.01, 5), 0, 1)
        tested = name not in FOR_VALIDATION
        means += [errors.mean()] if tested else []
        for severity, value in enumerate(errors, 1):
            yield at | {"metric": "error", "condition": name, "level": str(severity), "value": value}
        calibration += [0.3 * errors] if tested else []
        for severity, value in enumerate(0.3 * errors, 1):
            yield at | {"metric": "rms_calibration", "condition": name, "level": str(severity), "value": value}
        yield at | {"metric": "corruption_error", "condition": name, "value": errors.mean(), "n": 5}
        for severity, value in enumerate(errors, 1):
            yield from class_counts(at | {"condition": name, "level": str(severity)}, value + 0.001 * k, classes)
    k = len(means)
    flags = f"made; partial: {k} of 15 corruptions, {5 * k} of 75 cells" if k < 15 else "made"
    over = at | {"n": k, "flags": flags}
    yield over | {"metric": "mean_corruption_error", "value": float(np.mean(means))}
    for severity, value in enumerate(np.mean(calibration, axis=0), 1):
        yield over | {"metric": "mean_rms_calibration", "level": str(severity), "value": value}
    yield over | {"metric": "mean_rms_calibration", "value": float(np.mean(calibration)), "n": 5 * k}


def perturbation_rows(rng: np.random.Generator, place: int, benchmark: str) -> Iterator[dict[str, object]]:
    """Yield flip probability and top-5 distance under every perturbation, and their means over the ten."""
    at = {"benchmark": benchmark, "world": "91e70000", "subset": "all", "n": IMAGES}
    flips = {name: 0.01 * (k + 2) + 0.015 * place + rng.uniform(0, 0.01) for k, name in enumerate(PERTURBATIONS)}
    for name, value in flips.items():
        yield at | {"metric": "flip_probability", "condition": name, "value": value}
        yield at | {"metric": "top5_distance", "condition": name, "value": 9 * value}
    mean = float(np.mean([value for name, value in flips.items() if name not in FOR_VALIDATION]))
    over = at | {"n": 10, "flags": "made"}
    yield over | {"metric": "mean_flip_probability", "value": mean}
    yield over | {"metric": "mean_top5_distance", "value": 9 * mean}


def comparison_frame(scores: pd.DataFrame, baseline: str = "vanilla") -> pd.DataFrame:
    """Return a comparison of every augmentation of ``scores`` with ``baseline``; intervals and p are made up."""
    rows: list[dict[str, object]] = []
    clean = scores[scores["benchmark"] == "clean"]
    counts = clean[clean["metric"] == "correct_count"]
    confidences = clean[clean["metric"] == "class_top_confidence"]
    for (dataset, model), group in counts.groupby(["dataset", "model"]):
        table = group.pivot_table(index="subset", columns=["augmentation", "seed"], values="value", sort=False)
        total = group.groupby("subset", sort=False)["n"].first()
        for treatment in [name for name in group["augmentation"].unique() if name != baseline]:
            pair = {"dataset": dataset, "model": model, "baseline": baseline, "treatment": treatment}
            seeds = {"seeds_baseline": table[baseline].shape[1], "seeds_treatment": table[treatment].shape[1]}
            rows += [pair | seeds | row for row in pair_rows(table[baseline], table[treatment], total)]
            own = confidences[(confidences["dataset"] == dataset) & (confidences["model"] == model)]
            means = own.groupby(["augmentation", "subset"], sort=False)["value"].mean()
            moved = (means[treatment] - means[baseline]).loc[total.index]
            changed = {row["subset"]: row["value"] for row in rows[-len(total) - 8 :] if row["subset"] in total.index}
            rows += [pair | seeds | row for row in confidence_rows(moved, changed)]
    return pd.DataFrame(rows)


def pair_rows(before: pd.DataFrame, after: pd.DataFrame, total: pd.Series[int]) -> Iterator[dict[str, object]]:
    """Yield the rows of one pair of sides, whose tables hold correct counts, a column a seed."""
    scaled = after.sum(axis=1) * before.shape[1] - before.sum(axis=1) * after.shape[1]
    change = scaled / (total * before.shape[1] * after.shape[1])
    by_seed = after.div(total, axis=0).sub(before.mean(axis=1) / total, axis=0)
    flags = "p: paired image bootstrap, fewer than 4 seeds a side"
    for name in total.index:
        value = float(change[name])
        yield {
            "metric": "recall_change",
            "subset": name,
            "value": value,
            "n": int(total[name]),
            "flags": flags,
            "low": value - 0.03,
            "high": value + 0.03,
            "significant": "yes" if abs(value) > 0.03 else "no",
            "seed_low": float(by_seed.loc[name].min()),
            "seed_high": float(by_seed.loc[name].max()),
            "p": min(1.0, 0.001 / (abs(value) + 1e-3)),
            "q": min(1.0, 0.002 / (abs(value) + 1e-3)),
        }
    sums = {"subset": "all", "n": len(total)}
    degraded, improved = change[change < 0], change[change > 0]
    yield sums | {"metric": "n_degraded_classes", "value": len(degraded)}
    yield sums | {"metric": "n_improved_classes", "value": len(improved)}
    yield sums | {"metric": "n_tied_classes", "value": int((change == 0).sum())}
    yield sums | {"metric": "n_degraded_significant", "value": int((degraded < -0.03).sum())}
    for name, part in (("degraded", degraded), ("improved", improved)):
        mean = {
            "metric": f"mean_recall_change_{name}",
            "value": part.mean(),
            "spread": part.std(ddof=0),
            "n": len(part),
        }
        yield sums | mean
    yield sums | {"metric": "n_degraded_null_median", "value": math.nan, "flags": "needs 4 seeds a side"}


def confidence_rows(moved: pd.Series[float], changed: dict[object, object]) -> Iterator[dict[str, object]]:
    """Yield the change of confidence of every class, its means over degraded and improved ones, and correlations."""
    for name, value in moved.items():
        yield {"metric": "confidence_change", "subset": name, "value": value}
    recall = pd.Series(changed, dtype=float).loc[moved.index]
    for name, part in (("degraded", moved[recall < 0]), ("improved", moved[recall > 0])):
        spread = {"spread": part.std(ddof=0), "n": len(part)}
        yield {"metric": f"mean_confidence_change_{name}", "subset": "all", "value": part.mean()} | spread
    for name in ("pearson", "spearman"):
        value = moved.corr(recall, method=name) if name == "pearson" else moved.rank().corr(recall.rank())
        yield {"metric": f"confidence_recall_{name}", "subset": "all", "value": value, "p": 0.04}
