"""``robustbench-msda transfer``."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_msda.cli import options


@click.command(
    epilog="Example: robustbench-msda transfer --sources augmentation=vanilla --targets dataset=cifar10 --limit 500"
)
@options.sources("Networks that are attacked; may be given several times.", required=True)
@click.option("--targets", multiple=True, required=True, metavar="SEL", help="Networks that answer; likewise.")
@click.option("--benchmarks", default="pgd", show_default=True, metavar="NAMES", help="Attacks, between commas.")
@options.limit
@click.option("--model", default="", help="A model source of theirs that is a file, and may be run.")
@options.data_dir
@options.results
@options.device
@options.batch_size
def transfer(  # noqa: PLR0913
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    benchmarks: str,
    limit: int,
    model: str,
    data_dir: Path,
    results: Path,
    device: str,
    batch_size: int,
) -> None:
    """Show what attacks make of each source to each target, then print the matrix: gray box, black box and white box.

    SEL is a run folder, a checkpoint, a fingerprint or its first digits, or fields such as
    augmentation=cutmix,model=resnet20. What an attack makes of a source is made once, under adversarial/ in the results
    folder, and may be deleted.
    """
    from robustbench_msda import transfers, verbs
    from robustbench_msda.cli.display import progress
    from robustbench_msda.opening import Foreign
    from robustbench_msda.tables.markdown import to_markdown
    from robustbench_msda.tables.transfer import transfer_matrix

    place = options.place(data_dir, results, device, batch_size)
    limits = dict.fromkeys(options.listed(benchmarks), limit)
    with progress("transfer", "images") as update:
        named = transfers.transfer(sources, targets, limits, foreign=Foreign(model), place=place, progress=update)
    scores = verbs.score(named, place=place, benchmarks=limits)
    click.echo(to_markdown(transfer_matrix(scores, scores)))
