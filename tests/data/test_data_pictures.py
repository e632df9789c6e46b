"""Class folders: what becomes of pictures, and which are refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_builders import pictures, png, refused, result_or_refusal, shrink, splits, write_folders, write_tar
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robustbench_msda.data import pictures as module
from robustbench_msda.data.classes import CIFAR10
from robustbench_msda.data.pictures import decode
from robustbench_msda.data.prepare import prepare
from robustbench_msda.errors import DamagedData


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_folders(tmp_path / "pets", splits())


def test_images_are_ordered_by_class_then_name_and_labels_follow(tmp_path: Path) -> None:
    # Each picture is the flat colour of its own label and number, so that a swap of any two shows.
    for split in ("train", "test"):
        for name in ("b", "a", "c"):
            for number in (10, 9, 0):
                place = tmp_path / "in" / split / name
                place.mkdir(parents=True, exist_ok=True)
                colour = np.full((4, 4, 3), (ord(name), number, len(split) * number), dtype=np.uint8)
                (place / f"{number}.png").write_bytes(png(colour))
    for source in (tmp_path / "in", write_tar(tmp_path / "in", tmp_path / "in.tar", "w")):
        dataset = prepare("pets", source, tmp_path / f"data-{source.name}")
        assert dataset.classes == ("a", "b", "c")
        for split in ("train", "test"):
            images, labels = dataset.images(split), dataset.labels(split)
            assert (images[:, :, :, 0] == (labels + ord("a"))[:, None, None]).all()
            assert images[:, 0, 0, 1].tolist() == [0, 10, 9] * 3  # by name, as text
            assert (images[..., 2] == len(split) * images[..., 1]).all()


def test_a_known_set_takes_its_own_order_of_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = tuple(reversed(CIFAR10))
    shrink(monkeypatch, "cifar10", 20, 10, side=4, classes=order)
    data = {
        "train": (pictures(20, 4, 0), np.repeat(np.arange(10), 2)),
        "test": (pictures(10, 4, 1), np.arange(10)),
    }
    dataset = prepare("cifar10", write_folders(tmp_path / "in", data, order), tmp_path / "data")
    assert dataset.classes == order
    np.testing.assert_array_equal(dataset.images("test"), data["test"][0])
    np.testing.assert_array_equal(dataset.labels("train"), data["train"][1])


@pytest.mark.parametrize("suffix", ["png", "PNG", "bmp", "webp"])
def test_lossless_formats_keep_every_pixel(tmp_path: Path, suffix: str) -> None:
    image = pictures(1, 16, 0)[0]
    out = io.BytesIO()
    Image.fromarray(image).save(out, suffix.upper(), **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(decode(out.getvalue(), 16, "here"), image)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "JPG"])
def test_jpeg_is_what_pillow_decodes(tmp_path: Path, suffix: str) -> None:
    source = write_folders(tmp_path / "in", splits(), suffix=suffix)
    dataset = prepare("pets", source, tmp_path / "data")
    with Image.open(source / "test" / "dog" / f"00004.{suffix}") as picture:
        np.testing.assert_array_equal(dataset.images("test")[4], np.asarray(picture))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_other_modes_become_rgb(mode: str) -> None:
    picture = Image.fromarray(pictures(1, 8, 0)[0]).convert(mode)
    out = io.BytesIO()
    picture.save(out, "PNG")
    image = decode(out.getvalue(), 8, "here")
    assert image.shape == (8, 8, 3)
    np.testing.assert_array_equal(image, np.asarray(picture.convert("RGB")))
    if mode in ("1", "L", "LA"):
        assert (image[..., 0] == image[..., 1]).all()


def test_a_palette_with_transparency_is_read_without_warning() -> None:
    picture = Image.fromarray(pictures(1, 8, 0)[0]).convert("P")
    out = io.BytesIO()
    picture.save(out, "PNG", transparency=bytes(range(256)))
    np.testing.assert_array_equal(decode(out.getvalue(), 8, "here"), np.asarray(picture.convert("RGB")))


def test_sixteen_bits_are_refused(pets: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((6, 6), dtype=np.uint16)).save(pets / "test" / "cat" / "00000.png")
    with refused(DamagedData, pets, "'test/cat/00000.png'", "8-bit", "I;16", "convert it", untouched=tmp_path / "data"):
        prepare("pets", pets, tmp_path / "data")


BAD = {
    "text": b"not a picture\n" * 10,
    "empty": b"",
    "gif": b"GIF89a" + bytes(40),
    "cut": png(pictures(1, 6, 0)[0])[:-30],
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_no_picture(pets: Path, tmp_path: Path, case: str) -> None:
    (pets / "train" / "dog" / "00004.png").write_bytes(BAD[case])
    with refused(DamagedData, pets, "'train/dog/00004.png'", "replace it", untouched=tmp_path / "data"):
        prepare("pets", pets, tmp_path / "data")


def test_another_size_is_refused_with_the_first_ones(pets: Path, tmp_path: Path) -> None:
    (pets / "test" / "eel" / "00008.png").write_bytes(png(pictures(1, 7, 0)[0]))
    with refused(DamagedData, "'test/eel/00008.png': expected 6×6", "found 7×7; resize", untouched=tmp_path / "data"):
        prepare("pets", pets, tmp_path / "data")


def test_a_first_picture_that_is_not_square(pets: Path, tmp_path: Path) -> None:
    (pets / "train" / "cat" / "00000.png").write_bytes(png(np.zeros((6, 9, 3), dtype=np.uint8)))
    with refused(DamagedData, "'train/cat/00000.png'", "square", "found 9×6", untouched=tmp_path / "data"):
        prepare("pets", pets, tmp_path / "data")


def test_a_known_set_has_its_own_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "cifar10", 10, 10)
    data = {split: (pictures(10, 6, 0), np.arange(10)) for split in ("train", "test")}
    source = write_folders(tmp_path / "in", data, CIFAR10)
    with refused(DamagedData, "'train/airplane/00000.png': expected 32×32", untouched=tmp_path / "data"):
        prepare("cifar10", source, tmp_path / "data")


def test_a_known_set_has_its_own_counts(tmp_path: Path) -> None:
    data = {split: (pictures(10, 32, 0), np.arange(10)) for split in ("train", "test")}
    source = write_folders(tmp_path / "in", data, CIFAR10)
    with refused(DamagedData, source, "expected 50,000 train images", "found 10;", untouched=tmp_path / "data"):
        prepare("cifar10", source, tmp_path / "data")


def test_a_known_set_has_its_own_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "cifar10", 10, 10)
    data = {split: (pictures(10, 32, 0), np.arange(10)) for split in ("train", "test")}
    source = write_folders(tmp_path / "in", data, ("aeroplane", *CIFAR10[1:]))
    with refused(DamagedData, source, "'train/aeroplane' is no class", untouched=tmp_path / "data"):
        prepare("cifar10", source, tmp_path / "data")


def test_an_empty_class_folder(pets: Path, tmp_path: Path) -> None:
    (pets / "train" / "fox").mkdir()
    with refused(DamagedData, pets, "'train/fox' holds no picture", "remove it", untouched=tmp_path / "data"):
        prepare("pets", pets, tmp_path / "data")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_class_folder(pets: Path, tmp_path: Path, split: str) -> None:
    for path in (pets / split / "dog").iterdir():
        path.unlink()
    (pets / split / "dog").rmdir()
    with refused(DamagedData, pets, f"'{split}/dog' is missing", untouched=tmp_path / "data"):
        prepare("pets", pets, tmp_path / "data")


@pytest.mark.parametrize("name", ["test/cat/labels.csv", "test/readme.png", "test/cat/images/0.png", "test/cat/x.tiff"])
def test_a_file_in_no_place_for_a_picture(pets: Path, tmp_path: Path, name: str) -> None:
    (pets / name).parent.mkdir(exist_ok=True)
    (pets / name).write_bytes(png(pictures(1, 6, 0)[0]))
    archive = write_tar(pets, tmp_path / "x.tar", "w")
    with refused(DamagedData, repr(name), "expected test/CLASS/FILE", "move it away", untouched=tmp_path / "data"):
        prepare("pets", archive, tmp_path / "data")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", " cat"])
def test_class_names_must_be_printable(tmp_path: Path, name: str) -> None:
    source = write_folders(tmp_path / "in", splits(), (name, "dog", "eel"))
    with refused(DamagedData, source, repr(name), "rename it", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def test_one_class_is_none(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "in", splits(classes=1))
    with refused(DamagedData, source, "expected 2 to", "found 1", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def test_a_huge_file_is_not_read(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PICTURE", 20)
    with refused(DamagedData, "expected at most 20 bytes", untouched=tmp_path / "data"):
        prepare("pets", pets, tmp_path / "data")


def header(side: int) -> bytes:
    """Return a PNG that promises a black and white square and breaks off."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data + struct.pack(">I", 2**30) + b"IDAT"


@pytest.mark.parametrize(("side", "fragment"), [(5000, "found 5000×5000"), (12_000, "bomb"), (20_000, "bomb")])
def test_a_huge_picture_is_not_decoded(side: int, fragment: str) -> None:
    with refused(DamagedData, "here", fragment):
        decode(header(side), None, "here")


def test_test_images_alone_are_enough(tmp_path: Path) -> None:
    data = splits()
    dataset = prepare("pets", write_folders(tmp_path / "in", {"test": data["test"]}), tmp_path / "data")
    assert dataset.splits == ("test",)
    np.testing.assert_allclose(dataset.mean, data["test"][0].mean((0, 1, 2)) / 255, rtol=1e-12)


def test_training_images_alone_are_not(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "in", {"train": splits()["train"]})
    with refused(DamagedData, source, "expected test images, found train", untouched=tmp_path / "data"):
        prepare("pets", source, tmp_path / "data")


def test_progress_counts_every_picture_once(pets: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    prepare("pets", pets, tmp_path / "data", lambda done, total: told.append((done, total)))
    assert told == [(done, 18) for done in range(1, 19)]


WHOLE = {suffix: io.BytesIO() for suffix in ("PNG", "JPEG", "WEBP", "BMP")}
for suffix, out in WHOLE.items():
    Image.fromarray(pictures(1, 8, 0)[0]).save(out, suffix)


@settings(max_examples=400)
@given(st.sampled_from(sorted(WHOLE)), st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), max_size=4))
def test_any_change_of_a_picture_is_read_or_refused(suffix: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE[suffix].getvalue())
    for place, value in changes:
        data[place % min(len(data), 80)] = value
    image = result_or_refusal(lambda: decode(bytes(data), 8, "here"))
    if image is not None:
        assert image.shape == (8, 8, 3)
        assert image.dtype == np.uint8
