from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import saved

from robustbench_msda import verbs
from robustbench_msda.errors import UserError
from robustbench_msda.recipes import Recipe
from robustbench_msda.results.store import read_predictions


def recipe(augmentation: str, seed: int) -> dict[str, object]:
    return Recipe(dataset="digits", model="small_cnn", augmentation=augmentation, seed=seed).model_dump(mode="json")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> verbs.Place:
    """Eight fresh networks, four called vanilla and four called mixup."""
    folder = tmp_path_factory.mktemp("comparison")
    place = verbs.Place(results=folder / "results")
    for k, name in enumerate(["vanilla()", "mixup(alpha=1.0)"]):
        for seed in range(4):
            run = saved(folder / f"{k}{seed}", seed=10 * k + seed, recipe=recipe(name, seed))
            verbs.evaluate(run, {"clean": 0}, place=place)
    return place


def recalls(place: verbs.Place, augmentation: str) -> tuple[np.ndarray, np.ndarray]:
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


def test_recall_changes_and_counts_equal_a_loop(place: verbs.Place) -> None:
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


def test_a_comparison_repeats_itself(place: verbs.Place) -> None:
    first, second = (verbs.compare(["augmentation=vanilla"], ["augmentation=mixup"], place=place) for _ in range(2))
    assert first.equals(second)


@pytest.mark.parametrize("text", ["mixup()", "mixup(1)", "mixup(alpha=1.0)"])
def test_an_augmentation_may_be_written_in_any_form(place: verbs.Place, text: str) -> None:
    frame = verbs.compare(["augmentation=vanilla"], [f"augmentation={text},model=small_cnn"], place=place)
    assert set(frame["seeds_treatment"]) == {4}


def test_few_seeds_fall_back_on_images_and_say_so(place: verbs.Place) -> None:
    frame = verbs.compare(["augmentation=vanilla,seed=0"], ["augmentation=mixup,seed=1"], place=place)
    changes = frame[frame["metric"] == "recall_change"]
    assert set(changes["flags"]) == {"p: paired image bootstrap, fewer than 4 seeds a side"}
    null = frame[frame["metric"] == "n_degraded_null_median"].iloc[0]
    assert np.isnan(null["value"])
    assert null["flags"] == "needs 4 seeds a side"


def test_recipes_that_differ_in_more_are_told_and_kept_apart(place: verbs.Place, tmp_path: Path) -> None:
    apart = verbs.Place(results=tmp_path / "results")
    for weights, (name, epochs) in enumerate([("vanilla()", 1), ("mixup(alpha=1.0)", 1), ("mixup(alpha=1.0)", 2)]):
        made = recipe(name, 0) | {"epochs": epochs, "lr": 0.1 * epochs}
        run = saved(tmp_path / str(weights), seed=weights, recipe=made)
        verbs.evaluate(run, {"clean": 0}, place=apart)
    frame = verbs.compare(["augmentation=vanilla"], ["augmentation=mixup"], place=apart)
    assert (frame["metric"] == "n_degraded_classes").sum() == 2
    flagged = frame["flags"].str.contains("recipes differ in epochs, lr")
    assert flagged.sum() == len(frame) / 2


def test_nothing_changes_against_the_same_predictions(place: verbs.Place, tmp_path: Path) -> None:
    records = list(place.store.checkpoints().values())
    same = verbs.comparison.changes(
        records[0],
        verbs.comparison.side(place.store, records[:2], 0),
        verbs.comparison.side(place.store, records[:2], 0),
        100,
    )
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
def test_sides_that_cannot_be_compared(
    place: verbs.Place, baseline: list[str], treatment: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        verbs.compare(baseline, treatment, place=place)


def test_a_limit_that_was_never_evaluated_says_what_to_run(place: verbs.Place) -> None:
    with pytest.raises(UserError, match=r"robustbench-msda evaluate .* --benchmarks clean --limit 30"):
        verbs.compare(["augmentation=vanilla"], ["augmentation=mixup"], place=place, limit=30)
