"""The root of the command line, and what becomes of failures."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from robustbench_msda import __version__
from robustbench_msda.cli import (
    augment,
    compare,
    data,
    evaluate,
    listing,
    models,
    report,
    results,
    run,
    score,
    tables,
    train,
    transfer,
)
from robustbench_msda.errors import UserError

DONE, USER_ERROR, INTERRUPTED = 0, 1, 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: robustbench-msda evaluate runs/my-run",
)
@click.version_option(__version__, prog_name="robustbench-msda")
def commands() -> None:
    """Train and evaluate image classifiers under mixed-sample data augmentation."""


for command in (
    *(train.train, evaluate.evaluate, transfer.transfer, score.score, compare.compare, run.run),
    *(tables.tables, report.figures, report.report, results.results, data.data, augment.augment),
    *(models.models, listing.list_),
):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status.

    0 done; 1 a mistake of the user's, one line on stderr; 2 usage; 3 some of the work failed and is named;
    130 interrupted: the same command goes on.
    """
    sys.exit(status(arguments))


def status(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status of the command line."""
    try:
        returned = commands.main(args=arguments, prog_name="robustbench-msda", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; the same command goes on where it was", err=True)
        return INTERRUPTED
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        return USER_ERROR
    except OSError as error:
        click.echo(f"error: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        return USER_ERROR
    return returned if isinstance(returned, int) else DONE
