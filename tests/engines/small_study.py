"""A study small enough to be run by every engine, through the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from robustbench_msda.results.scores import read_scores
from robustbench_msda.scoring import TRAINING

# The network is a file of the user's, named from the working folder: workers elsewhere have to find it.
NETWORK = """
from robustbench_msda.models.sources import build

def small(num_classes):
    return build("small_cnn", num_classes, {})
"""
STUDY = """
claim = "The engine makes no difference"
[recipe]
dataset = "digits"
epochs = 20
batch_size = 128
flip = 0.0
[grid]
model = ["net.py:small"]
seed = [0, 1]
augmentation = ["vanilla", "cutmix"]
[benchmarks]
clean = 0
fgsm = 50
"""


def written(folder: Path) -> list[str]:
    """Write the study into ``folder`` and return the command, with paths relative to it."""
    (folder / "net.py").write_text(NETWORK)
    (folder / "small.toml").write_text(STUDY)
    places = ["--runs=runs", "--results=results", "--reports=reports", "--device=cpu"]
    return ["run", "small.toml", "--threads=1", *places]


def begin(folder: Path, *more: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Begin the study in ``folder``, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "robustbench_msda", *written(folder), "--workers=2", *more],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kept(folder: Path) -> dict[str, bytes]:
    """Return what the study left that must not depend on the engine: all but how long it took."""
    patterns = ("runs/*/*.safetensors", "results/predictions/**/*.npz", "results/comparisons/*")
    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    scores = read_scores(folder / "results" / "scores" / "small.csv.gz")
    found = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return {**found, "scores": scores[scores["benchmark"] != TRAINING].to_csv(index=False).encode()}
