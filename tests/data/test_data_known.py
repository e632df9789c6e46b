"""The table of data sets, and the embedded digits."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from data_builders import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robustbench_msda.data import digits
from robustbench_msda.data.datasets import DATASETS, dataset_name, open_dataset
from robustbench_msda.data.prepare import channel_statistics
from robustbench_msda.errors import MissingData, UserError

# Pillow 13.0.0, scikit-learn 1.9.1
DIGITS_TRAIN = "6ec6b5a746a2528da22be6560b2d4da5b599ed6c4b98a739dd03ed12f1cea7fb"
DIGITS_TEST = "a1d806c6c52cfab42f9bf5a956e7ccd197d4654dec904efd3ffe8a16842c04b2"


def test_table_states_the_official_counts() -> None:
    facts = {name: (len(s.classes), s.side, s.train, s.test) for name, s in DATASETS.items()}
    assert facts == {
        "digits": (10, 32, 1297, 500),
        "cifar10": (10, 32, 50_000, 10_000),
        "cifar10_40k": (10, 32, 40_000, 10_000),
        "cifar100": (100, 32, 50_000, 10_000),
        "fashion_mnist": (10, 28, 60_000, 10_000),
        "tiny_imagenet": (200, 64, 100_000, 10_000),
        "imagenet": (1_000, 224, 1_281_167, 50_000),
        "imagenet100": (100, 224, 126_689, 5_000),
        "imagenet_64": (1_000, 64, 1_281_167, 50_000),
        "imagenet100_64": (100, 64, 126_689, 5_000),
    }


@pytest.mark.parametrize("name", DATASETS)
def test_every_entry_says_how_to_get_it(name: str) -> None:
    spec = DATASETS[name]
    assert spec.name == name
    assert spec.embedded or spec.view or f"robustbench-msda data prepare {name} --from " in spec.get
    assert "\n" not in spec.get
    assert len(set(spec.classes)) == len(spec.classes)
    assert list(spec.classes) == sorted(spec.classes) or name == "fashion_mnist"  # which never lies in class folders


def test_cifar_statistics_are_those_of_the_augmentation_papers() -> None:
    assert np.round(np.array(DATASETS["cifar10"].mean) * 255, 6).tolist() == [125.3, 123.0, 113.9]
    assert np.round(np.array(DATASETS["cifar10"].std) * 255, 6).tolist() == [63.0, 62.1, 66.7]
    assert np.round(np.array(DATASETS["cifar100"].mean) * 255, 6).tolist() == [129.3, 124.1, 112.4]
    assert np.round(np.array(DATASETS["cifar100"].std) * 255, 6).tolist() == [68.2, 65.4, 70.4]


def test_cifar10_statistics_are_those_of_its_pixels(reference: Path) -> None:
    sprites = [Image.open(reference / f"data/cifar10/train_{i:02d}.webp").convert("RGB") for i in range(0, 50, 7)]
    mean, std = channel_statistics(np.stack([np.asarray(sprite) for sprite in sprites]))
    np.testing.assert_allclose(mean, DATASETS["cifar10"].mean, atol=1 / 255)
    np.testing.assert_allclose(std, DATASETS["cifar10"].std, atol=0.5 / 255)


def test_digits_are_always_there(tmp_path: Path) -> None:
    dataset = open_dataset("digits", tmp_path / "absent")
    assert dataset.root is None
    assert dataset.classes == tuple("0123456789")
    assert dataset.images("train").shape == (1297, 32, 32, 3)
    assert dataset.images("test").shape == (500, 32, 32, 3)
    assert dataset.images("test").dtype == np.uint8
    assert dataset.labels("test").dtype == np.int64
    assert pickle.loads(pickle.dumps(dataset)) == dataset


def test_digits_golden(tmp_path: Path) -> None:
    dataset = open_dataset("digits", tmp_path)
    assert np.bincount(dataset.labels("train")).tolist() == [128, 131, 128, 132, 131, 131, 131, 129, 126, 130]
    assert np.bincount(dataset.labels("test")).tolist() == [50, 51, 49, 51, 50, 51, 50, 50, 48, 50]
    assert dataset.fingerprint("train") == DIGITS_TRAIN
    assert dataset.fingerprint("test") == DIGITS_TEST


def test_digits_statistics_are_measured_on_the_training_images(tmp_path: Path) -> None:
    dataset = open_dataset("digits", tmp_path)
    mean, std = channel_statistics(dataset.images("train"))
    np.testing.assert_allclose((mean, std), (dataset.mean, dataset.std), atol=5e-5)


def test_digits_cannot_be_written_to(tmp_path: Path) -> None:
    dataset = open_dataset("digits", tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        dataset.images("test")[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        dataset.labels("test")[0] = 0


def test_digits_are_the_originals_in_their_order(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    train, test = digits.split_positions(bunch.target)
    assert sorted([*train, *test]) == list(range(1797))
    dataset = open_dataset("digits", tmp_path)
    assert dataset.labels("test").tolist() == bunch.target[test].tolist()
    # Each block of 4×4 pixels averages to about its one original pixel, away from steep edges.
    blocks = dataset.images("test")[..., 0].reshape(500, 8, 4, 8, 4).mean((2, 4)) / 255 * 16
    correlation = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(blocks, bunch.images[test], strict=True)]
    assert min(correlation) > 0.95


def bilinear(grey: np.ndarray) -> np.ndarray:
    """Half-pixel centres, edges repeated: the textbook formula, one axis after the other."""
    for axis in (0, 1):
        at = np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7)
        low = np.minimum(at.astype(int), 6)
        share = np.expand_dims(at - low, 1 - axis)
        grey = np.take(grey, low, axis) * (1 - share) + np.take(grey, low + 1, axis) * share
    return grey


@settings(max_examples=30)
@given(st.lists(st.integers(0, 16), min_size=64, max_size=64))
def test_upscaling_is_bilinear_to_a_grey_level(values: list[int]) -> None:
    image = np.array(values, dtype=np.float64).reshape(8, 8)
    large = digits.upscale(image)
    assert large.shape == (32, 32, 3)
    assert (large[..., 0] == large[..., 1]).all()
    assert (large[..., 0] == large[..., 2]).all()
    assert np.abs(large[..., 0] - bilinear(image * 255 / 16)).max() <= 1.5


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_digit_split_keeps_shares_whatever_the_order(seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(10), np.arange(150, 210, 6)))
    train, test = digits.split_positions(labels)
    assert len(test) == 500
    assert np.intersect1d(train, test).size == 0
    exact = np.bincount(labels) * 500 / len(labels)
    assert np.abs(np.bincount(labels[test]) - exact).max() <= 1


@pytest.mark.parametrize("name", ["", "../x", "a/b", "Cats", ".hidden", "a" * 65, "café", "a\nb", "_x"])
def test_names_that_cannot_be_folders_are_refused(name: str, tmp_path: Path) -> None:
    with refused(UserError, repr(name), "choose another name"):
        open_dataset(name, tmp_path)


def test_dashes_read_as_underscores(tmp_path: Path) -> None:
    assert dataset_name("cifar10-40k") == "cifar10_40k"
    with refused(MissingData, tmp_path / "cifar10_40k", "data prepare cifar10_40k --from cifar-10-python.tar.gz"):
        open_dataset("cifar10-40k", tmp_path)


def test_an_unknown_name_is_met_with_a_suggestion(tmp_path: Path) -> None:
    with refused(MissingData, tmp_path / "cifar1o", "did you mean cifar10?", "data prepare cifar1o --from"):
        open_dataset("cifar1o", tmp_path)


def test_an_unknown_split_is_a_misuse(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 'val'"):
        open_dataset("digits", tmp_path).images("val")
