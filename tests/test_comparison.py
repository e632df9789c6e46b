from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import saved
from scipy.stats import spearmanr

from robustbench_msda import verbs
from robustbench_msda.comparison.sides import On, check_one_thing
from robustbench_msda.errors import UserError
from robustbench_msda.evaluation import Place
from robustbench_msda.recipes import Recipe
from robustbench_msda.records import Cell
from robustbench_msda.results.store import read_predictions
from robustbench_msda.statistics import exact_mcnemar, permutation_over_seeds

MADE = "digits_c_made"


def recipe(augmentation: str, seed: int) -> dict[str, object]:
    return Recipe(dataset="digits", model="small_cnn", augmentation=augmentation, seed=seed).model_dump(mode="json")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Eight fresh networks, four called vanilla and four called mixup."""
    folder = tmp_path_factory.mktemp("comparison")
    place = Place(results=folder / "results")
    for k, name in enumerate(["vanilla()", "mixup(alpha=1.0)"]):
        for seed in range(4):
            run = saved(folder / f"{k}{seed}", seed=10 * k + seed, recipe=recipe(name, seed))
            verbs.evaluate(run, {"clean": 0}, place=place)
    return place


def recalls(place: Place, augmentation: str) -> tuple[np.ndarray, np.ndarray]:
    """The recall of every class, averaged over seeds, by a loop over the stored predictions."""
    store = place.store
    found = []
    for record in store.checkpoints().values():
        if record.augmentation != augmentation:
            continue
        (_, _, paths), *_ = store.worlds(record.fingerprint)
        predictions = read_predictions(next(iter(paths.values())))
        found.append([predictions.correct[predictions.label == k].mean() for k in range(10)])
    return np.mean(found, axis=0), np.array(found)


def test_recall_changes_and_counts_equal_a_loop(place: Place) -> None:
    frame = verbs.compare(["augmentation=vanilla"], ["augmentation=mixup"], place=place)
    before, _ = recalls(place, "vanilla")
    after, seeds = recalls(place, "mixup")
    changes = frame[frame["metric"] == "recall_change"]
    assert len(changes) == 10
    np.testing.assert_allclose(changes["value"], after - before, atol=1e-12)
    np.testing.assert_allclose(changes["seed_low"], (seeds - before).min(axis=0), atol=1e-12)
    np.testing.assert_allclose(changes["seed_high"], (seeds - before).max(axis=0), atol=1e-12)
    totals = frame[frame["subset"] == "all"].set_index("metric")
    degraded = (after - before) < -1e-12
    assert totals.loc["n_degraded_classes", "value"] == degraded.sum()
    assert totals.loc["mean_recall_change_degraded", "value"] == pytest.approx((after - before)[degraded].mean())
    assert totals.loc["mean_recall_change_degraded", "spread"] == pytest.approx((after - before)[degraded].std())
    counts = [totals.loc[f"n_{name}_classes", "value"] for name in ("degraded", "improved", "tied")]
    assert sum(counts) == 10
    assert (changes["low"] <= changes["value"] + 1e-12).all()
    assert (changes["value"] <= changes["high"] + 1e-12).all()
    assert (changes["q"] >= changes["p"] - 1e-12).all()
    assert set(changes["flags"]) == {"p: permutation over seeds"}
    assert (changes["p"] >= 2 / 70 - 1e-9).all()


def test_a_comparison_repeats_itself(place: Place) -> None:
    first, second = (verbs.compare(["augmentation=vanilla"], ["augmentation=mixup"], place=place) for _ in range(2))
    assert first.equals(second)


def test_confidence_and_errors_equal_a_loop(place: Place) -> None:
    frame = verbs.compare(["augmentation=vanilla"], ["augmentation=mixup"], place=place)
    store = place.store
    found: dict[str, list[np.ndarray]] = {"vanilla": [], "mixup": []}
    wrong: dict[str, list[float]] = {"vanilla": [], "mixup": []}
    for record in store.checkpoints().values():
        (_, _, paths), *_ = store.worlds(record.fingerprint)
        predictions = read_predictions(next(iter(paths.values())))
        by_class = [predictions.confidence[predictions.label == k].mean() for k in range(10)]
        found[record.augmentation].append(np.array(by_class))
        wrong[record.augmentation].append(1 - predictions.correct.mean())
    moved = np.mean(found["mixup"], axis=0) - np.mean(found["vanilla"], axis=0)
    confidence = frame[frame["metric"] == "confidence_change"]
    np.testing.assert_allclose(confidence["value"], moved, atol=1e-12)
    recall = frame.loc[frame["metric"] == "recall_change", "value"].to_numpy()
    totals = frame[frame["subset"] == "all"].set_index("metric")
    for name, part in (("degraded", moved[recall < -1e-12]), ("improved", moved[recall > 1e-12])):
        row = totals.loc[f"mean_confidence_change_{name}"]
        assert (row["value"], row["spread"], row["n"]) == (
            pytest.approx(part.mean()),
            pytest.approx(part.std()),
            len(part),
        )
        sample = totals.loc[f"recall_change_deviation_{name}", "value"]
        mean = totals.loc[f"mean_recall_change_{name}"]
        assert sample == pytest.approx(mean["spread"] * (mean["n"] / (mean["n"] - 1)) ** 0.5)
    assert totals.loc["confidence_recall_pearson", "value"] == pytest.approx(np.corrcoef(moved, recall)[0, 1])
    assert totals.loc["confidence_recall_spearman", ["value", "p"]].tolist() == pytest.approx(
        list(spearmanr(moved, recall))
    )
    for side, name in (("baseline", "vanilla"), ("treatment", "mixup")):
        row = totals.loc[f"error_{side}"]
        assert row["value"] == pytest.approx(np.mean(wrong[name]))
        assert row["low"] < min(row["value"], np.mean(wrong[name]))
        assert row["high"] > row["value"]
    change = totals.loc["error_change"]
    assert change["value"] == pytest.approx(np.mean(wrong["mixup"]) - np.mean(wrong["vanilla"]))
    assert change["p"] == pytest.approx(float(permutation_over_seeds(*(np.array(wrong[name]) for name in wrong))))
    assert change["flags"] == "interval over seeds, then images; p: permutation over seeds"


def test_a_single_pair_of_checkpoints_is_tested_by_mcnemar(place: Place) -> None:
    frame = verbs.compare(["augmentation=vanilla,seed=0"], ["augmentation=mixup,seed=1"], place=place)
    row = frame[frame["metric"] == "error_change"].iloc[0]
    assert row["flags"] == "interval over images; p: exact McNemar over images"
    sides = []
    for record in place.store.checkpoints().values():
        if (record.augmentation, record.seed) in (("vanilla", 0), ("mixup", 1)):
            (_, _, paths), *_ = place.store.worlds(record.fingerprint)
            sides.append(read_predictions(next(iter(paths.values()))).correct)
    assert row["p"] == pytest.approx(
        exact_mcnemar(int((sides[0] & ~sides[1]).sum()), int((sides[1] & ~sides[0]).sum()))
    )


@pytest.fixture(scope="module")
def corrupted(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two networks a side, one more on the side of mixup, under two corruptions and one for validation."""
    folder = tmp_path_factory.mktemp("corrupted")
    place = Place(results=folder / "results")
    wanted = [Cell("", MADE, name, level) for name in ("brightness", "contrast", "saturate") for level in "12345"]
    for k, (name, seed) in enumerate(
        [("vanilla()", 0), ("vanilla()", 1), ("mixup(alpha=1.0)", 0), ("mixup(alpha=1.0)", 2)]
    ):
        run = saved(folder / str(k), seed=k, recipe=recipe(name, seed))
        verbs.evaluate(run, {MADE: 60}, place=place, cells=wanted)
    return place


@pytest.mark.parametrize(
    ("on", "conditions"),
    [
        (f"{MADE}:contrast:3", [("contrast", "3")]),
        (f"{MADE.replace('_', '-')}:contrast", [("contrast", level) for level in "12345"]),
        (MADE, [(name, level) for name in ("brightness", "contrast") for level in "12345"]),
    ],
)
def test_a_comparison_on_corruptions_equals_a_loop(
    corrupted: Place, on: str, conditions: list[tuple[str, str]]
) -> None:
    frame = verbs.compare(["augmentation=vanilla"], ["augmentation=mixup"], place=corrupted, limit=60, on=on)
    recall: dict[str, list[list[float]]] = {"vanilla": [], "mixup": []}
    error: dict[str, list[float]] = {"vanilla": [], "mixup": []}
    for record in corrupted.store.checkpoints().values():
        ((_, _, paths),) = corrupted.store.worlds(record.fingerprint)
        read = [read_predictions(paths[cell]) for cell in sorted(paths) if (cell.condition, cell.level) in conditions]
        assert len(read) == len(conditions)
        right, labels = np.concatenate([p.correct for p in read]), np.concatenate([p.label for p in read])
        recall[record.augmentation].append([right[labels == k].mean() for k in range(10)])
        error[record.augmentation].append(1 - right.mean())
    changes = frame[frame["metric"] == "recall_change"]
    expected = np.mean(recall["mixup"], axis=0) - np.mean(recall["vanilla"], axis=0)
    np.testing.assert_allclose(changes["value"], expected, atol=1e-12)
    assert changes["n"].sum() == 60
    assert set(frame["on"]) == {on.replace("-", "_")}
    change = frame[frame["metric"] == "error_change"].iloc[0]
    assert change["value"] == pytest.approx(np.mean(error["mixup"]) - np.mean(error["vanilla"]))
    assert change["low"] <= change["value"] <= change["high"]
    pooled = f"over {len(conditions)} conditions"
    assert all((pooled in flags) == (len(conditions) > 1) for flags in frame["flags"])


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("a:b:c:d", "expected BENCHMARK\\[:CONDITION\\[:LEVEL\\]\\]"),
        (":fog", "expected BENCHMARK"),
        (f"{MADE}:fog", f"has no complete {MADE}:fog predictions --limit 60"),
        (f"{MADE}:contrast:9", "has no complete"),
    ],
)
def test_what_is_not_there_cannot_be_compared_on(corrupted: Place, on: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as found:
        verbs.compare(["augmentation=vanilla"], ["augmentation=mixup"], place=corrupted, limit=60, on=on)
    assert "\n" not in str(found.value)


def test_strengths_of_an_attack_are_not_pooled(corrupted: Place) -> None:
    record = next(iter(corrupted.store.checkpoints().values()))
    found = {("fgsm()", "1/255"): [], ("fgsm()", "2/255"): []}
    with pytest.raises(UserError, match=r"--on fgsm: .* found 2 \(fgsm:fgsm\(\):1/255, fgsm:fgsm\(\):2/255"):
        check_one_thing(record, found, 0, On("fgsm"))


@pytest.mark.parametrize("text", ["mixup()", "mixup(1)", "mixup(alpha=1.0)"])
def test_an_augmentation_may_be_written_in_any_form(place: Place, text: str) -> None:
    frame = verbs.compare(["augmentation=vanilla"], [f"augmentation={text},model=small_cnn"], place=place)
    assert set(frame["seeds_treatment"]) == {4}


def test_few_seeds_fall_back_on_images_and_say_so(place: Place) -> None:
    frame = verbs.compare(["augmentation=vanilla,seed=0"], ["augmentation=mixup,seed=1"], place=place)
    changes = frame[frame["metric"] == "recall_change"]
    assert set(changes["flags"]) == {"p: paired image bootstrap, fewer than 4 seeds a side"}
    null = frame[frame["metric"] == "n_degraded_null_median"].iloc[0]
    assert np.isnan(null["value"])
    assert null["flags"] == "needs 4 seeds a side"


def test_recipes_that_differ_in_more_are_told_and_kept_apart(place: Place, tmp_path: Path) -> None:
    apart = Place(results=tmp_path / "results")
    for weights, (name, epochs) in enumerate([("vanilla()", 1), ("mixup(alpha=1.0)", 1), ("mixup(alpha=1.0)", 2)]):
        made = recipe(name, 0) | {"epochs": epochs, "lr": 0.1 * epochs}
        run = saved(tmp_path / str(weights), seed=weights, recipe=made)
        verbs.evaluate(run, {"clean": 0}, place=apart)
    frame = verbs.compare(["augmentation=vanilla"], ["augmentation=mixup"], place=apart)
    assert (frame["metric"] == "n_degraded_classes").sum() == 2
    flagged = frame["flags"].str.contains("recipes differ in epochs, lr")
    assert flagged.sum() == len(frame) / 2
    assert frame["treatment"].str.startswith("mixup · ").all()
    assert frame["treatment"].nunique() == 2
    assert set(frame["baseline"]) == {"vanilla"}


def test_nothing_changes_against_the_same_predictions(place: Place, tmp_path: Path) -> None:
    records = list(place.store.checkpoints().values())
    sides = verbs.comparison.both_sides(place.store, records[:2], records[:2], 0)
    same = verbs.comparison.changes(records[0], sides, 100)
    values = {row.metric: row.value for row in same if row.subset == "all"}
    assert values["n_tied_classes"] == 10
    assert values["n_degraded_classes"] == 0
    assert np.isnan(values["mean_recall_change_degraded"])


@pytest.mark.parametrize(
    ("baseline", "treatment", "message"),
    [
        (["augmentation=vanila"], ["augmentation=mixup"], "Did you mean vanilla"),
        (["augmentation=cutmix"], ["augmentation=mixup"], "no evaluated checkpoint matches 'augmentation=cutmix'"),
        (["augmentation=vanilla"], ["augmentation=vanilla"], "both --baseline and --treatment"),
        (["model=small_cnn"], ["augmentation=mixup"], "several groups of small_cnn: mixup, vanilla"),
        (["augmentation=vanilla"], ["augmentatoin=mixup"], "Did you mean augmentation"),
    ],
)
def test_sides_that_cannot_be_compared(place: Place, baseline: list[str], treatment: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        verbs.compare(baseline, treatment, place=place)


def test_a_limit_that_was_never_evaluated_says_what_to_run(place: Place) -> None:
    with pytest.raises(UserError, match=r"robustbench-msda evaluate .* --benchmarks clean --limit 30"):
        verbs.compare(["augmentation=vanilla"], ["augmentation=mixup"], place=place, limit=30)
