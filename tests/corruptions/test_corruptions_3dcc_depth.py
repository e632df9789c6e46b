"""3D Common Corruptions that need depth or shading: five-line loops, closed forms, invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_corruptions_3dcc import photographs

from robustbench_msda.corruptions.three_d import camera, far_focus, flash, focus, fog_3d, near_focus, xy_motion_blur
from robustbench_msda.corruptions.three_d.table import SEVERITIES
from robustbench_msda.streams import stream

WITH_MAP = {"near_focus": near_focus, "far_focus": far_focus, "fog_3d": fog_3d, "flash": flash}
MOVING = {"xy_motion_blur": camera.draw_xy_path, "z_motion_blur": camera.draw_z_path}


def hills(side: int, count: int) -> torch.Tensor:
    return 0.05 + photographs(side, count).float().mean(1) / 255 * 0.45


def paths(name: str, count: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([MOVING[name](stream(name, index), 32, ())[0] for index in range(count)]))


def made(name: str, images: torch.Tensor, maps: torch.Tensor, severity: int) -> torch.Tensor:
    parameter = SEVERITIES[name][224][severity - 1]
    if name in MOVING:
        return getattr(camera, name)(images, maps, parameter, paths(name, len(images)))
    return WITH_MAP[name](images, maps, parameter)


def test_fog_equals_the_loop():
    images, depth = photographs(32, 3), hills(32, 3)
    for image, distance, ours in zip(images.numpy(), depth.double().numpy(), fog_3d(images, depth, (8,)), strict=True):
        clear = image / 255
        seen = np.exp(-8 * distance)
        expected = (seen * clear + (1 - seen) * clear.mean()) * 255
        np.testing.assert_allclose(ours.numpy(), expected - 0.5, atol=0.5 + 1e-9)


def test_fog_at_no_depth_is_nothing_and_at_great_depth_one_colour():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(fog_3d(images, torch.zeros(1, 16, 16), (20,)), images)
    assert (fog_3d(images, torch.full((1, 16, 16), torch.inf), (4,)) == 127).all()


@given(grey=st.integers(0, 255), depth=st.floats(0, 100), severity=st.integers(1, 5))
@settings(max_examples=25)
def test_fog_leaves_a_grey_image_grey(grey, depth, severity):
    images = torch.full((1, 3, 16, 16), grey, dtype=torch.uint8)
    ours = made("fog_3d", images, torch.full((1, 16, 16), depth), severity).int()
    assert ((ours - grey).abs() <= 1).all()


@given(seed=st.integers(0, 1000), severity=st.integers(1, 5))
@settings(max_examples=20)
def test_flash_equals_the_loop_and_never_darkens(seed, severity):
    rng = np.random.default_rng(seed)
    image, shade = rng.integers(0, 256, (3, 8, 8), dtype=np.uint8), rng.random((8, 8))
    ours = made("flash", torch.from_numpy(image)[None], torch.from_numpy(shade)[None], severity)[0].numpy()
    divisor = (2.4, 1.4, 0.9, 0.6, 0.4)[severity - 1]
    expected = np.minimum(image / 255 + image / 255 * shade / divisor, 1) * 255
    np.testing.assert_allclose(ours, expected - 0.5, atol=0.5 + 1e-9)
    assert (ours >= image).all()


def test_flash_in_the_dark_is_nothing():
    images = photographs(32, 2)
    assert torch.equal(flash(images, torch.zeros(2, 32, 32), (0.4,)), images)


def refocused(image: np.ndarray, depth: np.ndarray, aperture: float, focus_index: int) -> np.ndarray:
    """One image by the formulas, pixel after pixel."""
    edges = np.quantile(depth, np.arange(9) / 8)
    edges[0], edges[-1] = edges[0] - 1e-4, edges[-1] + 1e-4
    stack = [blurred(image / 255, aperture * abs(edge - edges[focus_index]) / edge) for edge in edges]
    out = np.empty(image.shape)
    for row, column in np.ndindex(depth.shape):
        right = int(np.searchsorted(edges, depth[row, column]))
        place = (depth[row, column] - edges[right - 1]) / (edges[right] - edges[right - 1])
        left, far = 1 - place**2, 1 - (1 - place) ** 2
        mix = left * stack[right - 1][:, row, column] + far * stack[right][:, row, column]
        out[:, row, column] = mix / (left + far)
    return out * 255


def blurred(image: np.ndarray, radius: float) -> np.ndarray:
    taps = int(3 * radius) + (int(3 * radius) % 2 == 0)
    if radius < 0.1 or taps == 1:
        return image
    kernel = np.exp(-((np.arange(taps) - taps // 2) ** 2) / (2 * radius**2))
    kernel /= kernel.sum()
    for axis in (1, 2):
        width = [(taps // 2, taps // 2) if axis == other else (0, 0) for other in range(3)]
        padded = np.pad(image, width, mode="edge")
        image = np.apply_along_axis(np.convolve, axis, padded, kernel, mode="valid")
    return image


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize(("name", "index", "offset"), [("near_focus", 0, 2), ("far_focus", 7, 0.5)])
def test_focus_equals_the_loop(name, index, offset, severity):
    image = torch.from_numpy(np.random.default_rng(severity).integers(0, 256, (1, 3, 24, 24), dtype=np.uint8))
    depth = hills(24, 1).double()
    expected = refocused(image[0].numpy(), depth[0].numpy(), severity + offset, index)
    np.testing.assert_allclose(made(name, image, depth, severity)[0].numpy(), expected - 0.5, atol=0.5 + 1e-6)


def test_what_is_in_focus_stays_sharp_and_what_is_not_does_not():
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8))
    depth = torch.linspace(1, 10, 32).expand(1, 32, 32).contiguous()
    difference = (made("near_focus", image, depth, 5).int() - image.int()).abs().float().mean((0, 1, 2))
    assert difference[0] <= 1
    assert difference[16:].min() > 20
    depth[..., 27:] = 8
    sharp = (made("far_focus", image, depth, 5).int() - image.int()).abs().float().mean((0, 1, 2))
    assert sharp[24:].max() < sharp[:8].min()


@pytest.mark.parametrize("name", ["near_focus", "far_focus"])
def test_a_flat_scene_is_in_focus(name):
    image = photographs(32, 1)
    ours = made(name, image, torch.full((1, 32, 32), 0.3), 1)
    assert (ours.int() - image.int()).abs().max() <= 1


@given(st.lists(st.floats(0, 60), min_size=1, max_size=4), st.sampled_from((8, 32)))
@settings(max_examples=25)
def test_blur_matrices_keep_a_constant_and_are_positive(radii, side):
    matrices = focus.blur_matrices(torch.tensor(radii, dtype=torch.float64), side)
    np.testing.assert_allclose(matrices.sum(2).numpy(), 1, atol=1e-12)
    assert matrices.min() >= 0


def test_a_scene_that_touches_the_lens_is_blurred_at_most_by_its_width():
    depth = hills(32, 1)
    depth[0, 0, 0] = 1e-4
    edges = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert focus.blur_radii(edges, focus.FAR, 5.5, 32)[0] == 32
    assert made("far_focus", photographs(32, 1), depth, 5).shape == (1, 3, 32, 32)


def nearest_view(image: np.ndarray, depth: np.ndarray, path: np.ndarray, step: float) -> np.ndarray:
    """One frame, pixel after pixel, by nearest neighbours: right where the shifts are whole pixels."""
    side = len(depth)
    middle = depth[side // 4 : -(side // 4), side // 4 : -(side // 4)].min()
    left = middle * (1 + step * (path[2] - 1))
    out = np.zeros_like(image)
    for row, column in np.ndindex(depth.shape):
        z, centre = depth[row, column], (side - 1) / 2
        x = ((column - centre) * (z + left - middle) + path[0] * side * step * left) / z + centre
        y = ((row - centre) * (z + left - middle) + path[1] * side * step * left) / z + centre
        out[:, row, column] = image[:, min(max(round(y), 0), side - 1), min(max(round(x), 0), side - 1)]
    return out


def test_a_view_equals_the_loop_where_points_move_by_whole_pixels():
    image = np.random.default_rng(3).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    depth = np.where(np.arange(16) < 8, 1.0, 2.0)[:, None].repeat(16, 1)
    path = np.array([4 / 16, 2 / 16, 1.0])
    tensors = (torch.from_numpy(array)[None] for array in (image, depth, path))
    ours = camera.view(*tensors, torch.ones(1))[0].numpy()
    inside = (slice(None), slice(0, 12), slice(0, 11))
    np.testing.assert_array_equal(ours[inside], nearest_view(image, depth, path, 1.0)[inside])
    # The near rows moved by four pixels, the far ones by two.
    np.testing.assert_array_equal(ours[:, :5, :12], image[:, 2:7, 4:])
    np.testing.assert_array_equal(ours[:, 8:14, :13], image[:, 9:15, 2:15])


def test_a_zoom_magnifies_the_nearest_plane_and_leaves_the_sky():
    ramp = torch.linspace(0, 240, 32).round().to(torch.uint8).expand(1, 3, 32, 32).contiguous()
    path = torch.tensor([[0.0, 0.0, 0.5]])
    near = camera.view(ramp, torch.ones(1, 32, 32), path, torch.ones(1))[0, 0, 0]
    slope = (near[28] - near[3]) / 25 / (240 / 31)
    assert slope.item() == pytest.approx(0.5, abs=0.02)
    depth = torch.full((1, 32, 32), 1e6)
    depth[0, 16, 16] = 1
    away = camera.view(ramp, depth, path, torch.ones(1))
    away[..., 16, 16] = ramp[..., 16, 16]
    assert torch.equal(away, ramp.float())


def test_a_camera_that_moves_aside_and_ahead_is_shifted_by_what_is_left_of_the_way():
    ramp = (8 * torch.arange(32)).to(torch.uint8).expand(1, 3, 32, 32).contiguous()
    seen = camera.view(ramp, torch.ones(1, 32, 32), torch.tensor([[4 / 32, 0.0, 0.5]]), torch.ones(1))
    # The middle is 15.5; the wall is half as far away, so the shift of 4 pixels there is one of 2 here.
    expected = 8 * ((torch.arange(32) - 15.5) * 0.5 + 15.5 + 4 * 0.5)
    assert torch.equal(seen, expected.round().expand(1, 3, 32, 32))


@pytest.mark.parametrize("name", MOVING)
def test_a_camera_that_does_not_move_sees_the_image(name):
    images = photographs(32, 2)
    still = torch.tensor([[0.0, 0.0, 1.0]]).expand(2, -1)
    assert torch.equal(getattr(camera, name)(images, hills(32, 2), (60,), still), images)


def test_motion_blur_is_the_mean_of_its_frames():
    images, depth, way = photographs(32, 2), hills(32, 2), paths("xy_motion_blur", 2)
    frames = [camera.view(images, depth, way, torch.full((2,), step / 59)) for step in range(20)]
    expected = torch.stack(frames).double().mean(0).floor()
    assert torch.equal(xy_motion_blur(images, depth, (20,), way), expected.to(torch.uint8))


def test_paths_are_within_the_reference_bounds():
    along, into = paths("xy_motion_blur", 400) * 512, paths("z_motion_blur", 400) * 512
    assert set(along[:, 0].abs().round().int().tolist()) <= set(range(50, 76))
    assert 150 < (along[:, 0] > 0).sum() < 250
    assert along[:, 1].abs().max() <= 75
    assert along[:, 1].abs().max() > 60
    assert (along[:, 2] == 512).all()
    assert into[:, :2].abs().max() <= 30
    assert into[:, 2].min() / 512 >= 0.5
    assert into[:, 2].max() / 512 < 0.6


@pytest.mark.parametrize("name", [*WITH_MAP, *MOVING])
def test_a_higher_severity_is_farther_from_the_clean_image(name):
    images, maps = photographs(64, 2), hills(64, 2)
    distances = [(made(name, images, maps, s).float() - images.float()).square().mean().item() for s in range(1, 6)]
    assert distances == sorted(distances)
    assert 0 < distances[0] < distances[-1]


@pytest.mark.parametrize("name", [*WITH_MAP, *MOVING])
def test_an_image_does_not_depend_on_its_batch(name):
    images, maps = photographs(32, 5), hills(32, 5)
    together = made(name, images, maps, 3)
    alone = made(name, images[:1], maps[:1], 3)
    assert torch.equal(alone[0], together[0])
    assert made(name, images[:0], maps[:0], 3).shape == (0, 3, 32, 32) if name in WITH_MAP else True


@pytest.mark.parametrize("name", [*WITH_MAP, *MOVING])
def test_maps_that_do_not_fit_are_refused(name):
    images, maps = photographs(32, 2), hills(32, 2)
    wrong = torch.where(torch.arange(32) == 3, -0.1, maps)
    with pytest.raises(ValueError, match=r"of 0|of 0\.0001|of 1e-07"):
        made(name, images, wrong, 1)
    with pytest.raises(ValueError, match="and more, got nan"):
        made(name, images, torch.where(torch.arange(32) == 3, torch.nan, maps), 1)
    for other in (maps[:1], maps[:, :16], maps.unsqueeze(1), maps.to(torch.uint8)):
        with pytest.raises(ValueError, match="one number a pixel"):
            made(name, images, other, 1)
