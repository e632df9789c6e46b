"""Corrupted data sets on disk, in the layouts of the official ones, for software that reads those."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from robustbench_msda import __version__
from robustbench_msda.benchmarks import Setting
from robustbench_msda.benchmarks.base import part_cells
from robustbench_msda.benchmarks.corruption_scores import LEVELS
from robustbench_msda.benchmarks.made_corruptions import MadeCorruptions, table_for
from robustbench_msda.data.datasets import Dataset, open_dataset
from robustbench_msda.engines import Outcome, WorkItem, run
from robustbench_msda.errors import UserError, pick
from robustbench_msda.files import write_text, write_whole
from robustbench_msda.progress import Progress, silent
from robustbench_msda.records import Cell

# The largest images that are kept as arrays, as those of CIFAR-10-C are; others as JPEG files, as ImageNet-C is.
LARGEST_IN_ARRAYS = 32
# hendrycks/robustness 8190fe3, make_imagenet_c.py: 4:2:0, Huffman tables optimised.
JPEG_QUALITY = 85
ABOUT = "made.json"


def write_corrupted(
    name: str,
    data_dir: Path,
    out: Path,
    corruptions: Sequence[str] = (),
    *,
    workers: int = 1,
    device: str = "cpu",
    progress: Progress = silent,
) -> list[Outcome]:
    """Write the corrupted test images of a data set to ``out`` and return what became of each piece.

    The stimuli are those of ``<dataset>_c_made``. Images of 32 px at most are kept as ``<corruption>.npy``, five
    severities one after another, and ``labels.npy``; larger ones as ``<corruption>/<severity>/<class>/*.JPEG``, which
    loses what JPEG loses, as the official files have. What exists is not made again; a kill loses one severity of one
    corruption for each worker. The same bytes come for any number of workers.

    Args:
        name: the data set.
        data_dir: where it is.
        out: the folder to write; made where it is missing.
        corruptions: of the table, none for all.
        workers: processes at once.
        device: where images are made.
        progress: told in pieces: a severity of a corruption.

    Raises:
        UserError: there is no such data set or corruption, its images have no severities, or ``out`` holds the images
            of another data set or version.
    """
    dataset = open_dataset(name, data_dir)
    setting = Setting(dataset, data_dir, torch.device(device))
    benchmark = MadeCorruptions(dataset.name)
    if missing := benchmark.needs(setting):
        raise UserError(f"{dataset.name}: {missing.reason}; {missing.remedy}")
    table = table_for(data_dir)
    for each in corruptions:
        pick(table, each, "corruption")
    claim(out, benchmark, dataset)
    chosen = [each for each in table if not corruptions or each in {text.replace("-", "_") for text in corruptions}]
    arrays = dataset.side <= LARGEST_IN_ARRAYS
    if arrays:
        write_array(out / "labels.npy", np.tile(dataset.labels("test").astype(np.uint8), len(LEVELS)))
    items = array_items(chosen, setting, out) if arrays else folder_items(chosen, setting, out)
    return run(items, workers, progress=progress)


def claim(out: Path, benchmark: MadeCorruptions, dataset: Dataset) -> None:
    """Write to ``out`` what it holds, or raise ``UserError`` where it holds something else."""
    facts = {
        "made by": f"robustbench_msda {__version__}",
        "benchmark": f"{benchmark.name} version {benchmark.version}",
        "test images": dataset.fingerprint("test"),
    }
    path = out / ABOUT
    if out.is_dir() and any(out.iterdir()):
        told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if any(told.get(key) != facts[key] for key in ("benchmark", "test images")):
            raise UserError(f"--out {out}: expected an empty folder or one of {facts['benchmark']}; choose another")
        return
    write_text(path, json.dumps(facts, indent=1) + "\n")


def array_items(corruptions: Sequence[str], setting: Setting, out: Path) -> list[WorkItem]:
    """Return the work of writing ``<corruption>.npy``: a slice a severity, then all five as one file."""
    items = []
    for name in corruptions:
        whole = out / f"{name}.npy"
        if whole.exists():
            continue
        slices = [out / f".{name}.{level}.npy" for level in LEVELS]
        todo = [(level, path) for level, path in zip(LEVELS, slices, strict=True) if not path.exists()]
        items += [WorkItem(f"{name} {level}", partial(write_slice, name, level, setting, path)) for level, path in todo]
        needs = tuple(f"{name} {level}" for level, _ in todo)
        items.append(WorkItem(name, partial(join_slices, slices, whole), needs))
    return items


def folder_items(corruptions: Sequence[str], setting: Setting, out: Path) -> list[WorkItem]:
    """Return the work of writing ``<corruption>/<severity>/<class>/*.JPEG``."""
    return [
        WorkItem(f"{name} {level}", partial(write_folder, name, level, setting, out / name / level))
        for name in corruptions
        for level in LEVELS
        if not (out / name / level).exists()
    ]


def write_slice(corruption: str, level: str, setting: Setting, path: Path) -> None:
    """Write the images (N, S, S, 3) uint8 of one severity to ``path``, whole."""
    benchmark = MadeCorruptions(setting.dataset.name)
    pieces = [
        pixels.permute(0, 2, 3, 1).cpu().numpy()
        for cell in part_cells(Cell("", benchmark.name, corruption, level), benchmark, setting)
        for pixels, _, _ in benchmark.corrupted(cell, setting)
    ]
    write_array(path, np.concatenate(pieces))


def join_slices(slices: Sequence[Path], whole: Path) -> None:
    """Write the images of all severities to ``whole`` and remove the ``slices``."""
    write_array(whole, np.concatenate([np.load(path, mmap_mode="r") for path in slices]))
    for path in slices:
        path.unlink()


def write_folder(corruption: str, level: str, setting: Setting, folder: Path) -> None:
    """Write the images of one severity as JPEG files below ``folder``, which appears when all are there."""
    benchmark, dataset = MadeCorruptions(setting.dataset.name), setting.dataset
    hidden = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(hidden, ignore_errors=True)
    for name in dataset.classes:
        (hidden / name).mkdir(parents=True)
    for cell in part_cells(Cell("", benchmark.name, corruption, level), benchmark, setting):
        for pixels, labels, index in benchmark.corrupted(cell, setting):
            images = pixels.permute(0, 2, 3, 1).cpu().numpy()
            for image, label, position in zip(images, labels.tolist(), index.tolist(), strict=True):
                # Numbered in the order of the test images, which a listing by name keeps.
                path = hidden / dataset.classes[label] / f"{position:08d}.JPEG"
                Image.fromarray(image).save(path, "JPEG", quality=JPEG_QUALITY, optimize=True)
    hidden.replace(folder)


def write_array(path: Path, array: NDArray[np.uint8]) -> None:
    """Write ``array`` to ``path``, whole."""

    def save(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.save(file, array)

    write_whole(path, save)
