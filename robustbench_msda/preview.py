"""What augmentations do to pictures: a labelled grid of mixed images, masks and label shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.nn import functional

from robustbench_msda import augmentations
from robustbench_msda.augmentations.base import Augmentation
from robustbench_msda.data.decoding import View, decode_file, seen
from robustbench_msda.errors import UserError
from robustbench_msda.figures.style import FAINT, new_figure, style
from robustbench_msda.files import write_whole
from robustbench_msda.records import Batch
from robustbench_msda.streams import stream
from robustbench_msda.training.losses import soft_cross_entropy

# A change too small to change what a method finds salient, and a power of two: dividing by it rounds nothing away.
NUDGE = 2.0**-12
# How far the mean of a mask may be from the share in the label.
TOLERANCE = 0.01
# What is drawn for a mixing method is the first draw whose labels are mixed at least so much.
LEAST_SHARE = 0.15
TRIES = 100
# A method that leaves the labels alone so often never mixes them.
UNMIXED = 12
DPI = 100
# More methods than these are shown in two columns.
LONGEST = 6
# The same pictures give the same file: no date, no version.
UNDATED: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


@dataclass(frozen=True)
class Shown:
    """What a method made of one batch.

    Attributes:
        text: the method, as tables print it.
        images: (V, n, H, W, C) in [0, 1], what the network is trained on: V views of each of the n pictures.
        targets: (n, n), a row a picture: the share of each picture in its label.
        masks: (n, n, H, W), the share of every picture in each pixel of every mixed one; None where labels stay.
    """

    text: str
    images: NDArray[np.float32]
    targets: NDArray[np.float32]
    masks: NDArray[np.float32] | None


def preview(texts: Sequence[str], pictures: Sequence[Path], out: Path, *, size: int = 128, seed: int = 0) -> None:
    """Draw what augmentations do to pictures into ``out``.

    Args:
        texts: augmentations, such as ``dropmix(0.4, of=cutmix)``.
        pictures: files, each a class of its own; none for scikit-learn's two sample photographs.
        out: the file; its suffix is the format.
        size: side of the square cut from the middle of every picture, in pixels.
        seed: of the draws.

    Raises:
        UserError: an augmentation cannot be read or cannot take this size, or a file is no picture or cannot be
            written.
    """
    kind = out.suffix[1:].lower()
    if kind not in FigureCanvasBase.get_supported_filetypes():
        raise UserError(f"--out {out}: expected a picture such as grid.png or grid.svg")
    images = opened(pictures, size)
    shown = [show(text, images, seed) for text in texts]
    with style():
        figure = grid(shown, images)
        write_whole(out, lambda path: figure.savefig(path, format=kind, dpi=DPI, metadata=UNDATED.get(kind)))


def opened(pictures: Sequence[Path], size: int) -> Tensor:
    """Return the middles of pictures, (n, C, size, size) float32 in [0, 1], their shorter side resized to ``size``.

    C is 1 where all of them are grey: methods are shown what a network of one channel is trained on.

    Args:
        pictures: files; none for scikit-learn's two photographs.
        size: height and width.

    Raises:
        UserError: a file is not there or no picture; or there is one only, and nothing to mix it with.
    """
    view = View(size, short=size)
    if len(pictures) == 1:
        raise UserError("--image is given once: expected two pictures or more, or none for two photographs")
    if pictures:
        found = np.stack([decode_file(path, view) for path in pictures])
    else:
        found = np.stack([np.asarray(seen(Image.fromarray(each), view)) for each in load_sample_images().images])
    kept = found[..., :1] if (found == found[..., :1]).all() else found
    return torch.from_numpy(kept).permute(0, 3, 1, 2).float().div_(255)


def show(text: str, images: Tensor, seed: int) -> Shown:
    """Return what the method ``text`` makes of ``images`` (n, C, H, W) in [0, 1], each of its own class.

    The draw is the first whose mixing can be seen, where there is one. Saliency and attacks are those of
    ``Contrast``.

    Raises:
        UserError: the method cannot be read, or cannot mix images of this size.
    """
    method = augmentations.parse(text)
    side = (images.shape[2], images.shape[3])
    if reason := method.refusal(Contrast(len(images), images.shape[1]), side):
        raise UserError(reason)
    batch = Batch(images, torch.eye(len(images)), torch.arange(len(images)))
    key, masks = mixing_draw(method, batch, seed)
    views, targets = fed(method, batch, seed, key)
    stacked = views.reshape(-1, *images.shape).permute(0, 1, 3, 4, 2).clamp(0, 1)
    return Shown(augmentations.short(text), stacked.numpy(), targets.numpy(), masks)


def mixing_draw(method: Augmentation, batch: Batch, seed: int) -> tuple[int, NDArray[np.float32] | None]:
    """Return the number of the first draw whose mixing can be seen, and its masks; 0 and None where there is none."""
    ever = False
    for key in range(TRIES):
        targets = fed(method, batch, seed, key)[1]
        if mixes(targets):
            masks = shares(method, batch, seed, key)
            # Not where hidden features are mixed, nor where the change moved what is salient.
            if np.allclose(masks.mean((2, 3)), targets.clamp(0, 1), atol=TOLERANCE):
                return key, masks
        ever |= not torch.equal(targets, batch.targets)
        if key >= UNMIXED and not ever:
            break
    return 0, None


class Contrast(nn.Module):
    """A network that sees local contrast alone: what it finds salient is where a pixel differs from those around it.

    It stands in for a trained one; random weights find every pixel alike.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((channels, 1, 1), 0.5))
        self.register_buffer("weights", torch.arange(classes) / classes)
        self.layer1, self.layer2 = nn.Identity(), nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of ``images`` (B, C, H, W)."""
        hidden = self.layer2(self.layer1(images))
        around = functional.avg_pool2d(hidden, 5, stride=1, padding=2, count_include_pad=False)
        contrast: Tensor = (hidden - around).square().mean((1, 2, 3))
        return contrast[:, None] * self.get_buffer("weights")


def fed(method: Augmentation, batch: Batch, *key: int) -> tuple[Tensor, Tensor]:
    """Return the images (V·n, C, H, W) a method trains a network on, and the targets (n, K) it asks for."""
    images: list[Tensor] = []
    asked: list[Tensor] = []
    model = Contrast(batch.targets.shape[1], batch.images.shape[1]).train()
    # In evaluation mode it is only asked for saliency or attacked.
    model.register_forward_pre_hook(
        lambda module, inputs: images.append(inputs[0].detach()) if module.training else None
    )

    def criterion(logits: Tensor, targets: Tensor) -> Tensor:
        if model.training:
            asked.append(targets)
        return soft_cross_entropy(logits, targets)

    method.loss(model, batch, criterion, stream("preview", *key))
    return images[-1], asked[-1]


def mixes(targets: Tensor) -> bool:
    """Return whether the labels of the first image are mixed enough to be seen."""
    return bool(((targets[0] > LEAST_SHARE) & (targets[0] < 1 - LEAST_SHARE)).any())


def shares(method: Augmentation, batch: Batch, *key: int) -> NDArray[np.float32]:
    """Return (n, n, H, W): how much each pixel of every mixed image changes with each of the pictures.

    Pictures are brightened one at a time, by the same draws: what a method does with content does not change, and the
    change of a pixel is the share of that picture in it, patches that were moved included.
    """
    before, _ = fed(method, batch, *key)
    found = []
    for source in range(len(batch.images)):
        brighter = batch.images.clone()
        brighter[source] += NUDGE
        after, _ = fed(method, replace(batch, images=brighter), *key)
        found.append((after - before).mean(1) / NUDGE)
    return torch.stack(found, 1).numpy()


def grid(shown: Sequence[Shown], images: Tensor) -> Figure:
    """Return the figure: the pictures, then a row a method, side by side where there are many."""
    blocks = 1 if len(shown) <= LONGEST else 2
    rows = -(-len(shown) // blocks)
    widest = max(columns(row) for row in shown)
    width = max(blocks * widest, len(images))
    figure = new_figure("", height=1.45 * (rows + 1) + 0.2, width=1.35 * width + 1.3 * blocks)
    axes = figure.subplots(rows + 1, width, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, picture in enumerate(images):
        draw(axes[0][number], picture.permute(1, 2, 0).numpy(), letter(number))
    heading(axes[0][0], "pictures")
    for number, row in enumerate(shown):
        block, line = divmod(number, rows)
        draw_row(row, axes[line + 1][block * widest : (block + 1) * widest])
    return figure


def columns(row: Shown) -> int:
    """Return how many pictures a row has."""
    return len(row.images) * (1 if row.masks is None else len(row.targets)) + (row.masks is not None)


def draw_row(row: Shown, axes: Sequence[Axes]) -> None:
    """Draw a method's row: all mixed pictures and the mask of the first, or the views of the first."""
    heading(axes[0], row.text.replace("(", "(\n").replace(", ", ",\n"))
    if row.masks is None:
        for axis, view in zip(axes, row.images, strict=False):
            draw(axis, view[0], label(row.targets[0]))
        return
    for axis, picture, targets in zip(axes, row.images[-1], row.targets, strict=False):
        draw(axis, picture, label(targets))
    mask = axes[len(row.targets)]
    draw(mask, row.masks[0, 0], f"mask of A in the first: {row.masks[0, 0].mean():.2f}")


def draw(axis: Axes, picture: NDArray[np.float32], title: str) -> None:
    """Draw a picture (H, W, C), or a mask (H, W) of which white is 1, with its title below."""
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=True, linewidth=0.5)
    axis.text(0.5, -0.04, title, transform=axis.transAxes, ha="center", va="top", fontsize=7)


def heading(axis: Axes, text: str) -> None:
    """Write the name of a row to its left."""
    axis.text(-0.06, 0.5, text, transform=axis.transAxes, ha="right", va="center", fontsize=7.5, color=FAINT)


def letter(number: int) -> str:
    """Return the name of a picture, a capital letter."""
    return chr(ord("A") + number % 26)


def label(targets: NDArray[np.float32]) -> str:
    """Return a label such as ``0.63 A + 0.37 B``."""
    return " + ".join(f"{share:.2f} {letter(k)}" for k, share in enumerate(targets) if share > 0.005)
