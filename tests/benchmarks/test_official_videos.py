"""ImageNet-P: a folder for each perturbation and class, an .mp4 for each validation image."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from official_layouts import (
    Pixels,
    benchmark_of,
    check_against,
    imagenet,
    model_of,
    run_folder,
    setting_of,
    smooth,
    stored,
)

from robustbench_msda import verbs
from robustbench_msda.benchmarks import official_perturbations
from robustbench_msda.data.datasets import Dataset
from robustbench_msda.data.videos import VideoFiles, decode_video
from robustbench_msda.errors import DamagedData
from robustbench_msda.evaluation import Place
from robustbench_msda.records import Batch, Cell

av = pytest.importorskip("av", reason="reading videos needs the extra `video`")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def dataset(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    return imagenet(data_dir, monkeypatch)


def write_video(path: Path, frames: Pixels) -> None:
    """Encode frames (F, height, width, 3) as the authors did: H.264 of full colour resolution, CRF 20."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(1), options={"crf": "20", "preset": "ultrafast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def drifting(seed: int, count: int, side: int = 32) -> Pixels:
    """Return frames (count, side, side, 3) of a view that drifts over a picture."""
    wide = np.asarray(smooth(seed, side + count, side))
    return np.stack([wide[:, shift : shift + side] for shift in range(count)])


def read_video(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write_perturbation(folder: Path, clean: Path, count: int = 31, seed: int = 0) -> list[Path]:
    paths = []
    for number, picture in enumerate(sorted(clean.glob("*/*"))):
        paths.append(folder / picture.parent.name / f"{picture.stem}.mp4")
        write_video(paths[-1], drifting(seed + number, count))
    return paths


@pytest.fixture
def tilt(dataset: Dataset, data_dir: Path) -> list[Path]:
    return write_perturbation(data_dir / "imagenet_p/tilt", data_dir / "imagenet/val")


def read(dataset: Dataset, data_dir: Path, batch_size: int = 40, limit: int = 0, partial: bool = False) -> list[Batch]:
    setting = setting_of(dataset, data_dir, limit, batch_size, partial)
    return list(
        benchmark_of(dataset, "imagenet_p").stimuli(Cell("", "imagenet_p", "tilt"), setting, torch.nn.Identity())
    )


def refusal(dataset: Dataset, data_dir: Path) -> str:
    with pytest.raises(DamagedData) as caught:
        read(dataset, data_dir)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_predictions_equal_a_loop_over_the_frames(
    dataset: Dataset, data_dir: Path, tmp_path: Path, tilt: list[Path]
) -> None:
    still = write_perturbation(data_dir / "imagenet_p/translate", data_dir / "imagenet/val", 16, 50)
    write_perturbation(data_dir / "imagenet_p/gaussian_noise_2", data_dir / "imagenet/val", 3)
    run = run_folder(tmp_path / "run", dataset)
    place = Place(data_dir, tmp_path / "results", batch_size=40)
    planned = verbs.evaluate(run, {"imagenet_p": 0}, place=place)
    assert [task.cell.condition for task in planned.cells.tasks] == ["translate", "tilt"]
    assert planned.cells.images == 6 * (31 + 16)
    model = model_of(run, data_dir)
    frame = verbs.score(place=place)
    for name, paths in (("tilt", tilt), ("translate", still)):
        videos = [read_video(path) for path in paths]
        found = stored(place.results, "imagenet_p", name)
        labels = [label for label in (0, 0, 1, 1, 2, 2) for _ in videos[0]]
        check_against(model, [image for video in videos for image in video], labels, found)
        assert found.index.tolist() == [k for k in range(6) for _ in videos[0]]
        assert found.frame.tolist() == list(range(len(videos[0]))) * 6
        answers = found.top5[:, 0].reshape(6, -1)
        row = frame[(frame["condition"] == name) & (frame["metric"] == "flip_probability")]
        assert row["value"].tolist() == pytest.approx([np.mean(answers[:, 1:] != answers[:, :-1])])


def test_frames_show_what_was_encoded_in_order(tmp_path: Path) -> None:
    frames = drifting(3, 41, 224)
    write_video(tmp_path / "a.mp4", frames)
    found = decode_video(tmp_path / "a.mp4", frames.shape)
    difference = np.abs(found.astype(int) - frames)
    assert difference.mean() < 3
    assert np.abs(found[5].astype(int) - frames[30]).mean() > 4 * difference.mean()


@pytest.mark.parametrize("batch_size", [1, 31, 70, 1000])
def test_the_batch_size_changes_nothing_but_the_batches(
    dataset: Dataset, data_dir: Path, tilt: list[Path], batch_size: int
) -> None:
    found = read(dataset, data_dir, batch_size)
    assert max(len(batch.images) for batch in found) <= batch_size
    images = torch.cat([batch.images for batch in found])
    assert torch.equal(images, torch.cat([batch.images for batch in read(dataset, data_dir)]))


def test_a_limit_takes_whole_videos(dataset: Dataset, data_dir: Path, tilt: list[Path]) -> None:
    assert torch.cat([batch.index for batch in read(dataset, data_dir, limit=2)]).tolist() == [0] * 31 + [3] * 31


@pytest.mark.parametrize(("count", "told"), [(20, "found 20;"), (33, "found 32 or more;")])
def test_a_video_of_another_length_is_named(
    dataset: Dataset, data_dir: Path, tilt: list[Path], count: int, told: str
) -> None:
    write_video(tilt[2], drifting(0, count))
    assert refusal(dataset, data_dir).startswith(f"{tilt[2]}: expected 31 frames, {told}")


def test_a_video_of_another_size_is_named(dataset: Dataset, data_dir: Path, tilt: list[Path]) -> None:
    write_video(tilt[1], drifting(0, 31, 64))
    assert refusal(dataset, data_dir).startswith(f"{tilt[1]}: expected frames of 32×32 pixels, found 64×64")


@pytest.mark.parametrize("content", [b"", b"<html>", "cut", "half"])
def test_a_file_that_is_no_whole_video_is_named(
    dataset: Dataset, data_dir: Path, tilt: list[Path], content: bytes | str
) -> None:
    data = tilt[4].read_bytes()
    tilt[4].write_bytes(
        content if isinstance(content, bytes) else data[: -len(data) // (50 if content == "cut" else 2)]
    )
    assert refusal(dataset, data_dir).startswith(f"{tilt[4]}: expected ")


def test_missing_videos_are_counted_and_may_be_done_without(dataset: Dataset, data_dir: Path, tilt: list[Path]) -> None:
    tilt[3].unlink()
    assert "1 of 6 files missing, first in class folder 'n01443537' (1 of 2)" in refusal(dataset, data_dir)
    found = read(dataset, data_dir, partial=True)
    assert torch.cat([batch.targets for batch in found])[::31].tolist() == [0, 0, 1, 2, 2]


def test_without_pyav_the_benchmark_says_how_to_get_it(
    dataset: Dataset, data_dir: Path, tilt: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = setting_of(dataset, data_dir)
    assert benchmark_of(dataset, "imagenet_p").needs(setting) is None
    monkeypatch.setattr(official_perturbations, "can_read_videos", lambda: False)
    missing = benchmark_of(dataset, "imagenet_p").needs(setting)
    assert missing is not None
    assert missing.remedy == "run: pip install 'robustbench-msda[video]'"


def test_videos_are_decoded_when_they_are_asked_for(dataset: Dataset, data_dir: Path, tilt: list[Path]) -> None:
    for path in tilt[1:]:
        path.write_bytes(b"")
    opened = benchmark_of(dataset, "imagenet_p").open(Cell("", "imagenet_p", "tilt"), setting_of(dataset, data_dir))
    assert isinstance(opened, VideoFiles)
    np.testing.assert_array_equal(opened.read(np.array([0])), np.stack(read_video(tilt[0])))
