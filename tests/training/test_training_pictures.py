"""Training on pictures that stay in their files, and random resized crops of images in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from training_runs import fit, plain_network, recipe_of, rows

from robustbench_msda.data.datasets import DATASETS, Dataset, open_dataset
from robustbench_msda.data.decoding import View
from robustbench_msda.data.resized import cut_file
from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.recipes import Recipe
from robustbench_msda.training import Execution, train
from robustbench_msda.training.batches import epoch_batches, epoch_parts
from robustbench_msda.training.images import check_alike, resident, training_images

CPU = torch.device("cpu")
CLASSES = ("n01", "n02", "n03")
HERE = Execution(workers=0)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data folder of an ImageNet of three classes: thirty training pictures and six others, of any size."""
    spec = replace(DATASETS["imagenet"], classes=CLASSES, train=30, test=6, side=32, view=View(32, short=36))
    monkeypatch.setitem(DATASETS, "imagenet", spec)
    rng = np.random.default_rng(0)
    for folder, count in (("train", 10), ("val", 2)):
        for place, name in enumerate(CLASSES):
            (tmp_path / "data" / "imagenet" / folder / name).mkdir(parents=True)
            for number in range(count):
                height, width = rng.integers(40, 90, 2)
                levels = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
                levels[..., place] += 150  # its class is its colour
                path = tmp_path / "data" / "imagenet" / folder / name / f"{name}_{number}.JPEG"
                Image.fromarray(levels).save(path, quality=95)
    return tmp_path / "data"


def recipe_on_pictures(folder: Path, **settings: object) -> Recipe:
    given = {
        "dataset": "imagenet",
        "model": plain_network(folder),
        "crop": "random_resized",
        "batch_size": 8,
        "lr": 0.02,
    }
    return recipe_of(**{**given, **settings})


def parts_of(recipe: Recipe, data_dir: Path, workers: int = 0) -> tuple[Dataset, list[tuple[Tensor, Tensor, Tensor]]]:
    """Return the data set, and images, targets and indices of each batch of the first epoch."""
    dataset = open_dataset(recipe.dataset, data_dir)
    with training_images(recipe, [dataset], CPU, workers) as data:
        batches = [batch for whole in epoch_batches(recipe, data, 0) for batch in whole.batches]
    return dataset, [(batch.images, batch.targets, batch.index) for batch in batches]


@pytest.mark.parametrize("replicas", [1, 2])
def test_every_picture_is_cut_as_drawn_and_keeps_its_label(pictures: Path, tmp_path: Path, replicas: int) -> None:
    recipe = recipe_on_pictures(tmp_path, replicas=replicas, crop_scale=(0.3, 0.6))
    dataset, seen = parts_of(recipe, pictures)
    assert sorted(torch.cat([index for *_, index in seen]).tolist()) == list(range(30))
    files, labels = dataset.images("train").files, dataset.labels("train")
    drawn = list(epoch_parts(recipe, 30, 0))
    for (images, targets, index), part in zip(seen, drawn, strict=True):
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert targets.argmax(1).tolist() == [labels[i] for i in index]
        assert images.mean((2, 3)).argmax(1).tolist() == [labels[i] for i in index]  # labels follow pixels
        for image, i, attempts, mirrored in zip(images, index, *part.crops, strict=True):
            path = pictures / "imagenet" / "train" / files[i]
            expected = cut_file(path, attempts.numpy(), bool(mirrored), recipe.crop_scale, 32)
            assert np.array_equal((image * 255).round().byte().permute(1, 2, 0).numpy(), expected)


def test_worker_processes_show_the_same_images(pictures: Path, tmp_path: Path) -> None:
    recipe = recipe_on_pictures(tmp_path)
    (_, here), (_, there) = (parts_of(recipe, pictures, workers) for workers in (0, 2))
    assert all(torch.equal(a, b) for one, two in zip(here, there, strict=True) for a, b in zip(one, two, strict=True))


def test_an_interrupted_run_on_pictures_gives_the_same_network(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_on_pictures(tmp_path, color_jitter=0.4, lighting=0.1, epochs=2)
    whole = train(recipe, pictures, tmp_path / "whole", how=HERE)
    ticks = 0

    def interrupt(done: int, total: int, note: str = "") -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, pictures, tmp_path / "parts", how=HERE, progress=interrupt)
    assert train(recipe, pictures, tmp_path / "parts", how=HERE).fingerprint == whole.fingerprint
    log = rows(tmp_path / "whole")
    assert float(log[-1]["train_loss"]) < float(log[0]["train_loss"])
    assert 0 < float(log[0]["waiting"]) <= 1


def test_waiting_for_pictures_is_said(pictures: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    train(
        recipe_on_pictures(tmp_path),
        pictures,
        tmp_path / "run",
        how=HERE,
        progress=lambda d, t, note="": notes.append(note),
    )
    assert any("of the time waiting for images" in note for note in notes)


def test_pictures_of_any_size_need_a_crop_that_resizes(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"crop: imagenet has pictures of any size, .*; give --set crop=random_resized"):
        train(recipe_on_pictures(tmp_path, crop="padded"), pictures, tmp_path / "run")


def test_a_damaged_picture_ends_the_run_with_its_name(pictures: Path, tmp_path: Path) -> None:
    broken = pictures / "imagenet" / "train" / "n02" / "n02_3.JPEG"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DamagedData, match=r"n02_3\.JPEG"):
        train(recipe_on_pictures(tmp_path), pictures, tmp_path / "run", how=HERE)


def test_pictures_and_arrays_do_not_join(pictures: Path) -> None:
    stored = replace(open_dataset("imagenet", pictures), view=None)
    with pytest.raises(UserError, match="expected it to be stored as imagenet is"):
        check_alike([open_dataset("imagenet", pictures), stored])


def test_images_in_memory_are_cut_and_resized(tmp_path: Path) -> None:
    """With the whole area and no other shape to fit, a resized crop is the image itself."""
    recipe = recipe_of(crop="random_resized", crop_scale=(1.0, 1.0), flip=0.0)
    digits = open_dataset("digits", Path())
    data = resident(recipe, [digits], CPU)
    (batch,) = next(epoch_batches(recipe, data, 0)).batches
    whole = torch.from_numpy(np.array(digits.images("train"))).permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(batch.images, whole[batch.index], atol=1e-5, rtol=0)
    narrow = recipe_of(crop="random_resized", crop_scale=(0.2, 0.5), flip=0.0)
    (other,) = next(epoch_batches(narrow, resident(narrow, [digits], CPU), 0)).batches
    assert torch.equal(other.index, batch.index)
    assert not torch.allclose(other.images, batch.images, atol=0.1)
    assert fit(narrow, tmp_path / "a") == fit(narrow, tmp_path / "b", 2, 5)


def test_colors_change_with_the_seed_and_leave_the_crops_alone() -> None:
    digits = open_dataset("digits", Path())

    def first(**settings: object) -> tuple[Tensor, object]:
        recipe = recipe_of(**settings)
        data = resident(recipe, [digits], CPU)
        return next(epoch_batches(recipe, data, 0)).batches[0].images, next(epoch_parts(recipe, 160, 0)).crops.rows

    plain, rows_plain = first()
    jittered, rows_jittered = first(color_jitter=0.4)
    lit, _ = first(lighting=0.1)
    assert torch.equal(rows_plain, rows_jittered)
    for changed in (jittered, lit):
        assert not torch.allclose(changed, plain, atol=0.02)
        assert 0 <= changed.min() <= changed.max() <= 1
