"""Made corruptions: which are made where, what they are made of, and what is run without being asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import saved

from robustbench_msda import verbs
from robustbench_msda.benchmarks import Setting, benchmarks_of, made_corruptions
from robustbench_msda.benchmarks.made_corruptions import MadeCorruptions, MadeThreeD, table_for
from robustbench_msda.conditions import EXTRA, FIFTEEN
from robustbench_msda.corruptions import CORRUPTIONS, corrupt
from robustbench_msda.corruptions.three_d import CORRUPTIONS_3DCC
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.errors import MissingData
from robustbench_msda.evaluation import Place
from robustbench_msda.records import Cell
from robustbench_msda.streams import stream


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(open_dataset("digits", tmp_path), tmp_path, torch.device("cpu"), limit=6, batch_size=4)


@pytest.fixture
def without_textures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nobody has installed imagecorruptions."""

    def absent(folder: Path | None = None) -> None:
        raise MissingData(f"no textures in {folder}")

    monkeypatch.setattr(made_corruptions, "read_textures", absent)
    table_for.cache_clear()
    yield
    table_for.cache_clear()


def test_all_nineteen_are_made_at_five_severities(setting: Setting, without_textures: None) -> None:
    cells = list(MadeCorruptions("digits").cells("f", setting))
    conditions = [name if name != "frost" else "frost_procedural" for name in (*FIFTEEN, *EXTRA)]
    assert [(cell.condition, cell.level) for cell in cells] == [
        (name, str(s)) for name in conditions for s in range(1, 6)
    ]


def test_frost_is_made_of_the_textures_in_the_data_folder(reference: Path, setting: Setting) -> None:
    (setting.data_dir / "frost").symlink_to(reference / "data" / "frost")
    table_for.cache_clear()
    benchmark = MadeCorruptions("digits")
    names = {cell.condition for cell in benchmark.cells("f", setting)}
    assert "frost" in names
    assert "frost_procedural" not in names
    assert benchmark.lacks(setting) == ()


def test_without_textures_the_stand_in_is_made_and_said(setting: Setting, without_textures: None) -> None:
    (told,) = MadeCorruptions("digits").lacks(setting)
    assert str(setting.data_dir / "frost") in told
    assert "frost_procedural stands in" in told


def test_an_incomplete_folder_of_textures_is_an_error_not_a_stand_in(setting: Setting) -> None:
    (setting.data_dir / "frost").mkdir()
    table_for.cache_clear()
    with pytest.raises(MissingData, match=r"frost1\.png: no such file"):
        list(MadeCorruptions("digits").cells("f", setting))


@pytest.mark.parametrize("condition", ["speckle_noise", "fog", "elastic_transform", "spatter", "pixelate"])
def test_a_stimulus_is_a_function_of_its_key(setting: Setting, condition: str) -> None:
    benchmark = MadeCorruptions("digits")
    cell = Cell("f", benchmark.name, condition, "4")
    batches = list(benchmark.corrupted(cell, setting))
    images = setting.dataset.images("test")
    for pixels, labels, index in batches:
        for image, label, position in zip(pixels, labels.tolist(), index.tolist(), strict=True):
            clean = torch.from_numpy(np.array(images[position])).permute(2, 0, 1)[None]
            rng = stream("digits_c_made", benchmark.version, condition, "4", position)
            assert torch.equal(corrupt(clean, condition, 4, [rng])[0], image)
            assert setting.dataset.labels("test")[position] == label
    assert torch.cat([index for _, _, index in batches]).tolist() == [0, 83, 166, 250, 333, 416]


def test_the_official_files_are_run_in_place_of_made_ones_unless_both_are_named(tmp_path: Path) -> None:
    run, place = saved(tmp_path / "run"), Place(data_dir=tmp_path, results=tmp_path / "results")
    assert "digits_c_made" in {task.cell.benchmark for task in verbs.plan(run, 5, place=place).cells.tasks}
    dataset = open_dataset("digits", tmp_path)
    (tmp_path / "digits_c").mkdir()
    np.save(tmp_path / "digits_c" / "labels.npy", np.tile(dataset.labels("test"), 5).astype(np.uint8))
    np.save(tmp_path / "digits_c" / "fog.npy", np.tile(dataset.images("test"), (5, 1, 1, 1)))
    planned = verbs.plan(run, 5, place=place).cells
    names = {task.cell.benchmark for task in planned.tasks}
    assert "digits_c" in names
    assert "digits_c_made" not in names
    assert planned.skipped["digits_c_made"].reason == "digits_c is here"
    both = verbs.plan(run, {"digits_c": 5, "digits_c_made": 5}, place=place).cells
    assert {task.cell.benchmark for task in both.tasks} == {"digits_c", "digits_c_made"}


def test_what_takes_long_is_run_only_where_it_is_named(tmp_path: Path) -> None:
    pytest.importorskip("av")
    run, place = saved(tmp_path / "run"), Place(data_dir=tmp_path, results=tmp_path / "results")
    assert "digits_3dcc_made" in verbs.plan(run, 5, place=place).cells.skipped
    named = verbs.plan(run, {"digits_3dcc_made": 5}, place=place).cells
    assert [task.cell.condition for task in named.tasks[::5]] == list(CORRUPTIONS_3DCC)


def test_the_six_of_3dcc_are_evaluated_and_aggregated(tmp_path: Path) -> None:
    pytest.importorskip("av")
    run, place = saved(tmp_path / "run"), Place(results=tmp_path / "results")
    verbs.evaluate(run, {"digits_3dcc_made": 2}, place=place)
    frame = verbs.score(place=place)
    errors = frame[(frame["metric"] == "error") & (frame["subset"] == "all")]
    assert len(errors) == 30
    mean = frame[frame["metric"] == "mean_corruption_error"]
    assert mean["value"].item() == pytest.approx(errors["value"].mean())
    assert (mean["n"].item(), mean["flags"].item()) == (6, "made")


def test_names_never_pass_for_the_official_ones() -> None:
    for benchmark in benchmarks_of("cifar10").values():
        if isinstance(benchmark, MadeCorruptions | MadeThreeD):
            assert benchmark.name.endswith("_made")
    assert len(CORRUPTIONS) == 19
