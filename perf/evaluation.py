"""Evaluation against bare forward passes, and made stimuli against stored ones: same network, images and threads."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from perf.measure import Row, paired, summary
from robustbench_msda import evaluation
from robustbench_msda.corrupting import write_corrupted
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.data.prepare import prepare
from robustbench_msda.evaluation import Place
from robustbench_msda.evaluation.run import do
from robustbench_msda.models.checkpoints import Checkpoint, network
from robustbench_msda.models.sources import build
from robustbench_msda.results.store import Results

IMAGES = 500
BATCH = 250
# Of each corruption, where all of them are evaluated.
LIMIT = 100
MODEL = "resnet20"


def rows() -> Iterator[Row]:
    """Yield evaluation images/s over bare forward images/s: clean images from disk, and made corruptions."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        noise_images(data_dir)
        write_corrupted("perf", data_dir, data_dir / "perf_c")
        checkpoint = untrained(data_dir)
        model = network(checkpoint, "cpu")
        bare = bare_forward(model, data_dir)
        results = Results(data_dir / "results")
        plan = evaluation.plan(checkpoint, {"clean": 0, "perf_c": 0, "perf_c_made": 0}, Place(data_dir, results.root))
        wanted = [("clean", "clean"), ("stored arrays", "perf_c"), ("made gaussian_noise", "perf_c_made")]
        for name, benchmark in wanted:
            task = next(t for t in plan.tasks if t.cell.benchmark == benchmark)
            ratios = paired(bare, partial(evaluated, [task], model, data_dir))
            yield summary(f"evaluation/{name}", ratios, f"images/s, evaluation / bare forward, {MODEL}, one core")
        plan = evaluation.plan(checkpoint, {"perf_c": LIMIT, "perf_c_made": LIMIT}, Place(data_dir, results.root))
        tasks = [task for task in plan.tasks if task.cell.level == "3"]
        stored, made = ([t for t in tasks if t.cell.benchmark == name] for name in ("perf_c", "perf_c_made"))
        ratios = paired(partial(evaluated, stored, model, data_dir), partial(evaluated, made, model, data_dir))
        unit = f"images/s, made / stored arrays, {MODEL}, {len(made)} corruptions at severity 3, one core"
        yield summary("evaluation/made over stored", ratios, unit)


def evaluated(tasks: Sequence[evaluation.Task], model: nn.Module, data_dir: Path) -> None:
    """Do the cells ``tasks``."""
    for task in tasks:
        do(task, model, Results(data_dir / "results"), lambda _: None)


def noise_images(data_dir: Path, images: int = IMAGES) -> None:
    """Prepare a data set of ``images`` of noise to test on: what the pixels show does not matter to speed."""
    rng = np.random.default_rng(0)
    source = data_dir / "source"
    for split, n in (("train", 10), ("test", images)):
        (source / split).mkdir(parents=True)
        np.save(source / split / "images.npy", rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8))
        np.save(source / split / "labels.npy", np.arange(n, dtype=np.int64) % 10)
    (source / "classes.txt").write_text("\n".join(f"class {k}" for k in range(10)) + "\n")
    prepare("perf", source, data_dir)


def untrained(data_dir: Path) -> Checkpoint:
    """Return a checkpoint with fresh weights."""
    dataset = open_dataset("perf", data_dir)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build(MODEL, 10, {}).state_dict()
    return Checkpoint(state, MODEL, {}, dataset.mean, dataset.std, dataset.classes, dataset.name)


def bare_forward(model: nn.Module, data_dir: Path) -> Callable[[], None]:
    """Return the limit: forward passes over the same images, already float and in memory."""
    pixels = torch.from_numpy(np.array(open_dataset("perf", data_dir).images("test")))
    batches: tuple[Tensor, ...] = pixels.permute(0, 3, 1, 2).contiguous().float().div_(255).split(BATCH)

    def forward() -> None:
        with torch.no_grad():
            for batch in batches:
                model(batch)

    return forward
