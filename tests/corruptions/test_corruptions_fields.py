"""The two ways to smooth a field, and the transform of one of them, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from robustbench_msda.corruptions import blur, fourier


@pytest.mark.parametrize("side", [32, 128, 224])
@pytest.mark.parametrize("sigma", [1, 2.5, 4])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_fields_are_smoothed_as_by_scipy(side, sigma, precision):
    fields = np.random.default_rng(side).normal(0.65, 0.3, (3, side, side)).astype(precision)
    ours = blur.smooth_fields(torch.from_numpy(fields), sigma)
    expected = ndimage.gaussian_filter(fields.astype(float), sigma, mode="nearest", truncate=4, axes=(1, 2))
    assert ours.dtype == getattr(torch, precision)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol={"float32": 2e-6, "float64": 1e-12}[precision])


@pytest.mark.parametrize(("border", "mode"), [("reflect", "mirror"), ("replicate", "nearest")])
@pytest.mark.parametrize("spare", [0, 1, 17])
def test_a_correlation_looks_at_nothing_beyond_its_reach(border, mode, spare):
    rng = np.random.default_rng(spare)
    values, corner = rng.random((2, 3, 40, 40)), rng.random((4, 4))
    kernel = np.pad(corner, ((3, 0), (3, 0)), mode="reflect")[:, :7]
    kernel = kernel + kernel[::-1, ::-1]
    spectrum = torch.fft.rfft2(torch.from_numpy(kernel), s=(46 + spare,) * 2)
    ours = fourier.correlate(torch.from_numpy(values), spectrum, 3, border)
    expected = ndimage.correlate(values, kernel[None, None], mode=mode)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-10)
