"""Corrupted data sets on disk: what is in them, and that nothing is lost or made twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from robustbench_msda.benchmarks import Setting
from robustbench_msda.benchmarks.base import part_cells
from robustbench_msda.benchmarks.made_corruptions import MadeCorruptions
from robustbench_msda.cli.main import commands
from robustbench_msda.corrupting import write_corrupted
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.data.prepare import prepare
from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.records import Cell

CLASSES = ("cat", "dog", "eel")


def small_set(folder: Path, name: str, side: int, per_class: int = 3) -> Path:
    """Return a data folder with a prepared set of smooth pictures in ``CLASSES``."""
    rng = np.random.default_rng(0)
    source = folder / "source"
    for split in ("train", "test"):
        (source / split).mkdir(parents=True)
        labels = np.repeat(np.arange(3), per_class)
        ramp = np.linspace(0, 200, side)
        tint = rng.uniform(0, 50, (len(labels), 1, 1, 3))
        images = (ramp[None, :, None, None] * 0.5 + ramp[None, None, :, None] * 0.5 + tint).astype(np.uint8)
        np.save(source / split / "images.npy", images)
        np.save(source / split / "labels.npy", labels)
    (source / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    prepare(name, source, folder / "data")
    return folder / "data"


def made(data_dir: Path, name: str, condition: str, level: str) -> np.ndarray:
    setting = Setting(open_dataset(name, data_dir), data_dir, torch.device("cpu"), batch_size=4)
    benchmark = MadeCorruptions(name)
    cells = part_cells(Cell("", benchmark.name, condition, level), benchmark, setting)
    batches = [pixels for cell in cells for pixels, _, _ in benchmark.corrupted(cell, setting)]
    return torch.cat(batches).permute(0, 2, 3, 1).numpy()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_arrays_hold_the_made_stimuli_severity_by_severity(tmp_path: Path) -> None:
    data_dir = small_set(tmp_path, "mine", 32)
    outcomes = write_corrupted("mine", data_dir, tmp_path / "out", ["contrast", "gaussian-noise"])
    assert not [outcome.error for outcome in outcomes if outcome.error]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("contrast.npy", "gaussian_noise.npy", "labels.npy", "made.json")
    }
    labels = np.load(tmp_path / "out" / "labels.npy")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.tile(np.repeat(np.arange(3), 3), 5))
    for name in ("contrast", "gaussian_noise"):
        stored = np.load(tmp_path / "out" / f"{name}.npy")
        assert stored.shape == (45, 32, 32, 3)
        for level in range(5):
            np.testing.assert_array_equal(
                stored[9 * level : 9 * (level + 1)], made(data_dir, "mine", name, str(level + 1))
            )


def test_larger_images_are_files_in_class_folders(tmp_path: Path) -> None:
    data_dir = small_set(tmp_path, "mine", 64)
    write_corrupted("mine", data_dir, tmp_path / "out", ["contrast"])
    paths = sorted((tmp_path / "out").glob("contrast/3/*/*.JPEG"))
    assert [path.parent.name for path in paths] == [name for name in CLASSES for _ in range(3)]
    expected = made(data_dir, "mine", "contrast", "3")
    for path, image in zip(paths, expected, strict=True):
        with Image.open(path) as file:
            assert file.format == "JPEG"
            stored = np.asarray(file)
        assert stored.shape == (64, 64, 3)
        assert np.abs(stored.astype(int) - image).mean() < 2
    assert not list((tmp_path / "out").rglob(".*"))


@pytest.mark.parametrize("side", [32, 64])
def test_the_same_bytes_come_for_any_number_of_workers(tmp_path: Path, side: int) -> None:
    data_dir = small_set(tmp_path, "mine", side)
    for workers in (1, 2):
        write_corrupted("mine", data_dir, tmp_path / str(workers), ["fog", "contrast"], workers=workers)
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_what_exists_is_not_made_again_and_what_is_lost_comes_back(tmp_path: Path) -> None:
    data_dir = small_set(tmp_path, "mine", 32)
    out = tmp_path / "out"
    write_corrupted("mine", data_dir, out, ["contrast", "fog"])
    whole = files(out)
    (out / "fog.npy").unlink()
    # As a kill leaves it: some severities made.
    np.save(out / ".fog.2.npy", made(data_dir, "mine", "fog", "2"))
    before = (out / "contrast.npy").stat().st_mtime_ns
    outcomes = write_corrupted("mine", data_dir, out, ["contrast", "fog"])
    assert [outcome.id for outcome in outcomes] == ["fog 1", "fog 3", "fog 4", "fog 5", "fog"]
    assert files(out) == whole
    assert (out / "contrast.npy").stat().st_mtime_ns == before


def test_a_killed_command_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    data_dir = small_set(tmp_path, "mine", 32, per_class=200)
    write_corrupted("mine", data_dir, tmp_path / "whole", ["fog", "spatter"])
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-c",
        "from robustbench_msda.cli import main; main()",
        "data",
        "corrupt",
        "mine",
        "--out",
        str(out),
    ]
    command += ["--data-dir", str(data_dir), "--corruptions", "fog,spatter", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob(".fog.1.npy")) and not (out / "fog.npy").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "spatter.npy").exists()
    write_corrupted("mine", data_dir, out, ["fog", "spatter"])
    # A kill during a write may leave a hidden temporary file.
    assert {name: data for name, data in files(out).items() if not name.startswith(".")} == files(tmp_path / "whole")


def test_the_images_of_another_set_are_not_mixed_in(tmp_path: Path) -> None:
    data_dir = small_set(tmp_path, "mine", 32)
    other = small_set(tmp_path / "other", "theirs", 32)
    write_corrupted("mine", data_dir, tmp_path / "out", ["contrast"])
    with pytest.raises(UserError, match=r"theirs_c_made version \d+; choose another"):
        write_corrupted("theirs", other, tmp_path / "out", ["contrast"])
    with pytest.raises(UserError, match="expected an empty folder"):
        write_corrupted("mine", data_dir, data_dir, ["contrast"])


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    data_dir = small_set(tmp_path, "mine", 40)
    with pytest.raises(UserError, match="no severities for images of 40 px"):
        write_corrupted("mine", data_dir, tmp_path / "out")
    data_dir = small_set(tmp_path / "b", "mine", 32)
    with pytest.raises(UnknownName, match="Did you mean fog"):
        write_corrupted("mine", data_dir, tmp_path / "out", ["fogg"])
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    data_dir = small_set(tmp_path, "mine", 32)
    arguments = ["data", "corrupt", "mine", "--out", str(tmp_path / "out"), "--data-dir", str(data_dir)]
    result = CliRunner().invoke(commands, [*arguments, "--corruptions", "contrast", "--device", "cpu"])
    assert result.exit_code == 0
    assert "6 pieces made" in result.stdout
    assert (tmp_path / "out" / "contrast.npy").exists()
