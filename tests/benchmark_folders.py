"""Official benchmarks made small: their layouts, the files on disk, and archives of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustbench_msda.data.check_arrays import ArrayLayout
from robustbench_msda.data.check_folders import FolderLayout
from robustbench_msda.data.check_layouts import LAYOUTS

WNIDS = ("n01440764", "n01443537", "n01484850")
LABELS = np.arange(10)[::-1]


def small_arrays(monkeypatch: pytest.MonkeyPatch, name: str = "cifar10_c") -> ArrayLayout:
    """Make the benchmark ``name`` one of two conditions and an extra one, ten images a level."""
    layout = LAYOUTS[name]
    assert isinstance(layout, ArrayLayout)
    small = replace(layout, required=("fog", "snow"), extra=("spatter",), images=10, md5={})
    if layout.frames:
        small = replace(small, frames={"fog": 4, "snow": 3, "spatter": 4})
    monkeypatch.setitem(LAYOUTS, name, small)
    return small


def small_folders(monkeypatch: pytest.MonkeyPatch, name: str = "imagenet_c") -> FolderLayout:
    """Make the benchmark ``name`` one of two conditions and an extra one, three classes of two images."""
    layout = LAYOUTS[name]
    assert isinstance(layout, FolderLayout)
    small = replace(layout, required=("fog", "snow"), extra=("spatter",), classes=3, images=6, side=8)
    monkeypatch.setitem(LAYOUTS, name, small)
    return small


def array_files(layout: ArrayLayout) -> dict[str, bytes]:
    """Return the files of a benchmark of arrays."""
    rng = np.random.default_rng(0)
    arrays = {
        f"{name}.npy": rng.integers(0, 256, layout.shape(name), dtype=np.uint8) for name in ("fog", "snow", "spatter")
    }
    if not layout.frames:
        arrays["labels.npy"] = np.tile(LABELS, 5).astype(np.uint8)
    return {name: npy(array) for name, array in arrays.items()}


def folder_files(layout: FolderLayout) -> dict[str, bytes]:
    """Return the files of a benchmark of class folders."""
    files = {}
    for name in layout.tops:
        for level in layout.levels:
            for wnid in WNIDS:
                for number in range(layout.images // layout.classes):
                    path = "/".join(filter(None, (name, level, wnid, f"ILSVRC2012_val_{number:08d}")))
                    files[f"{path}{layout.suffix.upper()}"] = jpeg(layout.side, number)
    return files


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def jpeg(side: int, grey: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (grey, grey, grey)).save(out, "JPEG")
    return out.getvalue()


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def tar(files: Mapping[str, bytes], top: str = "", mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def on_disk(folder: Path) -> dict[str, bytes]:
    """Return the content of every file in a folder, by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
