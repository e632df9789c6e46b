"""Our numbers in the papers' tables: like for like, standing in and marked, or not there at all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from paper_results import CLASSES, clean_rows, network, value_row, write_study

from robustbench_msda.cli.main import status
from robustbench_msda.papers import layouts
from robustbench_msda.reporting import build

MODEL = "wrn_28_2_snu"
AUGMENTATIONS = ("vanilla", "mixup", "dropmix(rate=0.4, of=mixup)", "cutmix")


def half_of_classdep(folder: Path, dataset: str = "cifar100", model: str = MODEL) -> pd.DataFrame:
    """Three seeds of each method, of which the paper has more."""
    rng = np.random.default_rng(7)
    rows = []
    for place, augmentation in enumerate(AUGMENTATIONS):
        for seed in range(3):
            rows += clean_rows(network(dataset, model, augmentation, seed), rng, 0.05 * place)
    return write_study(folder, "mine", rows)


def built(tmp_path: Path, *arguments: str) -> tuple[pd.DataFrame, str]:
    """The tidy CSV and the Markdown of the one table that the command line writes."""
    table = next(each for each in arguments if each in layouts())
    folders = ["--results", str(tmp_path / "mine"), "--reports", str(tmp_path / "reports")]
    assert status(["tables", "build", *arguments, *folders]) == 0
    out = tmp_path / "reports" / "papers" / "tables"
    return pd.read_csv(out / f"{table}.csv", keep_default_na=False), (out / f"{table}.md").read_text(encoding="utf-8")


def of(table: pd.DataFrame, row: int, column: int, metric: str) -> pd.Series:
    found = table[(table["row"] == row) & (table["column"] == column) & (table["metric"] == metric)]
    assert len(found) == 1
    return found.iloc[0]


def test_a_table_with_half_its_cells_missing_is_right_where_it_is_not(tmp_path: Path) -> None:
    scores = half_of_classdep(tmp_path / "mine")
    table, text = built(tmp_path, "classdep.T1")
    errors = scores[scores["metric"] == "error"].groupby("augmentation")["value"]
    counts = scores[scores["metric"] == "correct_count"].pivot_table(
        index="augmentation", columns="subset", values="value", aggfunc="mean"
    )[list(CLASSES)]
    confidences = scores[scores["metric"] == "class_top_confidence"].groupby(["augmentation", "subset"])["value"].mean()
    for row, column, augmentation in ((2, 1, "mixup"), (2, 5, "dropmix(rate=0.4, of=mixup)"), (3, 1, "cutmix")):
        accuracy = of(table, row, column, "error")
        assert float(accuracy["ours"]) == pytest.approx(100 * (1 - errors.mean()[augmentation]), abs=1e-6)
        assert float(accuracy["ours_std"]) == pytest.approx(100 * errors.std()[augmentation], abs=1e-6)
        assert int(accuracy["ours_n"]) == 3
        assert accuracy["our_augmentation"] == augmentation
        change = (counts.loc[augmentation] - counts.loc["vanilla"]) / 100
        lost = change[change < 0]
        assert len(lost) > 1
        assert float(of(table, row, column + 1, "n_degraded_classes")["ours"]) == len(lost)
        mean = of(table, row, column + 2, "mean_recall_change_degraded")
        assert float(mean["ours"]) == pytest.approx(100 * lost.mean())
        assert float(mean["difference"]) == pytest.approx(100 * lost.mean() - float(mean["paper"]))
        deviation = of(table, row, column + 2, "recall_change_deviation_degraded")
        assert float(deviation["ours"]) == pytest.approx(100 * lost.std(ddof=1))
    assert float(of(table, 2, 4, "dropmix_rate")["ours"]) == 0.4
    assert of(table, 3, 4, "dropmix_rate")["ours"] == of(table, 3, 5, "error")["ours"] == ""
    measured = table[table["ours"] != ""]
    assert set(measured["row"]) == {1, 2, 3}
    assert set(measured["marks"]) == {""}
    assert text.count("—") > 60
    assert "— not measured, or not defined." in text
    assert "over n=3 networks" in text
    # The confidences of the same networks, in the table of them.
    third, _ = built(tmp_path, "classdep.T3")
    change = (counts.loc["mixup"] - counts.loc["vanilla"]) < 0
    gone = (confidences["mixup"] - confidences["vanilla"])[list(CLASSES)][change].mean()
    assert float(of(third, 1, 2, "mean_confidence_change_degraded")["ours"]) == pytest.approx(gone)


def test_our_bold_follows_the_papers_rule(tmp_path: Path) -> None:
    half_of_classdep(tmp_path / "mine")
    table, text = built(tmp_path, "classdep.T1", "--show", "ours")
    row = next(line for line in text.splitlines() if "WRN28-2 | Mixup" in line.replace("\\", ""))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    plain = float(of(table, 2, 1, "error")["ours"]) > float(of(table, 2, 5, "error")["ours"])
    assert cells[2].startswith("**") == plain
    assert cells[6].startswith("**") != plain
    assert not cells[3].startswith("**")


def test_nothing_stands_in_unless_it_is_asked_for(tmp_path: Path) -> None:
    half_of_classdep(tmp_path / "mine", "cifar10_40k", "resnet20")
    table, text = built(tmp_path, "classdep.T1")
    assert set(table["ours"]) == {""}
    assert "nothing of this table was measured" in text
    stands = ["--substitute", "cifar100=cifar10_40k", "--substitute", f"{MODEL}=resnet20"]
    table, text = built(tmp_path, "classdep.T1", *stands)
    measured = table[table["ours"] != ""]
    assert set(measured["marks"]) == {"‡"}
    assert set(measured["our_model"]) == {"resnet20"}
    assert set(measured["our_dataset"]) == {"cifar10_40k"}
    assert "cifar10_40k stands for cifar100, resnet20 stands for wrn_28_2_snu" in text.replace("\\", "")
    assert "40,000 images to train and 10,000 to test" in text
    _, difference = built(tmp_path, "classdep.T1", "--show", "difference", *stands)
    row = next(line for line in difference.splitlines() if line.startswith("| WRN28-2 | Vanilla"))
    change = float(of(table, 1, 1, "error")["difference"])
    assert f"| {change:+.2f}‡ |".replace("-", "−") in row


def corruption_rows(augmentation: str, benchmark: str, value: float, flags: str = "") -> list[dict[str, object]]:
    return [
        value_row(network("cifar10", model, augmentation, seed), benchmark, "mean_corruption_error", value, flags=flags)
        for seed in range(2)
        for model in ("allconvnet", "densenet_bc_100_12", "wrn_40_2", "resnext29_4x32d")
    ]


def test_made_stimuli_are_taken_and_marked_only_when_they_are_allowed(tmp_path: Path) -> None:
    rows = [
        *corruption_rows("vanilla", "cifar10_c_made", 0.31, "made"),
        *corruption_rows("mixup", "cifar10_c", 0.25),
        *corruption_rows("mixup", "cifar10_c_made", 0.26, "made"),
        *corruption_rows("augmix", "cifar10_c_made", 0.12, "made; frost_procedural for frost"),
        *corruption_rows("dynmix", "cifar10_c_made", 0.10, "made; partial: 8 of 15 corruptions, 40 of 75 cells"),
    ]
    write_study(tmp_path / "mine", "mine", rows)
    table, _ = built(tmp_path, "dynmix.T1")
    assert set(table[table["ours"] != ""]["column"]) == {2}
    table, text = built(tmp_path, "dynmix.T1", "--allow-made")
    found = {
        (row, column): of(table, row, column, "mean_corruption_error") for row in (1, 5) for column in (1, 2, 6, 7)
    }
    assert float(found[1, 1]["ours"]) == pytest.approx(31)
    assert found[1, 1]["marks"] == "*"
    assert (float(found[1, 2]["ours"]), found[1, 2]["marks"]) == (pytest.approx(25), "")
    # A stand-in for a corruption, or fewer of them, is no such mean.
    assert found[1, 6]["ours"] == found[1, 7]["ours"] == ""
    # The row of means is ours too, where all four networks are.
    assert float(found[5, 1]["ours"]) == pytest.approx(31)
    assert found[5, 1]["marks"] == "*"
    assert "stimuli made here" in text


def test_recipes_and_worlds_are_never_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    first = clean_rows(network("cifar10", "resnet18_cifar", "mixup", 0), rng)
    other = clean_rows(network("cifar10", "resnet18_cifar", "mixup", 0, "longer"), rng)
    write_study(tmp_path / "mine", "one", first)
    write_study(tmp_path / "mine", "two", other)
    folders = ["--results", str(tmp_path / "mine"), "--reports", str(tmp_path / "reports")]
    assert status(["tables", "build", "classdep.T4", *folders]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "2 recipes (one, two)" in told
    assert "tables build STUDY classdep.T4" in told
    assert status(["tables", "build", "two", "classdep.T4", *folders]) == 0
    (tmp_path / "mine" / "one.json").write_text(json.dumps({"feeds": ["classdep.T4"]}), encoding="utf-8")
    table, _ = built(tmp_path, "classdep.T4")
    assert float(of(table, 2, 1, "error")["ours"]) == pytest.approx(100 * (1 - float(first[0]["value"])))
    worlds = [{**row, "world": "another0"} for row in clean_rows(network("cifar10", "resnet18_cifar", "mixup", 1), rng)]
    write_study(tmp_path / "mine", "one", [*first, *worlds])
    assert status(["tables", "build", "classdep.T4", *folders]) == 1
    assert "2 worlds" in capsys.readouterr().err


def test_ratios_changes_and_settings_are_against_training_without_a_method(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = []
    for augmentation, seconds in (("vanilla", 10.0), ("mixup", 10.4), ("comixup", 290.0)):
        who = network("cifar100", "preact_resnet18", augmentation, 0)
        flags = "another machine" if augmentation == "comixup" else "one machine"
        rows += [*clean_rows(who, rng), value_row(who, "training", "epoch_seconds", seconds, flags=flags)]
    write_study(tmp_path / "mine", "mine", rows)
    table, text = built(tmp_path, "kmix.T2")
    assert float(of(table, 1, 2, "epoch_seconds")["ours"]) == pytest.approx(1.04)
    assert "(1.04×)" in text
    # Of two machines there is no ratio.
    assert of(table, 1, 5, "epoch_seconds")["ours"] == ""
    assert of(table, 1, 5, "error")["ours"] != ""


def test_a_variant_of_a_recipe_is_told_by_its_record(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows, errors = [], {}
    for options, smoothing in (({}, 0.0), ({"drop_path": 0.25}, 0.0), ({}, 0.1)):
        who = network("cifar100", "pyramidnet200_a240", "vanilla", 0, str((options, smoothing)))
        here = clean_rows(who, rng)
        errors[str(options), smoothing] = 100 * float(here[0]["value"])
        rows += here
        recipe = {"model_options": options, "label_smoothing": smoothing, "dataset": "cifar100", "epochs": 300}
        record = {"fingerprint": who["fingerprint"], "source": "pyramidnet200_a240", "dataset": "cifar100", "path": ""}
        record |= {"classes": ["a"], "mean": [0.5], "std": [0.5], "recipe": recipe}
        folder = tmp_path / "mine" / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{who['fingerprint']}.json").write_text(json.dumps(record), encoding="utf-8")
    write_study(tmp_path / "mine", "mine", rows)
    table, text = built(tmp_path, "kmix.T1")
    ours = {row: table[(table["row"] == row) & (table["unit"] == "%")]["ours"].iloc[0] for row in (6, 7, 8, 10)}
    assert float(ours[6]) == pytest.approx(errors["{}", 0.0])
    assert float(ours[7]) == pytest.approx(errors["{'drop_path': 0.25}", 0.0])
    assert float(ours[8]) == pytest.approx(errors["{}", 0.1])
    assert ours[10] == ""
    change = table[(table["row"] == 8) & (table["unit"] == "%p")].iloc[0]
    assert float(change["ours"]) == pytest.approx(errors["{}", 0.1] - errors["{}", 0.0])
    assert "cifar100 300 epochs; in the paper: 300 epochs" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dynmix.T9"], "Did you mean dynmix.T"),
        (["classdep.T1", "--substitute", "cifar=cifar10"], "to substitute: 'cifar'. Did you mean cifar100"),
        (["classdep.T1", "--substitute", "cifar100"], "expected THEIRS=OURS"),
        (["classdep.T1", "--format", "pdf"], "unknown format 'pdf'"),
        (["nothing", "classdep.T1"], "no scores at"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    half_of_classdep(tmp_path / "mine")
    folders = ["--results", str(tmp_path / "mine"), "--reports", str(tmp_path / "reports")]
    assert status(["tables", "build", *arguments, *folders]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_all_tables_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    half_of_classdep(tmp_path / "mine")
    formats = ["--all", "--format", "csv,latex,markdown,html", "--results", str(tmp_path / "mine")]
    for name in ("first", "second"):
        assert status(["tables", "build", *formats, "--reports", str(tmp_path / name)]) == 0
    first, second = (sorted((tmp_path / name).rglob("*.*")) for name in ("first", "second"))
    assert len(first) == 28 * 4 + 1
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_papers_numbers_need_no_results(tmp_path: Path) -> None:
    table, text = built(tmp_path, "dynmix.T3", "--show", "paper")
    assert "ours" not in table.columns
    assert len(table) == 102
    assert float(of(table, 6, 17, "mce_alexnet")["paper"]) == 64.4
    assert "**64.4**" in text


def imagenet(augmentation: str, seed: int = 0) -> dict[str, object]:
    return network("imagenet", "torchvision/resnet50", augmentation, seed)


def test_attacks_are_told_by_their_box(tmp_path: Path) -> None:
    rows = []
    for augmentation, error in (("vanilla", 0.8), ("cutmix", 0.6)):
        who = imagenet(augmentation)
        pgd = {"condition": "pgd(steps=10)", "level": "8/255"}
        rows += [
            value_row(who, "fgsm", "error", error, condition="fgsm()", level="8/255"),
            value_row(who, "fgsm", "error", 0.5, condition="fgsm()", level="4/255"),
            value_row(who, "fgsm", "error", 0.97, condition="fgsm()", level="8/255", source="0" * 12),
            value_row(who, "pgd", "gray_box_error", error - 0.1, **pgd),
            value_row(who, "pgd", "black_box_error", error - 0.2, **pgd),
            value_row(who, "pgd", "error", 0.99, **pgd),
            value_row(who, "imagenet_a", "error", error + 0.1, condition="masked"),
            value_row(who, "imagenet_a", "error", 0.98, condition="unmasked"),
        ]
    write_study(tmp_path / "mine", "mine", rows)
    table, text = built(tmp_path, "kmix.T4")
    ours = table[(table["row"] == 2) & (table["unit"] == "%")].set_index("column")["ours"].astype(float)
    assert ours.to_dict() == pytest.approx({1: 40, 2: 50, 3: 60, 4: 30})
    changes = table[(table["row"] == 2) & (table["unit"] == "%p")]["ours"].astype(float)
    assert changes.to_list() == pytest.approx([20, 20, 20, 20])
    assert "40.00 (+20.00)" in text


def test_answers_of_people_are_compared_on_the_official_images_or_on_what_stands_for_them(tmp_path: Path) -> None:
    who = network("cifar10", "preact_resnet18_fmix", "cutmix", 0)
    conditions = {"cifar10=00112233": 0.25, "cifar10_jpeg75=44556677": 0.5}
    rows = [value_row(who, "cifar10h", "kl_human_model", value, condition=name) for name, value in conditions.items()]
    write_study(tmp_path / "mine", "mine", rows)
    table, text = built(tmp_path, "fmix.T6")
    assert float(of(table, 1, 4, "kl_human_model")["ours"]) == 0.25
    assert "‡" not in text
    table, text = built(tmp_path, "fmix.T6", "--substitute", "cifar10h=cifar10_jpeg75")
    assert float(of(table, 1, 4, "kl_human_model")["ours"]) == 0.5
    assert "cifar10_jpeg75 stands for cifar10h" in text.replace("\\", "")


def test_flip_rates_are_over_alexnets(tmp_path: Path) -> None:
    who = network("imagenet", "torchvision/resnet50", "dynmix(severity=1.0)", 0)
    row = value_row(who, "imagenet_p", "flip_probability", 0.0489, condition="brightness")
    write_study(tmp_path / "mine", "mine", [row])
    table, _ = built(tmp_path, "dynmix.T4")
    assert float(of(table, 6, 7, "flip_probability")["ours"]) == pytest.approx(100)
    assert (table["ours"] != "").sum() == 1


def test_numbers_that_a_table_makes_of_its_own_others(tmp_path: Path) -> None:
    rows = []
    for k, alpha in enumerate((0.1, 0.3, 0.5, 0.7, 1.0)):
        who = network("cifar100", "pyramidnet200_a240", f"dmixup(alpha={alpha})", 0)
        rows.append(value_row(who, "clean", "error", 0.15 + 0.01 * k))
    for augmentation, error in (("mixup", 0.4), ("cutmix", 0.3)):
        who = network("imagenet100_64", "timm/resnet50", augmentation, 0)
        rows.append(value_row(who, "clean", "error", error))
        recipe = {"crop_scale": [0.8, 1.0], "dataset": "imagenet100_64", "epochs": 300}
        record = {"fingerprint": who["fingerprint"], "source": "timm/resnet50", "dataset": "imagenet100_64", "path": ""}
        record |= {"classes": ["a"], "mean": [0.5], "std": [0.5], "recipe": recipe}
        (tmp_path / "mine" / "checkpoints").mkdir(parents=True, exist_ok=True)
        path = tmp_path / "mine" / "checkpoints" / f"{who['fingerprint']}.json"
        path.write_text(json.dumps(record), encoding="utf-8")
    write_study(tmp_path / "mine", "mine", rows)
    table, _ = built(tmp_path, "kmix.S2")
    assert float(of(table, 1, 6, "error")["ours"]) == pytest.approx(np.std([15, 16, 17, 18, 19], ddof=1))
    assert of(table, 2, 6, "error")["ours"] == ""
    table, text = built(tmp_path, "unified.T1")
    assert float(of(table, 1, 3, "error")["ours"]) == pytest.approx(10)
    assert of(table, 2, 1, "error")["ours"] == of(table, 2, 3, "error")["ours"] == ""
    assert "| +10.0 |" in text


def test_networks_of_fewer_epochs_are_marked(tmp_path: Path) -> None:
    scores = half_of_classdep(tmp_path / "mine")
    folder = tmp_path / "mine" / "checkpoints"
    folder.mkdir()
    for who, augmentation in scores[["fingerprint", "augmentation"]].drop_duplicates().itertuples(index=False):
        recipe = {"epochs": 200 if augmentation == "mixup" else 300, "dataset": "cifar100"}
        record = {"fingerprint": who, "source": MODEL, "dataset": "cifar100", "path": "", "recipe": recipe}
        record |= {"classes": ["a"], "mean": [0.5], "std": [0.5]}
        (folder / f"{who}.json").write_text(json.dumps(record), encoding="utf-8")
    table, text = built(tmp_path, "classdep.T1")
    marks = table[table["ours"] != ""].groupby("our_augmentation")["marks"].unique()
    assert {name: list(found) for name, found in marks.items()} == {
        name: ["§"] if name == "mixup" else [""] for name in AUGMENTATIONS
    }
    assert "trained for fewer epochs than the paper's networks" in text
    assert "cifar100 200 epochs, cifar100 300 epochs" in text


def test_attacks_with_several_settings_are_never_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {"pgd(steps=10)": 0.7, "pgd(steps=40)": 0.9}
    rows = [
        value_row(imagenet("cutmix"), "pgd", "gray_box_error", error, condition=text, level="8/255")
        for text, error in texts.items()
    ]
    write_study(tmp_path / "mine", "mine", rows)
    folders = ["--results", str(tmp_path / "mine"), "--reports", str(tmp_path / "reports")]
    assert status(["tables", "build", "kmix.T4", *folders]) == 1
    assert "2 settings" in capsys.readouterr().err


def test_what_is_on_other_stimuli_competes_with_its_like_alone(tmp_path: Path) -> None:
    rows = [
        *corruption_rows("vanilla", "cifar10_c_made", 0.31, "made"),
        *corruption_rows("mixup", "cifar10_c_made", 0.12, "made"),
        *corruption_rows("augmix", "cifar10_c", 0.25),
        *corruption_rows("dynmix", "cifar10_c", 0.28),
    ]
    write_study(tmp_path / "mine", "mine", rows)
    _, text = built(tmp_path, "dynmix.T1", "--show", "ours", "--allow-made")
    line = next(line for line in text.splitlines() if line.startswith("| ") and "25.0" in line)
    assert re.findall(r"\*\*(\d+)", line) == ["12", "25"]


def test_a_report_brings_the_tables_that_its_study_feeds_and_says_which_it_cannot(tmp_path: Path) -> None:
    who = network("cifar10_40k", "resnet20", "vanilla", 0)
    write_study(tmp_path / "mine", "mine", [value_row(who, "clean", "error", 0.25)])
    said = {"feeds": ["fmix.T2", "mine.T9"], "stands": {"cifar10": "cifar10_40k", "preact_resnet18_fmix": "resnet20"}}
    described = tmp_path / "mine" / "mine.json"
    described.write_text(json.dumps(said), encoding="utf-8")
    report = build("mine", tmp_path / "mine", tmp_path / "reports")
    table = tmp_path / "reports" / "mine" / "tables" / "fmix.T2.md"
    assert table in report.paths
    assert "75.00‡" in table.read_text(encoding="utf-8")
    assert "Image classification with FMix" in (tmp_path / "reports" / "mine" / "tables.html").read_text("utf-8")
    described.write_text(json.dumps(said | {"stands": {"cifar": "cifar10_40k"}}), encoding="utf-8")
    report = build("mine", tmp_path / "mine", tmp_path / "reports")
    assert "Did you mean cifar10" in report.skipped["fmix.T2"]
    # What an earlier report left would be taken for this one's.
    assert not table.exists()
