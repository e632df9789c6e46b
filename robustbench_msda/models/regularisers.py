"""Layers that drop parts of a residual branch while training: stochastic depth, DropBlock, ShakeDrop.

They hold no weights, so a network has the same state dict with and without them. They draw from torch's default
generator of the branch's device, ShakeDrop's gate from the CPU's.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, FunctionCtx
from torch.nn import functional

from robustbench_msda.models.stages import stages

# Ghiasi et al. drop blocks in the last two groups of a ResNet-50 only.
DROP_BLOCK_STAGES = 2
# What Yun et al., "CutMix", ICCV 2019, compare with on CIFAR-100, at a rate of 0.1.
SIDE = 4

Network = TypeVar("Network", bound=nn.Module)


class DropBlock(nn.Module):
    """DropBlock: Ghiasi et al., NeurIPS 2018, https://arxiv.org/abs/1810.12890, algorithm 1, a mask a channel.

    Differs from the paper: the rate does not rise over the training run.
    """

    def __init__(self, rate: float, side: int = SIDE) -> None:
        super().__init__()
        self.rate, self.side = rate, side

    def forward(self, branch: Tensor) -> Tensor:
        """Return (B, C, H, W) with square blocks set to 0 and the rest scaled by all / kept; when evaluating, as is."""
        if not self.training:
            return branch
        height, width = branch.shape[-2:]
        side = min(self.side, height, width)
        # A seed is the upper left corner of its block, and lies only where the whole block fits.
        rows, columns = height - side + 1, width - side + 1
        rate = min(1.0, self.rate / side**2 * height * width / (rows * columns))
        seeds = torch.rand(*branch.shape[:2], rows, columns, device=branch.device) < rate
        framed = functional.pad(seeds.to(branch.dtype), (side - 1, side - 1, side - 1, side - 1))
        kept = 1 - functional.max_pool2d(framed, side, 1)
        # In float32: bfloat16 cannot count them. A mask that keeps nothing leaves zeros, not NaN.
        return branch * kept * (kept.numel() / kept.sum(dtype=torch.float32).clamp(min=1))


class Shake(torch.autograd.Function):
    """Scales by one factor on the way forward and by another on the way back."""

    @staticmethod
    def forward(branch: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:  # noqa: ARG004 (for the way back)
        """Return ``alpha`` times ``branch``."""
        return branch * alpha

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        """Keep ``beta`` for the way back."""
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: BackwardCFunction, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return ``beta`` times ``gradient``; neither factor has a gradient."""
        (beta,) = ctx.saved_tensors
        return gradient * beta, None, None


class ShakeDrop(nn.Module):
    """ShakeDrop: Yamada et al., IEEE Access 2019, https://arxiv.org/abs/1802.02375, α in [-1, 1] and β in [0, 1].

    Differs from the paper: a factor an image, as in kakaobrain/fast-autoaugment 35b482a, shakedrop.py, not one a pixel.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Return (B, C, H, W) as is or, for the whole batch with probability ``rate``, shaken.

        A shaken branch is α times itself, its gradient β times what arrives, α and β drawn for every image. When
        evaluating, the branch is scaled by 1 − ``rate``, the mean of the factors.
        """
        if not self.training:
            return branch * (1 - self.rate)
        # Drawn on the CPU: a look at a draw of the accelerator would make every block wait for it.
        if float(torch.rand(())) >= self.rate:
            return branch
        alpha, beta = torch.rand(2, len(branch), 1, 1, 1, device=branch.device).to(branch.dtype)
        shaken: Tensor = Shake.apply(branch, 2 * alpha - 1, beta)
        return shaken


def regularised(network: Network, drop_path: float, drop_block: float, shake_drop: float = 0.0) -> Network:
    """Return ``network``, whose blocks now pass their residual branch through what has a rate above 0.

    Block l of L drops its branch at the rate l / L of ``drop_path`` or ``shake_drop``: Huang et al., "Deep networks
    with stochastic depth", ECCV 2016, eq. 4, https://arxiv.org/abs/1603.09382. Blocks of the last two stages drop
    squares at the rate ``drop_block``.

    Differs from the papers: stochastic depth draws for every image and scales while training, as timm does; DropBlock
    leaves the shortcuts whole, for at a rate of 0.1 the 44 that PyramidNet-200 has there would let 1 % through.

    Args:
        network: its stages are sequences of blocks that end their residual branch in ``drop``.
        drop_path: the rate of stochastic depth in the last block.
        drop_block: the share of the positions that DropBlock aims to drop.
        shake_drop: the rate of ShakeDrop in the last block.

    Raises:
        ValueError: a rate is outside [0, 1).
    """
    for name, rate in (("drop_path", drop_path), ("drop_block", drop_block), ("shake_drop", shake_drop)):
        if not 0 <= rate < 1:
            raise ValueError(f"expected {name} in [0, 1), got {rate}: it is the share of branches or positions dropped")
    groups = [list(stage.children()) for stage in stages(network)]
    late = {block for group in groups[-DROP_BLOCK_STAGES:] for block in group}
    blocks = [block for group in groups for block in group]
    for number, block in enumerate(blocks, 1):
        depth = number / len(blocks)
        block.drop = _layers(drop_block if block in late else 0.0, drop_path * depth, shake_drop * depth)
    return network


def _layers(drop_block: float, drop_path: float, shake_drop: float) -> nn.Module:
    rates = ((DropBlock, drop_block), (DropPath, drop_path), (ShakeDrop, shake_drop))
    chosen = [layer(rate) for layer, rate in rates if rate]
    return nn.Sequential(*chosen) if chosen else nn.Identity()
