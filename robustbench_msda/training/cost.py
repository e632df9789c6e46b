"""What a training cost: time, and the size of the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch
from torch.utils.flop_counter import FlopCounterMode

from robustbench_msda.files import write_text
from robustbench_msda.models.evaluation_mode import evaluation_mode
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.provenance import processor
from robustbench_msda.results.store import COST, TrainingCost


def write_cost(
    model: Normalised, side: int, rows: Sequence[dict[str, float]], steps: int, processes: int, out: Path
) -> None:
    """Write ``cost.json`` to the run folder ``out``.

    Args:
        model: the network.
        side: height and width of its images.
        rows: the log, a row an epoch.
        steps: of an epoch.
        processes: that shared them.
        out: the run folder.
    """
    # The first epoch pays for warming up: caches, kernels, worker processes.
    counted = rows[1:] or rows
    seconds = fmean(row["seconds"] for row in counted)
    cost = TrainingCost(
        parameters=sum(each.numel() for each in model.parameters() if each.requires_grad),
        flops=forward_flops(model, side),
        epochs=len(counted),
        epoch_seconds=seconds,
        step_seconds=seconds / steps,
        images_per_s=fmean(row["images_per_s"] for row in counted),
        device=torch.cuda.get_device_name(model.mean.device) if model.mean.is_cuda else processor(),
        processes=processes,
        threads=torch.get_num_threads(),
    )
    write_text(out / COST, cost.model_dump_json(indent=1) + "\n")


def forward_flops(model: Normalised, side: int) -> int:
    """Return the floating-point operations of the forward pass of one image: two for a multiplication and addition.

    Counted are convolutions, matrix products and attention, as torch's own counter does.
    """
    image = torch.zeros(1, len(model.mean), side, side, device=model.mean.device)
    with evaluation_mode(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    return int(counter.get_total_flops())
