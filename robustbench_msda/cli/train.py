"""``robustbench-msda train``."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_msda.cli import options


@click.command(
    epilog="Example: robustbench-msda train digits --model small_cnn --augmentation 'dropmix(0.4, of=cutmix)' "
    "--set flip=0 --epochs 8"
)
@click.argument("dataset")
@click.option("--model", required=True, help="A model source, such as resnet20 or path/to/net.py:build.")
@click.option("--augmentation", default="vanilla", show_default=True, help="Such as 'dropmix(0.4, of=cutmix)'.")
@click.option("--preset", default="", help="Settings of a paper, such as r_snu; other options override them.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training set.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights, order, crops, mixing.")
@click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Any other field of a recipe, such as lr=0.2."
)
@click.option("--out", type=options.FOLDER, help="The run folder.  [default: runs/ and a name made from the recipe]")
@click.option(
    "--workers", type=click.IntRange(0), show_default="threads - 1", help="Processes that decode pictures of any size."
)
@click.option("--compile", "compiled", is_flag=True, help="Let torch.compile make the forward pass.")
@click.option("--tensorboard", is_flag=True, help="Also write the log for TensorBoard, to the run folder.")
@options.data_dir
@options.device
def train(  # noqa: PLR0913
    out: Path | None,
    data_dir: Path,
    device: str,
    settings: tuple[str, ...],
    workers: int | None,
    compiled: bool,
    tensorboard: bool,
    **fields: object,
) -> None:
    """Train a network on DATASET, or go on with a training that was stopped.

    The run folder gets checkpoint.safetensors, which describes itself, and log.csv, a row an epoch. After a kill the
    same command goes on to the same weights, bit for bit. For many GPUs, of one machine or several, put torchrun before
    it and share the batch out: torchrun --nproc-per-node 4 -m robustbench_msda train … --set replicas=4
    """
    from robustbench_msda import verbs
    from robustbench_msda.cli.display import progress
    from robustbench_msda.progress import silent
    from robustbench_msda.training import Execution, leads

    given = {name: value for name, value in fields.items() if value not in ("", None)} | assignments(settings)
    recipe = verbs.recipe(given, "train")
    folder = out or Path("runs") / recipe.folder
    place = options.place(data_dir, Path("results"), device)
    how = Execution(-1 if workers is None else workers, compiled, tensorboard)
    if not leads():
        verbs.train(recipe.model_dump(), folder, place=place, how=how, progress=silent)
        return
    with progress(f"training {recipe.model}", "steps") as update:
        checkpoint = verbs.train(recipe.model_dump(), folder, place=place, how=how, progress=update)
    click.echo(f"{folder / 'checkpoint.safetensors'}  fingerprint {checkpoint.fingerprint}  recipe {recipe.id}")


def assignments(texts: tuple[str, ...], option: str = "--set") -> dict[str, object]:
    """Return the ``FIELD=VALUE`` texts of ``option`` as settings; values are read as TOML reads them, else as text.

    Raises:
        UsageError: a text has no ``=``.
    """
    import tomllib

    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"{option} {text}: expected NAME=VALUE")
        try:
            found[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name.strip()] = value.strip()
    return found
