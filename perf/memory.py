"""Peak anonymous memory of an evaluation, stored and made: what a laptop must have, file caches left out."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from perf.evaluation import MODEL, untrained
from perf.measure import Row
from robustbench_msda.data.prepare import prepare
from robustbench_msda.models.checkpoints import save

IMAGES = 10_000
CONDITIONS = ("fog", "contrast")
EVERY = 0.02
COMMAND = "from robustbench_msda.cli import main; main()"


def rows() -> Iterator[Row]:
    """Yield the peak of two evaluations at 32 px: from arrays as large as those of CIFAR-10-C, and made."""
    if not Path("/proc/self/status").exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        write_set(data_dir)
        save(untrained(data_dir), data_dir / "run" / "checkpoint.safetensors")
        for name, benchmark, limit in (("stored arrays", "perf_c", 1000), ("made", "perf_c_made", 100)):
            arguments = ["evaluate", data_dir / "run", "--benchmarks", benchmark, "--limit", limit, "--device", "cpu"]
            arguments += ["--data-dir", data_dir, "--results", data_dir / name]
            peak = peak_of([sys.executable, "-c", COMMAND, *map(str, arguments)])
            yield Row(f"memory/evaluation {name}", peak, peak, peak, f"GB, peak of anonymous memory, {MODEL}")


def write_set(data_dir: Path) -> None:
    """Prepare a data set of noise, and arrays of two corruptions as large as those of CIFAR-10-C."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(IMAGES) % 10
    source, stored = data_dir / "source", data_dir / "perf_c"
    stored.mkdir()
    for split, n in (("train", 10), ("test", IMAGES)):
        (source / split).mkdir(parents=True)
        np.save(source / split / "images.npy", images[:n])
        np.save(source / split / "labels.npy", labels[:n])
    (source / "classes.txt").write_text("\n".join(f"class {k}" for k in range(10)) + "\n")
    prepare("perf", source, data_dir)
    np.save(stored / "labels.npy", np.tile(labels, 5).astype(np.uint8))
    for name in CONDITIONS:
        np.save(stored / f"{name}.npy", np.tile(images, (5, 1, 1, 1)))


def peak_of(command: list[str]) -> float:
    """Return the largest anonymous memory of a process while it runs, in GB, sampled every 20 ms.

    Raises:
        RuntimeError: the process failed.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        held = [line.split() for line in status.splitlines() if line.startswith("RssAnon")]
        peak = max([peak, *(int(kilobytes) for _, kilobytes, _ in held)])
        time.sleep(EVERY)
    if process.returncode:
        raise RuntimeError(f"the evaluation ended with status {process.returncode}")
    return peak * 1024 / 1e9
