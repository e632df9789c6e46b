"""Predictions to keep, and where they are kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from robustbench_msda.records import Cell, Predictions, World
from robustbench_msda.results.store import CheckpointRecord, Results, Sidecar, world_facts
from robustbench_msda.streams import stream

WORLD = World("d" * 64, 1, limit=100)
CELL = Cell("0123456789ab", "digits_adversarial", "pgd(steps=40, rel_stepsize=0.0333)", "8/255", "", 0)
RECORD = CheckpointRecord(
    fingerprint="0123456789ab",
    source="resnet20",
    options={"in_chans": 1, "rate": 0.5},
    dataset="digits",
    classes=("zero", "one"),
    mean=(0.1, 0.2, 0.3),
    std=(0.5, 0.5, 0.5),
    path="runs/a",
    recipe={"lr": 0.1, "milestones": [0.5]},
    seed=0,
)


def made(n: int = 7, seed: int = 0) -> Predictions:
    """Return predictions with every column."""
    rng = stream("test", "predictions", seed)
    logits = rng.normal(size=(n, 6)).astype(np.float32)
    return Predictions(
        index=np.arange(n, dtype=np.int32),
        frame=np.zeros(n, np.int16),
        label=rng.integers(-1, 6, n).astype(np.int16),
        top5=np.argsort(-logits, axis=1)[:, :5].astype(np.int16),
        top5_logit=-np.sort(-logits, axis=1)[:, :5],
        label_logit=np.where(np.arange(n) % 2, np.float32(np.nan), np.float32(1)),
        logsumexp=np.log(np.exp(logits).sum(1)),
        sum_p2=rng.random(n).astype(np.float32),
        logits=logits,
        targets=rng.random((n, 6)).astype(np.float32),
        delta_max=rng.random(n).astype(np.float32),
    )


def sidecar(cell: Cell = CELL, world: World = WORLD) -> Sidecar:
    return Sidecar(
        cell=cell,
        world=world_facts(world),
        n=7,
        parts=1,
        seconds=0.5,
        batch_size=250,
        device="cpu",
        threads=1,
        host="here",
        created="2026-01-01T00:00:00+00:00",
        versions={"torch": "2.0"},
    )


def same(a: Predictions, b: Predictions) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(Predictions)]
    return all(
        (ours is None) == (theirs is None)
        and (ours is None or (ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()))
        for ours, theirs in pairs
    )


def kept(folder: Path) -> Path:
    """Keep predictions in ``folder`` and return their file."""
    results = Results(folder)
    results.write(WORLD, made(), sidecar())
    return results.path(CELL, WORLD)
