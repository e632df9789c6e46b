"""What a study has still to do: what is counted, what is measured and how often, and what is said where data lack."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustbench_msda import speeds
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.errors import UnknownName
from robustbench_msda.estimates import Estimate, Todo, estimate, hours
from robustbench_msda.evaluation import Place
from robustbench_msda.recipes import Recipe
from robustbench_msda.speeds import measuring, seconds_per_pass
from robustbench_msda.studies import load_study

STUDY = """
claim = "a claim"
[recipe]
dataset = "digits"
epochs = 3
[grid]
model = ["small_cnn"]
seed = [0, 1]
augmentation = ["vanilla", "cutmix"]
[benchmarks]
clean = 0
[part.T1]
[part.T2]
recipe = { model = "small_cnn", label_smoothing = 0.1 }
grid = { epochs = [5], augmentation = ["vanilla"] }
benchmarks = { fgsm = 10 }
"""
TRAINING, PASS = 0.01, 0.001
IMAGES = 1_297


def of(folder: Path, text: str = STUDY) -> Estimate:
    (folder / "mine.toml").write_text(text)
    place = Place(folder / "data", folder / "results")
    return estimate(load_study(folder / "mine.toml"), place, folder / "runs")


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make every training step and forward pass take what it says above; return what was measured."""
    measured: list[str] = []

    def training(recipe: Recipe, *_: object) -> float:
        measured.append(recipe.augmentation)
        return TRAINING

    def passing(*_: object) -> float:
        measured.append("pass")
        return PASS

    monkeypatch.setattr(speeds, "seconds_per_training_image", training)
    monkeypatch.setattr(speeds, "seconds_per_pass", passing)
    return measured


def test_hours_are_images_and_passes_times_their_speed(tmp_path: Path, steady: list[str]) -> None:
    told = of(tmp_path)
    # 500 clean images; FGSM on 10 of them, at so many strengths.
    fgsm = told.networks[-1].cells - 1
    assert fgsm > 3
    trained = IMAGES * TRAINING
    assert [row.part for row in told.rows] == ["T1", "T1", "T2"]
    assert [hours(row.networks) * 3600 for row in told.rows[:2]] == pytest.approx([2 * (3 * trained + 500 * PASS)] * 2)
    last = hours(told.rows[2].networks) * 3600 - 2 * (5 * trained + 500 * PASS)
    assert last > 0
    assert last / (2 * 10 * PASS * fgsm) == pytest.approx(round(last / (2 * 10 * PASS * fgsm)))
    assert hours(told.networks) == pytest.approx(sum(hours(row.networks) for row in told.rows))
    assert steady == ["vanilla()", "pass", "cutmix(alpha=1.0)"]
    assert told.lacking == ()


def test_rows_say_in_what_else_recipes_differ(tmp_path: Path, steady: list[str]) -> None:
    text = STUDY.replace("epochs = [5]", "label_smoothing = [0.0, 0.1], flip = [0.5]")
    rows = of(tmp_path, text).rows
    assert [row.also for row in rows] == ["", "", "label_smoothing=0.0", "label_smoothing=0.1"]
    assert steady


def test_networks_that_are_in_two_parts_count_once(tmp_path: Path, steady: list[str]) -> None:
    told = of(tmp_path, STUDY.replace(", label_smoothing = 0.1", "").replace("epochs = [5], ", ""))
    assert len(told.networks) == 4
    assert [len(row.networks) for row in told.rows] == [2, 2, 2]
    assert told.rows[0].networks == told.rows[2].networks
    assert steady


def test_what_is_trained_is_not_counted_again(tmp_path: Path, steady: list[str]) -> None:
    (tmp_path / "mine.toml").write_text(STUDY)
    for recipe in load_study(tmp_path / "mine.toml").recipes()[:2]:
        folder = tmp_path / "runs" / recipe.folder
        folder.mkdir(parents=True)
        (folder / "checkpoint.safetensors").touch()
    told = of(tmp_path)
    assert [each.trained for each in told.networks] == [True, True, False, False, False, False]
    assert hours(told.networks[:1]) * 3600 == pytest.approx(500 * PASS)
    assert steady


def test_data_that_are_not_there_are_named_and_the_rest_is_measured(tmp_path: Path, steady: list[str]) -> None:
    told = of(tmp_path, STUDY.replace("[part.T1]", '[part.T1]\nrecipe = { dataset = "cifar100" }'))
    assert [each.hours is None for each in told.networks] == [True] * 4 + [False] * 2
    assert [len(row.networks) for row in told.rows] == [2, 2, 2]
    assert len(told.lacking) == 1
    assert "data set 'cifar100' is not there" in told.lacking[0]
    assert "robustbench-msda data fetch cifar100" in told.lacking[0]
    assert steady == ["vanilla()", "pass"]
    (line,) = of(tmp_path, STUDY.replace("epochs = 3", 'epochs = 3\nextra_dataset = "my_own"')).lacking
    assert "data set 'my_own' is not there" in line


def test_benchmarks_that_are_not_there_are_named(tmp_path: Path, steady: list[str]) -> None:
    told = of(tmp_path, STUDY.replace("clean = 0", "clean = 0\ndigits_c = 0"))
    assert [each.cells for each in told.networks][:2] == [1, 1]
    (line,) = told.lacking
    assert line.startswith("digits_c: ")
    assert steady
    with pytest.raises(UnknownName, match="benchmark of cifar100 'digits_c'"):
        of(tmp_path, STUDY.replace("clean = 0", "clean = 0\ndigits_c = 0").replace('"digits"', '"cifar100"'))


def test_what_cannot_be_trained_is_said_and_what_does_not_exist_is_an_error(tmp_path: Path) -> None:
    told = of(tmp_path, STUDY.replace('"cutmix"', '"manifold_mixup"'))
    assert [each.hours is None for each in told.networks] == [False, True, False, True, False, False]
    (line,) = told.lacking
    assert "manifold_mixup needs a network with stages" in line
    with pytest.raises(UnknownName, match="resnet21"):
        of(tmp_path, STUDY.replace("small_cnn", "resnet21"))


def test_measuring_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steady: list[str]) -> None:
    monkeypatch.setattr(speeds, "ALL", -1.0)
    told = of(tmp_path)
    assert {each.hours for each in told.networks} == {None}
    assert len(told.lacking) == 1
    assert "some are not known" in told.lacking[0]
    assert steady == []


def test_a_speed_is_measured_once_for_all_recipes_it_does_not_depend_on() -> None:
    recipe, sets = Recipe(dataset="digits", model="small_cnn", batch_size=64), [open_dataset("digits", Path())]
    with measuring(Place()) as meter:
        speed = meter.training(recipe, sets)
        assert speed is not None
        assert 0 < speed < 1
        assert meter.training(recipe.model_copy(update={"seed": 3, "epochs": 9, "lr": 0.3}), sets) == speed
        assert meter.training(recipe.model_copy(update={"augmentation": "mixup(alpha=1.0)"}), sets) != speed
        assert meter.why == {}


# Seconds an image: on a processor, batches of 64 four times are worth it up to 2 / 256.
@pytest.mark.parametrize(
    ("speed", "calls"),
    [(0.007, [(8, 1), (8, 1), (64, 1), (64, 3)]), (0.009, [(8, 1), (8, 1)]), (0.3, [(8, 1)])],
)
def test_large_networks_are_measured_on_a_few_images(
    monkeypatch: pytest.MonkeyPatch, speed: float, calls: list[tuple[int, int]]
) -> None:
    seen: list[tuple[int, int]] = []

    def timed(recipe: Recipe, run: object, data: object, steps: int) -> float:  # noqa: ARG001
        seen.append((recipe.batch_size, steps))
        return speed

    monkeypatch.setattr(speeds, "seconds_per_image", timed)
    recipe = Recipe(dataset="digits", model="small_cnn", batch_size=64)
    with measuring(Place()) as meter:
        assert meter.training(recipe, [open_dataset("digits", Path())]) == speed
    assert seen == calls


@pytest.mark.parametrize(("speed", "calls"), [(0.003, [8, 8, 250, 250]), (0.005, [8, 8]), (0.3, [8])])
def test_passes_of_large_networks_are_measured_on_a_few_images(
    monkeypatch: pytest.MonkeyPatch, speed: float, calls: list[int]
) -> None:
    seen: list[int] = []

    def timed(model: object, side: int, batch: int) -> float:  # noqa: ARG001
        seen.append(batch)
        return speed

    monkeypatch.setattr(speeds, "seconds_to_answer", timed)
    model = speeds.fresh(Recipe(dataset="digits", model="small_cnn"), open_dataset("digits", Path()), Place())
    assert seconds_per_pass(model, 8, Place()) == speed
    assert seen == calls


def test_a_pass_takes_time() -> None:
    model = speeds.fresh(Recipe(dataset="digits", model="small_cnn"), open_dataset("digits", Path()), Place())
    assert 0 < seconds_per_pass(model, 8, Place(batch_size=32)) < 1


def test_hours_that_are_not_known_make_no_sum() -> None:
    known, unknown = Todo(trained=False, cells=1, done=0, hours=2.0), Todo(trained=False, cells=0, done=0, hours=None)
    assert hours([known, known]) == 4.0
    assert hours([known, unknown]) != hours([known, unknown])
    assert hours([]) == 0


def test_attacked_images_of_others_are_counted_and_a_substitute_is_attacked_once(
    tmp_path: Path, steady: list[str]
) -> None:
    shown = '[transfer]\nsources = [{ augmentation = "cutmix", seed = 0 }]\nbenchmarks = ["fgsm"]\n'
    text = STUDY.partition("[part.T1]")[0].replace("clean = 0", "clean = 0\nfgsm = 10")
    alone, told = of(tmp_path, text), of(tmp_path, text + shown)
    more = [b.cells - a.cells for a, b in zip(alone.networks, told.networks, strict=True)]
    # Seed by seed within each augmentation: the substitute answers nothing beside its own white box.
    at = [recipe.augmentation for recipe in load_study(tmp_path / "mine.toml").recipes()]
    assert sorted(more) == [0, 4, 4, 4]
    assert at[more.index(0)] == "cutmix(alpha=1.0)"
    longer = [3600 * ((b.hours or 0) - (a.hours or 0)) for a, b in zip(alone.networks, told.networks, strict=True)]
    # Four strengths of ten images, a pass each; of the substitute three more, the gradient.
    assert longer == pytest.approx([4 * 10 * PASS * (1 if cells else 3) for cells in more])
    assert steady
