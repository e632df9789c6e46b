"""The fidelity table: what it computes, and what the committed one says."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from robustbench_msda.conditions import EXTRA, FIFTEEN

ROOT = Path(__file__).parents[1]


@pytest.fixture
def fidelity(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return import_module("perf.fidelity")


@pytest.fixture
def gold(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return import_module("perf.gold")


def test_one_value_that_differs_is_counted(fidelity, gold, monkeypatch):
    images = np.full((4, 8, 8, 3), 100, dtype=np.uint8)
    outputs = images[[1, 3]].copy()
    outputs[1, 0, 0, 0] = 97
    monkeypatch.setattr(fidelity, "runs", lambda *_: [gold.Run(0, images, [1, 3], outputs)])
    monkeypatch.setattr(fidelity, "replayed", lambda run, *_: run.kept)
    found = fidelity.agreement(Path(), "fog", 32, {})
    assert found == fidelity.Agreement(5 * 2 * 192, pytest.approx(1 - 1 / 384), pytest.approx(1 - 1 / 192), 3)


def test_a_share_is_rounded_down_and_only_all_is_all(fidelity):
    assert [fidelity.percent(share) for share in (1, 0.9999999, 0.5)] == ["100 %", "99.999 %", "50.000 %"]


def test_a_run_keeps_the_draws_of_its_rows(gold):
    images = np.zeros((4, 2, 2, 3), dtype=np.uint8)
    assert gold.Run(0, images, [0, 2], images[:2]).kept_of(iter("abcd")) == ["a", "c"]


def test_the_generators_figures_are_averaged_seed_by_seed(gold, tmp_path):
    rows = ["corruption,severity,rep,mse_vs_clean_mean"]
    rows += [f"fog,{severity},{seed},{255**2 / 10**seed}" for seed in (1, 2) for severity in range(1, 6)]
    (tmp_path / "cifar10c_seed_stats.csv").write_text("\n".join(rows))
    assert gold.recorded(tmp_path, 32) == {"fog": pytest.approx([10, 20])}


def test_the_distance_counts_that_the_mean_is_of_a_few_seeds(fidelity):
    assert fidelity.Spread(12.0, 10.0, 1.0, 3).apart == pytest.approx(2 / (4 / 3) ** 0.5)


def test_without_the_reference_folder_it_ends_in_one_line():
    environment = {name: value for name, value in os.environ.items() if name != "ROBUSTBENCH_MSDA_REFERENCE"}
    command = [sys.executable, "-m", "perf.fidelity"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("ROBUSTBENCH_MSDA_REFERENCE is not set")
    assert ended.stderr.count("\n") == 1


def test_the_committed_table_has_every_corruption_within_one_grey_level():
    lines = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip(" *%") for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    same = {cells[0]: cells[1:] for cells in rows if cells[2] and "±" not in cells[2] and cells[0] != "corruption"}
    assert set(same) == {*FIFTEEN, *EXTRA}
    for name, (equal, _, largest, equal_224, _, largest_224) in same.items():
        assert min(float(equal), float(equal_224)) >= 99, name
        assert max(int(largest), int(largest_224)) <= 1, name
