"""3D Common Corruptions by video coding: the filter's rule, sizes, damage, and the same bytes every time."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from test_corruptions_3dcc import made, photographs, streams

from robustbench_msda.corruptions import corrupt
from robustbench_msda.corruptions.three_d import CORRUPTIONS_3DCC, video
from robustbench_msda.errors import UserError

pytest.importorskip("av", reason="PyAV is an extra: pip install 'robustbench-msda[video]'")
coding = pytest.importorskip("robustbench_msda.corruptions.three_d.coding")

NAMES = ("bit_error", "h265_abr", "h265_crf")


def textured(side: int, count: int) -> torch.Tensor:
    """Smooth pictures with a grain that codecs have to drop."""
    grain = torch.randint(0, 40, (count, 3, side, side), generator=torch.Generator().manual_seed(side))
    return (photographs(side, count) // 8 * 5 + grain).to(torch.uint8)


def movie(side: int, index: int = 0) -> coding.Coded:
    image = textured(side, index + 1)[index]
    (path,) = video.draw_path(streams([index])[0], side, ())
    there = coding.to_frames(video._way_there(image, torch.from_numpy(path)))
    return coding.h264([*there, *there[-2::-1]], video.FRAME_RATE)


def distance(images: torch.Tensor, others: torch.Tensor) -> float:
    return (images.float() - others.float()).square().mean().item()


@pytest.mark.parametrize("spacing", [7, 300, 10_000])
def test_the_noise_filter_overwrites_where_the_sum_of_bytes_is_a_multiple(spacing):
    packets = tuple(np.random.default_rng(n).integers(0, 256, 900, dtype=np.uint8).tobytes() for n in range(5))
    damaged = coding.with_errors(coding.Coded("h264", packets, b""), spacing)
    assert packets[0] == np.random.default_rng(0).integers(0, 256, 900, dtype=np.uint8).tobytes()
    total, expected = 0, []
    for byte in b"".join(packets):
        total += byte + 1
        expected.append(byte if total % spacing else total % 256)
    assert b"".join(damaged.packets) == bytes(expected)
    assert [len(packet) for packet in damaged.packets] == [900] * 5


def test_errors_a_video_do_not_depend_on_its_size():
    for side in (32, 64):
        hits = []
        for spacing in (100_000, 10_000):
            films = [movie(side, index) for index in range(12)]
            pairs = [(film, coding.with_errors(film, round(spacing * film.size / 75_000))) for film in films]
            hits.append(sum(a != b for film, bad in pairs for a, b in zip(*joined(film, bad), strict=True)) / 12)
        assert hits[0] == pytest.approx(0.75, abs=0.75)
        assert hits[1] == pytest.approx(7.5, abs=3)


def joined(*films: coding.Coded) -> list[bytes]:
    return [b"".join(film.packets) for film in films]


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("name", NAMES)
def test_an_image_depends_on_neither_batch_nor_threads_nor_the_call(name, side):
    images = textured(side, 5)
    together = made(images, name, 4)
    alone = [corrupt(images[i : i + 1], name, 4, streams([i]), CORRUPTIONS_3DCC)[0] for i in reversed(range(5))]
    assert torch.equal(torch.stack(alone[::-1]), together)
    torch.set_num_threads(2)
    try:
        assert torch.equal(made(images, name, 4), together)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("side", [32, 64, 224])
def test_a_higher_rate_factor_is_farther_from_the_clean_image(side):
    images = textured(side, 3 if side < 224 else 1)
    severities = range(1, 6) if side < 224 else (1, 5)
    distances = [distance(made(images, "h265_crf", severity), images) for severity in severities]
    assert distances == sorted(distances)
    assert 0 < distances[0] < distances[-1]


@pytest.mark.parametrize(("side", "severities"), [(32, (1, 2, 3)), (64, (1, 2, 3)), (224, (1, 5))])
def test_a_smaller_rate_is_farther_from_the_clean_image(side, severities):
    images = textured(side, 3 if side < 224 else 1)
    distances = [distance(made(images, "h265_abr", severity), images) for severity in severities]
    assert distances == sorted(distances)
    assert 0 < distances[0] < distances[-1]


def test_more_errors_are_farther_from_the_clean_image():
    images = textured(32, 32)
    distances = [distance(made(images, "bit_error", severity), images) for severity in (1, 3, 5)]
    assert distances == sorted(distances)
    assert distances[0] < distances[-1] / 2


def test_without_errors_the_last_frame_is_the_image_but_for_x264():
    image = photographs(64, 1)[0]
    kept = video._last_frame(image, torch.tensor([0.12, 0.1, 1.0]), lambda coded: coded)
    difference = np.abs(kept.transpose(2, 0, 1).astype(int) - image.numpy())
    assert difference.mean() < 4


def test_the_camera_starts_at_the_image_and_ends_at_its_path():
    image = photographs(32, 1)[0]
    there = video._way_there(image, torch.tensor([0.125, 0.0, 1.0]))
    assert there.shape == (16, 32, 32, 3)
    np.testing.assert_array_equal(there[0].transpose(2, 0, 1), image.numpy())
    np.testing.assert_array_equal(there[-1][:, :27], there[0][:, 4:31])


def test_an_image_whose_video_cannot_be_decoded_is_grey():
    broken = lambda coded: coding.Coded(coded.decoder, (b"\x00" * 40,), coded.header)  # noqa: E731
    kept = video._last_frame(photographs(32, 1)[0], torch.tensor([0.1, 0.0, 1.0]), broken)
    assert (kept == 128).all()
    assert kept.shape == (32, 32, 3)


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_side_is_kept(name):
    images = textured(33, 1)
    corruption = CORRUPTIONS_3DCC[name]
    path = torch.from_numpy(video.draw_path(streams([0])[0], 33, ())[0])[None]
    mild = corruption.apply(images, corruption.severities[32][0], path)
    assert mild.shape == images.shape
    if name == "h265_crf":
        assert (mild[..., -1].float() - images[..., -1].float()).abs().mean() < 30


def test_both_ways_of_the_camera_are_drawn():
    ends = np.stack([video.draw_path(rng, 32, ())[0] for rng in streams(range(200))])
    along = ends[:, 2] == 1
    assert 70 < along.sum() < 130
    assert ends[~along, 2].max() < 0.6


def test_frames_come_as_fast_as_the_reference_plays_its_own():
    assert Fraction(119, 25) == video.FRAMES / video.FRAME_RATE


def test_without_pyav_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"PyAV.*pip install 'robustbench-msda\[video\]'") as caught:
        made(photographs(32, 1), "h265_crf", 1)
    assert "\n" not in str(caught.value)
