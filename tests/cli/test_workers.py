"""Who does the work of a study, as the command line says it."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from robustbench_msda.cli.main import status
from robustbench_msda.cli.run import placed
from robustbench_msda.cli.workers import made
from robustbench_msda.engines import Workers
from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.evaluation import Place


def test_options_of_an_engine_are_what_its_library_takes() -> None:
    texts = (
        "slurm_partition=gpu",
        "timeout_min=600",
        "slurm_time=12:30:00",
        "slurm_account=0123",
        "slurm_exclusive=true",
        'slurm_setup=["module load cuda"]',
    )
    options = made(3, 2, "slurm", "", texts).options
    assert options == {
        "slurm_partition": "gpu",
        "timeout_min": 600,
        "slurm_time": "12:30:00",
        "slurm_account": "0123",
        "slurm_exclusive": True,
        "slurm_setup": ["module load cuda"],
    }
    assert made(3, 2, "ray", "auto", ()) == Workers(3, 2, "ray", "auto", {})


def test_mistakes_in_them_are_named() -> None:
    with pytest.raises(click.UsageError, match="--engine-option gpu: expected NAME=VALUE"):
        made(1, 0, "slurm", "", ("gpu",))
    with pytest.raises(UnknownName, match="unknown engine 'slrum'. Did you mean slurm"):
        made(1, 0, "slrum", "", ())


def test_other_machines_choose_the_gpu() -> None:
    here = Place(device="cpu")
    assert placed(here, "local", "cpu") == here
    assert placed(here, "ray", "") == here
    assert placed(here, "slurm", "cuda") == Place(device="cuda")
    with pytest.raises(UserError, match="^--device cuda:1: with --engine ray expected cpu or cuda; the engine chooses"):
        placed(here, "ray", "cuda:1")


STUDY = """
claim = "Nothing is begun"
[recipe]
dataset = "digits"
model = "small_cnn"
epochs = 1
[grid]
augmentation = ["vanilla"]
[benchmarks]
clean = 10
"""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--address=auto"], "error: --address: processes of this machine have none; give --engine ray or slurm"),
        (["--engine=sulrm"], "error: unknown engine 'sulrm'. Did you mean slurm?"),
        (["--engine=ray", "--device=cuda:1"], "error: --device cuda:1: with --engine ray expected cpu or cuda"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_begun(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    folders = [f"--{name}={tmp_path / name}" for name in ("runs", "results", "reports")]
    assert status(["run", str(tmp_path / "study.toml"), *folders, *options]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(told)
    assert not (tmp_path / "runs").exists()
