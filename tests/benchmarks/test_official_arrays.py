"""CIFAR-C and CIFAR-P: arrays, severity after severity, video after video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from official_layouts import (
    Pixels,
    benchmark_of,
    check_against,
    model_of,
    noise,
    own_dataset,
    run_folder,
    setting_of,
    stored,
)

from robustbench_msda import verbs
from robustbench_msda.benchmarks import Setting, benchmarks_of
from robustbench_msda.benchmarks.official_corruptions import OfficialCorruptions
from robustbench_msda.benchmarks.official_perturbations import OfficialPerturbations
from robustbench_msda.cli.main import status
from robustbench_msda.conditions import EXTRA, FIFTEEN
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.data.stimuli import Stills, VideoArray
from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.evaluation import Place
from robustbench_msda.records import Batch, Cell, limited

NINETEEN = (*FIFTEEN, *EXTRA)
N = 9
CIFAR_C = OfficialCorruptions("cifar10_c", "cifar10_c", "CIFAR-10-C")
CIFAR_P = OfficialPerturbations("cifar10_p", "cifar10_p", "CIFAR-10-P")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def dataset(data_dir: Path) -> Dataset:
    return own_dataset(data_dir)


def write_corruptions(folder: Path, names: tuple[str, ...] = NINETEEN, seed: int = 0) -> dict[str, Pixels]:
    """Write the official layout; each level of each corruption has pixels of its own."""
    folder.mkdir(parents=True)
    arrays = {name: noise(seed + NINETEEN.index(name), 5 * N, 32, 32) for name in names}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "labels.npy", np.tile(np.repeat(np.arange(3), 3), 5).astype(np.uint8))
    return arrays


def batches(benchmark: OfficialCorruptions | OfficialPerturbations, cell: Cell, setting: Setting) -> list[Batch]:
    return list(benchmark.stimuli(cell, setting, torch.nn.Identity()))


def fog(setting: Setting, level: str = "2") -> Iterator[Batch]:
    return CIFAR_C.stimuli(Cell("", "cifar10_c", "fog", level), setting, torch.nn.Identity())


def test_every_known_data_set_has_its_official_files_and_any_other_its_own() -> None:
    expected = {
        "cifar10": {"cifar10_c": "CIFAR-10-C", "cifar10_p": "CIFAR-10-P"},
        "cifar100": {"cifar100_c": "CIFAR-100-C", "cifar100_p": "CIFAR-100-P"},
        "tiny_imagenet": {"tiny_imagenet_c": "Tiny-ImageNet-C", "tiny_imagenet_p": "Tiny-ImageNet-P"},
        "imagenet": {
            "imagenet_c": "ImageNet-C",
            "imagenet_c_augmix": "ImageNet-C",
            "imagenet_3dcc": "ImageNet-3DCC",
            "imagenet_p": "ImageNet-P",
        },
        "mine": {"mine_c": "", "mine_p": ""},
    }
    for name, files in expected.items():
        table = benchmarks_of(name)
        assert {each: getattr(table[each], "official", None) for each in files} == files


def test_predictions_equal_a_loop_over_the_arrays(dataset: Dataset, data_dir: Path, tmp_path: Path) -> None:
    write_corruptions(data_dir / "mine_c")
    run = run_folder(tmp_path / "run", dataset)
    place = Place(data_dir, tmp_path / "results", batch_size=4)
    planned = verbs.evaluate(run, {"mine_c": 0, "clean": 0}, place=place)
    assert planned.cells.lacking == {}
    assert {task.cell.condition for task in planned.cells.tasks} == {*NINETEEN, ""}
    assert planned.cells.images == 19 * 5 * N + N
    model = model_of(run, data_dir)
    labels = np.repeat(np.arange(3), 3).tolist()
    for name in ("fog", "saturate"):
        array = np.load(data_dir / f"mine_c/{name}.npy")
        for level in range(5):
            images = [array[level * N + i] for i in range(N)]
            check_against(model, images, labels, stored(place.results, "mine_c", name, str(level + 1)))
    frame = verbs.score(place=place)
    wrong = [np.mean(~stored(place.results, "mine_c", name, level).correct) for name in FIFTEEN for level in "12345"]
    mean = frame[(frame["benchmark"] == "mine_c") & (frame["metric"] == "mean_corruption_error")]
    assert mean["value"].tolist() == pytest.approx([np.mean(wrong)])
    assert mean["flags"].tolist() == [""]


def test_batches_are_the_rows_of_the_level(dataset: Dataset, data_dir: Path) -> None:
    arrays = write_corruptions(data_dir / "CIFAR-10-C")
    setting = setting_of(dataset, data_dir, batch_size=4)
    found = list(fog(setting))
    assert [len(batch.images) for batch in found] == [4, 4, 1]
    assert torch.cat([batch.index for batch in found]).tolist() == list(range(N))
    assert torch.cat([batch.targets for batch in found]).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert {batch.frame for batch in found} == {None}
    pixels = torch.cat([batch.images for batch in found]).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(pixels, arrays["fog"][N : 2 * N])
    assert all(batch.images.is_contiguous() for batch in found)


def test_own_name_comes_before_the_authors(dataset: Dataset, data_dir: Path) -> None:
    write_corruptions(data_dir / "CIFAR-10-C", ("fog",), seed=50)
    arrays = write_corruptions(data_dir / "cifar10_c", ("fog",))
    first = next(fog(setting_of(dataset, data_dir), "1")).images.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(first, arrays["fog"][:4])


def test_a_limit_takes_the_images_that_keep_the_shares(dataset: Dataset, data_dir: Path) -> None:
    write_corruptions(data_dir / "cifar10_c", ("fog",))
    setting = setting_of(dataset, data_dir, limit=4, batch_size=3)
    assert torch.cat([batch.index for batch in fog(setting)]).tolist() == limited(N, 4).tolist() == [0, 2, 4, 6]
    cells = list(CIFAR_C.cells("", setting))
    assert [CIFAR_C.images(cell, setting) for cell in cells] == [4] * 5


def test_arrays_stay_on_disk(dataset: Dataset, data_dir: Path) -> None:
    write_corruptions(data_dir / "cifar10_c", ("fog",))
    write_videos(data_dir / "cifar10_p", ("tilt",))
    setting = setting_of(dataset, data_dir)
    stills = CIFAR_C.open(Cell("", "cifar10_c", "fog", "3"), setting)
    videos = CIFAR_P.open(Cell("", "cifar10_p", "tilt"), setting)
    assert isinstance(stills, Stills)
    assert isinstance(videos, VideoArray)
    assert isinstance(stills.images, np.memmap)
    assert isinstance(videos.videos, np.memmap)
    read = stills.read(np.array([1, 3]))
    assert not isinstance(read, np.memmap)
    assert read.base is None or read.base.nbytes == read.nbytes


def test_what_is_not_there_is_named_and_the_rest_is_done(dataset: Dataset, data_dir: Path) -> None:
    setting = setting_of(dataset, data_dir)
    missing = CIFAR_C.needs(setting)
    assert missing is not None
    assert str(data_dir / "cifar10_c") in missing.reason
    assert str(data_dir / "CIFAR-10-C") in missing.reason
    assert missing.remedy == "run: robustbench-msda data fetch cifar10_c"
    missing = CIFAR_P.needs(setting)
    assert missing is not None
    assert "Google Drive" in missing.remedy
    missing = benchmark_of(dataset, "mine_c").needs(setting)
    assert missing is not None
    assert missing.reason == f"its files are not there: looked for {data_dir / 'mine_c'}"
    write_corruptions(data_dir / "cifar10_c", ("fog", "snow"))
    assert CIFAR_C.needs(setting) is None
    assert list(CIFAR_C.lacks(setting)) == [name for name in NINETEEN if name not in ("fog", "snow")]
    assert {cell.condition for cell in CIFAR_C.cells("", setting)} == {"snow", "fog"}
    (data_dir / "cifar10_c/labels.npy").unlink()
    missing = CIFAR_C.needs(setting)
    assert missing is not None
    assert str(data_dir / "cifar10_c/labels.npy") in missing.reason


def test_a_download_completed_later_adds_to_the_same_world_unless_it_was_partial(
    dataset: Dataset, data_dir: Path
) -> None:
    write_corruptions(data_dir / "cifar10_c", ("fog",))
    full, partial = (setting_of(dataset, data_dir, partial=partial) for partial in (False, True))
    before = [CIFAR_C.data(setting) for setting in (full, partial)]
    assert before[0] == dataset.fingerprint("test") != before[1]
    np.save(data_dir / "cifar10_c/snow.npy", noise(0, 5 * N, 32, 32))
    after = [CIFAR_C.data(setting) for setting in (full, partial)]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_an_aggregate_of_some_is_of_all_only_where_it_may_be(dataset: Dataset, data_dir: Path, tmp_path: Path) -> None:
    write_corruptions(data_dir / "mine_c", ("fog", "snow"))
    run = run_folder(tmp_path / "run", dataset)
    for partial in (False, True):
        place = Place(data_dir, tmp_path / f"results{partial}", allow_partial=partial)
        verbs.evaluate(run, {"mine_c": 0}, place=place)
        frame = verbs.score(place=place)
        flags = frame[frame["metric"] == "mean_corruption_error"]["flags"].tolist()
        assert flags == (["partial: 2 of 15 corruptions, 10 of 75 cells"] if partial else [])


LABELS = np.tile(np.repeat(np.arange(3), 3), 5)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.roll(LABELS, 1), "found 2 where 0 belongs (row 0, counted from 0)"),
        (np.repeat(np.repeat(np.arange(3), 3), 5), "found them interleaved"),
        (np.where(np.arange(45) == 31, 0, LABELS), "found 0 where 1 belongs (row 31, counted from 0)"),
        (LABELS[:9], "expected 45 whole numbers, the labels of 9 clean test images 5 times over, found (9,) int64"),
        (LABELS.astype(np.float32), "found (45,) float32"),
    ],
)
def test_labels_that_are_not_the_clean_ones_are_refused(
    dataset: Dataset, data_dir: Path, labels: np.ndarray, told: str
) -> None:
    write_corruptions(data_dir / "cifar10_c", ("fog",))
    np.save(data_dir / "cifar10_c/labels.npy", labels)
    with pytest.raises(DamagedData) as caught:
        next(fog(setting_of(dataset, data_dir)))
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{data_dir / 'cifar10_c/labels.npy'}: ")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4 * N, 32, 32, 3), np.uint8),
        np.zeros((5 * N, 32, 32, 3), np.float32),
        np.zeros((5 * N, 3, 32, 32), np.uint8),
        np.zeros((5 * N, 28, 28, 3), np.uint8),
    ],
)
def test_an_array_of_another_shape_or_type_is_refused(dataset: Dataset, data_dir: Path, array: np.ndarray) -> None:
    write_corruptions(data_dir / "cifar10_c", ("fog",))
    path = data_dir / "cifar10_c/fog.npy"
    np.save(path, array)
    with pytest.raises(DamagedData) as caught:
        next(fog(setting_of(dataset, data_dir)))
    told = f"{path}: expected (45, 32, 32, 3) uint8, found {array.shape} {array.dtype}; get it again"
    assert str(caught.value) == told


def test_a_file_cut_short_or_no_array_is_refused(dataset: Dataset, data_dir: Path) -> None:
    write_corruptions(data_dir / "cifar10_c", ("fog",))
    path = data_dir / "cifar10_c/fog.npy"
    for content in (path.read_bytes()[:-1], b"<html>", b""):
        path.write_bytes(content)
        with pytest.raises(DamagedData, match="expected a NumPy array file"):
            next(fog(setting_of(dataset, data_dir)))


def test_one_damaged_file_leaves_the_others_to_be_done(
    dataset: Dataset, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corruptions(data_dir / "mine_c", ("fog", "snow"))
    np.save(data_dir / "mine_c/snow.npy", np.zeros((3, 3)))
    run = run_folder(tmp_path / "run", dataset)
    options = ["--data-dir", str(data_dir), "--results", str(tmp_path / "results")]
    assert status(["evaluate", str(run), "--benchmarks", "mine-c", *options]) == 3
    told = capsys.readouterr().err
    assert f"failed: mine_c snow 1, mine_c snow 2, mine_c snow 3, mine_c snow 4, mine_c snow 5: {data_dir}" in told
    assert "missing: gaussian_noise, " in told
    for level in "12345":
        assert len(stored(tmp_path / "results", "mine_c", "fog", level)) == N


FRAMES = {"motion_blur": 21, "translate": 16}


def write_videos(folder: Path, names: tuple[str, ...]) -> dict[str, Pixels]:
    folder.mkdir(parents=True)
    arrays = {name: noise(k, N, FRAMES.get(name, 31), 32, 32) for k, name in enumerate(names)}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return arrays


def test_videos_are_predicted_frame_by_frame(dataset: Dataset, data_dir: Path, tmp_path: Path) -> None:
    names = ("gaussian_noise", "motion_blur", "translate", "shear")
    arrays = write_videos(data_dir / "mine_p", names)
    run = run_folder(tmp_path / "run", dataset)
    place = Place(data_dir, tmp_path / "results", batch_size=50)
    planned = verbs.evaluate(run, {"mine_p": 0}, place=place)
    assert [task.cell.condition for task in planned.cells.tasks] == list(names)
    assert "snow" in planned.cells.lacking["mine_p"]
    assert planned.cells.images == N * (31 + 21 + 16 + 31)
    model = model_of(run, data_dir)
    frame = verbs.score(place=place)
    for name in names:
        found, count = stored(place.results, "mine_p", name), FRAMES.get(name, 31)
        assert found.index.tolist() == [video for video in range(N) for _ in range(count)]
        assert found.frame.tolist() == list(range(count)) * N
        labels = [video // 3 for video in range(N) for _ in range(count)]
        check_against(model, list(arrays[name].reshape(-1, 32, 32, 3)), labels, found)
        answers = found.top5[:, 0].reshape(N, count)
        flips = []
        for video in answers:
            before = [video[0]] * (count - 1) if "noise" in name else video[:-1]
            flips.append(np.mean([a != b for a, b in zip(video[1:], before, strict=True)]))
        row = frame[(frame["condition"] == name) & (frame["metric"] == "flip_probability")]
        assert row["value"].tolist() == pytest.approx([np.mean(flips)])


@pytest.mark.parametrize("batch_size", [1, 16, 31, 40, 1000])
def test_batches_of_frames_are_never_larger_than_asked_and_always_the_same(
    dataset: Dataset, data_dir: Path, batch_size: int
) -> None:
    arrays = write_videos(data_dir / "cifar10_p", ("tilt",))
    found = batches(CIFAR_P, Cell("", "cifar10_p", "tilt"), setting_of(dataset, data_dir, batch_size=batch_size))
    assert max(len(batch.images) for batch in found) <= batch_size
    pixels = torch.cat([batch.images for batch in found]).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(pixels, arrays["tilt"].reshape(-1, 32, 32, 3))
    assert torch.cat([batch.frame for batch in found if batch.frame is not None]).tolist() == list(range(31)) * N


def test_a_limit_takes_whole_videos(dataset: Dataset, data_dir: Path) -> None:
    write_videos(data_dir / "cifar10_p", ("translate",))
    setting, cell = setting_of(dataset, data_dir, limit=2, batch_size=5), Cell("", "cifar10_p", "translate")
    assert CIFAR_P.images(cell, setting) == 32
    assert torch.cat([b.index for b in batches(CIFAR_P, cell, setting)]).tolist() == [0] * 16 + [4] * 16


def test_parts_divide_the_images_and_the_videos(dataset: Dataset, data_dir: Path) -> None:
    write_corruptions(data_dir / "cifar10_c", ("fog",))
    setting = setting_of(dataset, data_dir)
    small = OfficialCorruptions("cifar10_c", "cifar10_c", "CIFAR-10-C", part_size=4)
    cells = [cell for cell in small.cells("", setting) if cell.level == "1"]
    assert [cell.part for cell in cells] == [0, 1, 2]
    assert [small.images(cell, setting) for cell in cells] == [4, 4, 1]
    whole = torch.cat([batch.images for batch in fog(setting, "1")])
    pieces = torch.cat([batch.images for cell in cells for batch in batches(small, cell, setting)])
    assert torch.equal(pieces, whole)
    assert (CIFAR_C.part_size, CIFAR_P.part_size) == (10_000, 500)


def test_videos_of_another_length_are_refused(dataset: Dataset, data_dir: Path) -> None:
    write_videos(data_dir / "mine_p", ("tilt",))
    np.save(data_dir / "mine_p/tilt.npy", noise(0, N, 30, 32, 32))
    setting = setting_of(dataset, data_dir)
    with pytest.raises(DamagedData, match=r"tilt.npy: expected \(9, 31, 32, 32, 3\) uint8, found \(9, 30, 32, 32, 3\)"):
        list(benchmark_of(dataset, "mine_p").stimuli(Cell("", "mine_p", "tilt"), setting, torch.nn.Identity()))


def test_videos_of_no_known_size_are_not_read(data_dir: Path) -> None:
    dataset = own_dataset(data_dir, "odd", side=20)
    write_videos(data_dir / "odd_p", ("tilt",))
    missing = benchmark_of(dataset, "odd_p").needs(setting_of(dataset, data_dir))
    assert missing is not None
    assert missing.reason == "no perturbations for images of 20 px"


def test_a_name_that_is_no_benchmark_is_refused(dataset: Dataset, data_dir: Path, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", dataset)
    with pytest.raises(UserError, match="Did you mean mine_c"):
        verbs.plan(run, {"mine_cc": 0}, place=Place(data_dir, tmp_path / "results"))
