"""``robustbench-msda augment``."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def augment() -> None:
    """Look at augmentations."""


@augment.command(epilog="Example: robustbench-msda augment preview cutmix fmix dynmix --out grid.png")
@click.argument("names", nargs=-1, required=True, metavar="AUGMENTATION...")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A picture, a class of its own; give two or more.  [default: scikit-learn's two photographs]",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("preview.png"), show_default=True)
@click.option("--size", type=click.IntRange(8, 1024), default=128, show_default=True, help="Side of the pictures.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draws.")
def preview(names: tuple[str, ...], images: tuple[Path, ...], out: Path, size: int, seed: int) -> None:
    """Draw what augmentations do to pictures: mixed images, masks and label shares, a row a method.

    Saliency and attacks are those of local contrast, which stands in for a trained network.
    """
    from robustbench_msda.preview import preview as draw

    draw(names, images, out, size=size, seed=seed)
    click.echo(str(out))
