from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import saved

from robustbench_msda import verbs
from robustbench_msda.benchmarks import Baseline, Basis
from robustbench_msda.benchmarks.attack_scores import attack_scores
from robustbench_msda.benchmarks.clean import Clean
from robustbench_msda.benchmarks.corruption_scores import IMAGENET_SUITE, LEVELS, corruption_scores
from robustbench_msda.benchmarks.detection import detection_scores
from robustbench_msda.benchmarks.human_labels import divergences
from robustbench_msda.benchmarks.perturbation_scores import PerturbationSuite, perturbation_scores
from robustbench_msda.conditions import FIFTEEN, FOUR, STAND_INS, TEN
from robustbench_msda.errors import UserError
from robustbench_msda.evaluation import Place
from robustbench_msda.metrics import METRICS
from robustbench_msda.records import Cell, Predictions
from robustbench_msda.results.scores import read_scores
from robustbench_msda.results.store import Results, read_predictions
from robustbench_msda.scoring import TRAINING_METRICS

GOLDEN = Path(__file__).parent / "golden" / "digits_results"


def test_committed_predictions_give_the_committed_rows(tmp_path: Path) -> None:
    """Predictions of a small network on digits, and the score rows they gave when they were committed."""
    frame = verbs.score(place=Place(results=GOLDEN))
    expected = read_scores(GOLDEN / "scores" / "all.csv.gz")
    assert list(frame.columns) == list(expected.columns)
    names = [name for name in frame.columns if frame[name].dtype != np.float64]
    assert frame[names].astype(str).equals(expected[names].astype(str))
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(frame[name], expected[name], rtol=1e-8, atol=1e-12)


def answers(videos: int, frames: int) -> Predictions:
    """Labelled answers to ``videos`` videos of ``frames`` frames, a still each for 1, of which every third is wrong."""
    n = videos * frames
    answered = (np.arange(n) % 3 == 0).astype(np.int16)
    return Predictions(
        index=np.repeat(np.arange(videos, dtype=np.int32), frames),
        frame=np.tile(np.arange(frames, dtype=np.int16), videos),
        label=np.zeros(n, np.int16),
        top5=np.stack([answered, 1 - answered, *(np.full(n, k, np.int16) for k in (2, 3, 4))], axis=1),
        top5_logit=np.tile(np.array([2, 1, 0, 0, 0], np.float32), (n, 1)),
        label_logit=(2 - answered).astype(np.float32),
        logsumexp=np.full(n, 2.6, np.float32),
        sum_p2=np.full(n, 0.4, np.float32),
    )


def emitted_by_suites() -> set[str]:
    """Return the metrics of the suites' scores, in relation to a clean error and to a baseline."""
    stills, videos = answers(100, 1), answers(3, 4)
    images = {Cell("f", "c", name, level): stills for name in FIFTEEN for level in LEVELS}
    moving = {Cell("f", "p", name): videos for name in {*TEN, *FOUR}}
    errors = {(cell.condition, cell.level): 0.5 for cell in (*images, *moving)}
    basis = Basis(0.1, Baseline("another", errors, 0.2))
    scores = [
        *corruption_scores(images, ("cat", "dog"), basis, IMAGENET_SUITE),
        *perturbation_scores(moving, basis, PerturbationSuite(alexnet=True)),
    ]
    return {score.metric for score in scores}


def emitted_by_attacks() -> set[str]:
    """Return the metrics of an attack beside noise and in both boxes, in whose gradients a check was made."""
    cells = {Cell("f", "b", text, "0.1"): answers(100, 1) for text in ("fgsm()", "uniform_noise()")}
    checks = {cell: {"zero_gradient": 0} for cell in cells}
    boxes = {"g": "gray_box", "b": "black_box"}
    cells |= {Cell("f", "b", "fgsm()", "0.1", source): answers(100, 1) for source in boxes}
    scores = attack_scores(cells, ("cat", "dog"), Basis(checks=checks, boxes=boxes), ("fgsm()", "uniform_noise()"))
    return {score.metric for score in scores}


def emitted_by_strange_images_and_people() -> set[str]:
    """Return the metrics of strange images beside known ones, and of people's answers."""
    stills, logits = answers(100, 1), np.zeros((2, 3), np.float32)
    found = {score.metric for score in detection_scores(Cell("f", "ood", "x"), stills, stills)}
    return found | set(divergences(np.full((2, 3), 9, np.float32), logits))


def test_every_score_has_a_definition_and_every_definition_a_score() -> None:
    emitted = set(read_scores(GOLDEN / "scores" / "all.csv.gz")["metric"]) | emitted_by_suites()
    emitted |= emitted_by_strange_images_and_people() | emitted_by_attacks()
    compared = {name for name in METRICS if "change" in name or name.startswith(("n_", "confidence_recall_"))}
    compared |= {"error_baseline", "error_treatment"}
    assert emitted == set(METRICS) - compared - set(TRAINING_METRICS)


def test_aggregates_equal_a_loop_over_the_predictions() -> None:
    frame = read_scores(GOLDEN / "scores" / "all.csv.gz")
    store = Results(GOLDEN)
    (record,) = store.checkpoints().values()
    errors: dict[str, list[float]] = {}
    for name, _, paths in store.worlds(record.fingerprint):
        if name == "digits_p_made":
            continue
        for cell, path in paths.items():
            predictions = read_predictions(path)
            wrong = sum(int(t[0]) != int(y) for t, y in zip(predictions.top5, predictions.label, strict=True))
            error = wrong / len(predictions)
            row = frame[
                (frame["benchmark"] == name)
                & (frame["condition"] == cell.condition)
                & (frame["level"] == cell.level)
                & (frame["metric"] == "error")
            ]
            assert row["value"].item() == pytest.approx(error, abs=1e-9)
            assert row["low"].item() < error < row["high"].item()
            if name == "digits_c_made":
                errors.setdefault(cell.condition, []).append(error)
    means = frame[frame["metric"] == "corruption_error"].set_index("condition")["value"]
    assert len(means) == 19
    assert means.to_dict() == pytest.approx({name: sum(values) / 5 for name, values in errors.items()}, abs=1e-9)
    fifteen = [STAND_INS.get(name, name) for name in FIFTEEN]
    total = frame[(frame["metric"] == "mean_corruption_error") & (frame["benchmark"] == "digits_c_made")]
    assert total["value"].item() == pytest.approx(float(np.mean([means[name] for name in fifteen])), abs=1e-9)
    assert total["flags"].item() == "made; frost_procedural for frost"
    assert total["n"].item() == 15


def test_flips_equal_a_loop_over_the_frames() -> None:
    frame = read_scores(GOLDEN / "scores" / "all.csv.gz").query("metric == 'flip_probability'").set_index("condition")
    flips: dict[str, float] = {}
    for path in sorted(GOLDEN.rglob("digits_p_made@*/*.npz")):
        predictions, condition = read_predictions(path), path.name.split("~")[0]
        changed = []
        for row in range(len(predictions)):
            number = int(predictions.frame[row])
            before = row - number if "noise" in condition else row - 1
            if number:
                changed.append(predictions.top5[row, 0] != predictions.top5[before, 0])
        flips[condition] = float(np.mean(changed))
    assert len(flips) == 14
    assert frame["value"].to_dict() == pytest.approx(flips, abs=1e-9)
    assert (frame["n"] == 3).all()


def test_class_counts_are_exact_and_sum_to_the_correct_answers() -> None:
    frame = read_scores(GOLDEN / "scores" / "all.csv.gz")
    clean = frame[frame["benchmark"] == "clean"]
    counts = clean[clean["metric"] == "correct_count"]
    error = clean[clean["metric"] == "error"]
    assert (counts["value"] % 1 == 0).all()
    assert counts["value"].sum() == round((1 - error["value"].item()) * error["n"].item())
    confusions = clean[clean["metric"] == "confusion_count"]["value"].sum()
    assert confusions == error["n"].item() - counts["value"].sum()


def test_an_aggregate_waits_for_all_of_its_severities(tmp_path: Path) -> None:
    run = saved(tmp_path / "run")
    place = Place(results=tmp_path / "results")
    verbs.evaluate(run, {"digits_c_made": 10}, place=place)
    lost = next(place.results.rglob("brightness~3~*.npz"))
    lost.unlink()
    frame = verbs.score(place=place)
    named = set(frame.loc[frame["metric"] == "corruption_error", "condition"])
    assert "contrast" in named
    assert "brightness" not in named
    assert "mean_corruption_error" not in set(frame["metric"])
    partial = verbs.score(place=replace(place, allow_partial=True))
    mean = partial[partial["metric"] == "mean_corruption_error"]
    assert "partial: 15 of 15 corruptions, 74 of 75 cells" in mean["flags"].item()


def test_another_checkpoint_normalises_and_itself_scores_one(tmp_path: Path) -> None:
    place = Place(results=tmp_path / "results")
    runs = [saved(tmp_path / f"run{seed}", seed) for seed in (0, 1)]
    fingerprints = [
        verbs.evaluate(run, {"clean": 10, "digits_c_made": 10}, place=place).checkpoint.fingerprint for run in runs
    ]
    frame = verbs.score(place=place, normalise_by=fingerprints[0])
    rates = frame[frame["metric"] == "mce_baseline"].set_index("fingerprint")
    assert rates["value"][fingerprints[0]] == pytest.approx(1)
    assert rates["value"][fingerprints[1]] != pytest.approx(1)
    assert fingerprints[0] in rates["flags"][fingerprints[1]]
    with pytest.raises(UserError, match="expected one checkpoint, found 2"):
        verbs.score(place=place, normalise_by="dataset=digits")
    other = saved(tmp_path / "other", 2)
    third = verbs.evaluate(other, {"clean": 10}, place=place).checkpoint.fingerprint
    with pytest.raises(UserError, match=rf"--normalise-by {third}: expected predictions on the same corruptions"):
        verbs.score(place=place, normalise_by=third)


def test_predictions_of_another_version_are_left_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(results=tmp_path / "results")
    verbs.evaluate(saved(tmp_path / "run"), {"clean": 10}, place=place)
    before = verbs.score(place=place)
    monkeypatch.setattr(Clean, "version", 2)
    monkeypatch.setattr(Clean.__init__, "__defaults__", ("clean", 2, True))
    assert verbs.score(place=place).empty
    verbs.evaluate(tmp_path / "run", {"clean": 10}, place=place)
    after = verbs.score(place=place)
    assert len(after) == len(before)
    assert set(after["world"]).isdisjoint(before["world"])
