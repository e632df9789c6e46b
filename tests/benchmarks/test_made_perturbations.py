"""Perturbation sequences as a benchmark: the layout of its videos, its parts, and its scores end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from robustbench_msda import verbs
from robustbench_msda.benchmarks import Setting, benchmarks_of, made_perturbations
from robustbench_msda.corruptions.perturbations import PERTURBATIONS, perturb
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.data.prepare import prepare
from robustbench_msda.evaluation import Place
from robustbench_msda.models.checkpoints import Checkpoint, load, network, save
from robustbench_msda.models.sources import build
from robustbench_msda.records import Batch, Cell
from robustbench_msda.results.store import read_predictions, read_sidecar
from robustbench_msda.streams import stream

CLASSES = ("cat", "dog", "eel")
SHOWN = ("gaussian_noise", "motion_blur", "translate")


def prepared(folder: Path, labels: list[int], side: int) -> Path:
    """Prepare images of noise under the name ``mine`` in ``folder``."""
    for seed, split in enumerate(("train", "test")):
        (folder / "raw" / split).mkdir(parents=True)
        images = np.random.default_rng(seed).integers(0, 256, (len(labels), side, side, 3), dtype=np.uint8)
        np.save(folder / "raw" / split / "images.npy", images)
        np.save(folder / "raw" / split / "labels.npy", np.array(labels))
    (folder / "raw" / "classes.txt").write_text("\n".join(CLASSES))
    prepare("mine", folder / "raw", folder)
    return folder


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine images of 32 px of three classes, labels in no order."""
    return prepared(tmp_path_factory.mktemp("data"), [2, 0, 1, 1, 0, 2, 2, 1, 0], 32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    dataset = open_dataset("mine", data_dir)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build("small_cnn", len(CLASSES), {}).state_dict()
    run = tmp_path_factory.mktemp("run")
    made = Checkpoint(state, "small_cnn", {}, dataset.mean, dataset.std, dataset.classes, "mine", None)
    # A fresh network answers alike: moved so that on average it cannot choose, small changes flip its answers.
    clean = torch.from_numpy(np.array(dataset.images("test"))).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        state[list(state)[-1]] -= network(made, "cpu")(clean).mean(0)
    save(made, run / "checkpoint.safetensors")
    return run


def setting(data_dir: Path, **changes: int) -> Setting:
    return Setting(open_dataset("mine", data_dir), data_dir, torch.device("cpu"), **changes)


def batches(data_dir: Path, condition: str, part: int = 0, **changes: int) -> list[Batch]:
    benchmark = benchmarks_of("mine")["mine_p_made"]
    cell = Cell("0" * 12, benchmark.name, condition, part=part)
    return list(benchmark.stimuli(cell, setting(data_dir, **changes), torch.nn.Identity()))


def joined(made: list[Batch]) -> Batch:
    images, targets, index = (torch.cat([getattr(b, name) for b in made]) for name in ("images", "targets", "index"))
    return Batch(images, targets, index, torch.cat([b.frame for b in made if b.frame is not None]))


@pytest.mark.parametrize("condition", SHOWN)
def test_frames_go_video_by_video_with_their_labels(data_dir: Path, condition: str) -> None:
    made = joined(batches(data_dir, condition))
    dataset = open_dataset("mine", data_dir)
    images, labels = np.asarray(dataset.images("test")), np.asarray(dataset.labels("test"))
    frames = PERTURBATIONS[condition].frames(32)
    assert made.frame is not None
    row = 0
    for video in range(9):
        rng = stream("mine_p_made", 1, condition, "", video)
        clean = torch.from_numpy(images[video].copy()).permute(2, 0, 1)[None]
        expected = perturb(clean, condition, [rng])[0].float() / 255
        for frame in range(frames):
            assert (made.index[row], made.frame[row], made.targets[row]) == (video, frame, labels[video])
            assert torch.equal(made.images[row], expected[frame])
            row += 1
    assert row == len(made.images)


@pytest.mark.parametrize("condition", [*SHOWN, "snow", "spatter", "zoom_blur"])
def test_videos_do_not_depend_on_the_batch_size_or_the_limit(data_dir: Path, condition: str) -> None:
    whole = joined(batches(data_dir, condition))
    small = batches(data_dir, condition, batch_size=33)
    frames = PERTURBATIONS[condition].frames(32)
    assert {len(batch.images) for batch in small[:-1]} == {-(-33 // frames) * frames}
    assert torch.equal(joined(small).images, whole.images)
    three = joined(batches(data_dir, condition, limit=3))
    assert three.index.unique().tolist() == [0, 3, 6]
    rows = torch.isin(whole.index, three.index)
    assert torch.equal(three.images, whole.images[rows])


def test_parts_hold_whole_videos_and_all_of_them(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = joined(batches(data_dir, "snow"))
    monkeypatch.setattr(made_perturbations, "VIDEO_PART_SIZE", 4)
    benchmark = benchmarks_of("mine")["mine_p_made"]
    cells = [cell for cell in benchmark.cells("f", setting(data_dir)) if cell.condition == "snow"]
    assert [cell.part for cell in cells] == [0, 1, 2]
    assert {benchmark.parts(cell, setting(data_dir)) for cell in cells} == {3}
    pieces = [batches(data_dir, "snow", cell.part) for cell in cells]
    assert [benchmark.images(cell, setting(data_dir)) for cell in cells] == [4 * 31, 4 * 31, 31]
    assert [sum(len(batch.images) for batch in piece) for piece in pieces] == [4 * 31, 4 * 31, 31]
    parted = joined([batch for piece in pieces for batch in piece])
    assert torch.equal(parted.images, whole.images)
    assert torch.equal(parted.index, whole.index)


def test_cells_are_the_fourteen_perturbations_at_no_level(data_dir: Path) -> None:
    cells = list(benchmarks_of("mine")["mine_p_made"].cells("f", setting(data_dir)))
    assert [(cell.condition, cell.level, cell.part) for cell in cells] == [(name, "", 0) for name in PERTURBATIONS]


def test_other_sides_are_missing(tmp_path: Path) -> None:
    missing = benchmarks_of("mine")["mine_p_made"].needs(setting(prepared(tmp_path, [0, 1, 2], 40)))
    assert missing is not None
    assert "40 px" in missing.reason
    assert "32" in missing.remedy


def test_evaluated_end_to_end_flips_equal_a_loop(data_dir: Path, checkpoint: Path, tmp_path: Path) -> None:
    place = Place(data_dir=data_dir, results=tmp_path, batch_size=62)
    verbs.evaluate(checkpoint, {"mine_p_made": 6}, place=place)
    files = {read_sidecar(path).cell.condition: read_predictions(path) for path in tmp_path.rglob("*.npz")}
    assert set(files) == set(PERTURBATIONS)
    frame = verbs.score(place=place)
    scores = {(row.condition, row.metric): row.value for row in frame.itertuples()}
    model = network(load(checkpoint / "checkpoint.safetensors"), "cpu")
    flips = {}
    for condition in PERTURBATIONS:
        made = joined(batches(data_dir, condition, limit=6))
        with torch.no_grad():
            answers = model(made.images).argmax(1)
        np.testing.assert_array_equal(files[condition].top5[:, 0], answers.numpy())
        changed = total = 0
        for row in range(len(answers)):
            if made.frame is not None and made.frame[row] > 0:
                before = row - int(made.frame[row]) if "noise" in condition else row - 1
                changed += int(answers[row] != answers[before])
                total += 1
        flips[condition] = changed / total
        assert scores[condition, "flip_probability"] == pytest.approx(flips[condition])
    ten = [flips[name] for name in list(PERTURBATIONS)[:10]]
    assert scores["", "mean_flip_probability"] == pytest.approx(np.mean(ten))
    (flags,) = frame.loc[frame.metric == "mean_flip_probability", "flags"]
    assert "made" in flags
    assert sum(value > 0 for value in flips.values()) > 5
