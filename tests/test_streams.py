from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from robustbench_msda.streams import seed, stream

# Made with NumPy 2.4.6; NumPy promises Philox's bits, and stimuli are functions of these: they must never change.
KEY = ("digits_c_made", 1, "gaussian_noise", "3", 41)
GOLDEN_BITS = {
    (): [11816121634870625535, 4092698624421720919, 17415106871288323251],
    ("one",): [9547649987620826191, 16158283179268919069, 5842124537603158007],
    ("order", 0, 0): [12236533882018074258, 8039257610072808956, 4624994904629763602],
    KEY: [13589833623082416009, 10821453888471719959, 107983396935323224],
}
GOLDEN_SEEDS = {
    (): 5911644737314724887,
    ("one",): 881318219990156573,
    ("order", 0, 0): 9000469282592126558,
    KEY: 7657685314919163094,
}


@pytest.mark.parametrize("key", GOLDEN_BITS, ids=str)
def test_bits_are_what_they_always_were(key: tuple[str | int, ...]) -> None:
    assert stream(*key).bit_generator.random_raw(3).tolist() == GOLDEN_BITS[key]


@pytest.mark.parametrize("key", GOLDEN_SEEDS, ids=str)
def test_seeds_are_what_they_always_were(key: tuple[str | int, ...]) -> None:
    assert seed(*key) == GOLDEN_SEEDS[key]
    assert 0 <= seed(*key) < 2**63


def test_draws_are_a_function_of_the_key_in_any_order_and_process() -> None:
    expected = stream(*KEY).random(4).tolist()
    np.random.Generator(np.random.Philox(5)).random(100)
    assert stream(*KEY).random(4).tolist() == expected
    code = f"from robustbench_msda.streams import stream; print(stream(*{KEY!r}).random(4).tolist())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(expected)


@pytest.mark.parametrize(
    "other",
    [
        ("digits_c_made", 2, "gaussian_noise", "3", 41),
        ("digits_c_made", 1, "shot_noise", "3", 41),
        ("digits_c_made", 1, "gaussian_noise", "4", 41),
        ("digits_c_made", 1, "gaussian_noise", "3", 42),
        ("digits_c_made", 1, "gaussian_noise", 3, 41),
        ("digits_c_made", 1, "gaussian_noise", "34", 1),
        ("digits_c_made", 1, "gaussian_noise", "3"),
        (("digits_c_made", 1), "gaussian_noise", "3", 41),
    ],
    ids=str,
)
def test_keys_that_differ_in_anything_share_no_draw(other: tuple[str | int, ...]) -> None:
    assert not set(stream(*KEY).random(64)) & set(stream(*other).random(64))
    assert seed(*KEY) != seed(*other)


def test_streams_of_neighbouring_images_are_independent() -> None:
    draws = np.stack([stream("test", i).random(32) for i in range(500)])
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 0.01
    assert stats.kstest(draws[:, 0], "uniform").pvalue > 0.01
    lagged = np.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]
    assert abs(lagged) < 4 / np.sqrt(draws[1:].size)
