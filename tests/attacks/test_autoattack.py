"""AutoAttack's wrapper, against a stand-in for its package: the real one is on no registry."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from attack_stimuli import small_network, starts, stimuli
from torch import Tensor, nn

from robustbench_msda import attacks, evaluation
from robustbench_msda.attacks.base import perform
from robustbench_msda.attacks.ensemble import AutoAttack
from robustbench_msda.benchmarks import Setting, benchmarks_of
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.evaluation import Place
from robustbench_msda.streams import stream

SETTING = Setting(open_dataset("digits", Path()), Path(), torch.device("cpu"), limit=4)


class Theirs:
    """Takes what fra31/auto-attack 1b76134 takes, seeds torch as it does, and steps out of the ball."""

    made: tuple[object, ...] = ()

    def __init__(  # noqa: PLR0913
        self,
        model: nn.Module,
        norm: str = "Linf",
        eps: float = 0.3,
        seed: int | None = None,
        verbose: bool = True,  # noqa: FBT001, FBT002
        attacks_to_run: tuple[str, ...] = (),
        version: str = "standard",
        is_tf_model: bool = False,  # noqa: FBT001, FBT002
        device: str = "cuda",
        log_path: str | None = None,
    ) -> None:
        assert not model.training
        assert isinstance(seed, int)
        self.eps, self.seed = eps, seed
        Theirs.made = (norm, eps, verbose, attacks_to_run, version, is_tf_model, device, log_path)

    def run_standard_evaluation(self, x_orig: Tensor, y_orig: Tensor, bs: int = 250) -> Tensor:
        assert bs == len(x_orig) == len(y_orig)
        print("using standard version")  # noqa: T201
        torch.manual_seed(self.seed)
        return (x_orig + 1.001 * self.eps * (2 * torch.rand(x_orig.shape) - 1).sign()).clamp(0, 1)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("autoattack")
    module.AutoAttack = Theirs  # type: ignore[attr-defined]
    module.__spec__ = ModuleSpecLike  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "autoattack", module)


class ModuleSpecLike:
    name = "autoattack"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("text", "norm"), [("autoattack", "Linf"), ("l2_autoattack", "L2")])
def test_the_package_is_called_as_it_is_written(text: str, norm: str, capsys: pytest.CaptureFixture[str]) -> None:
    attack, (images, labels) = attacks.parse(text), stimuli()
    state = torch.get_rng_state()
    first = perform(attack, small_network(), images, labels, 0.25, starts(attack))
    assert Theirs.made == (norm, 0.25, False, (), "standard", False, "cpu", None)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert torch.equal(perform(attack, small_network(), images, labels, 0.25, starts(attack)), first)
    other = starts(attack) + 1
    assert not torch.equal(perform(attack, small_network(), images, labels, 0.25, other), first)
    assert (first - images).flatten(1).abs().max() <= 0.25 + 1e-6
    assert capsys.readouterr().out == ""


def test_seeds_are_whole_and_survive_float32() -> None:
    draws = [AutoAttack().draw(stream("test", i), (3, 8, 8)) for i in range(50)]
    assert len({float(draw[0]) for draw in draws}) == 50
    assert all(draw.shape == (1,) and draw[0] == int(draw[0]) < 1 << 24 for draw in draws)


@pytest.mark.usefixtures("installed")
def test_it_runs_where_it_is_installed_and_named(tmp_path: Path) -> None:
    benchmark = benchmarks_of("digits")["autoattack"]
    assert benchmark.needs(SETTING) is None
    assert benchmark.unasked(SETTING) is not None
    few = replace(SETTING.dataset, classes=("a", "b"))
    missing = benchmark.needs(replace(SETTING, dataset=few))
    assert missing is not None
    assert "nine other classes, the data set has 2" in missing.reason
    (cell,) = benchmark.cells("f", SETTING)
    assert cell.level == "8/255"
    (batch,) = benchmark.stimuli(cell, SETTING, small_digits())
    assert batch.delta_max is not None
    assert (batch.delta_max <= 8 / 255 + 1e-6).all()
    assert "zero_gradient" not in batch.checks


def test_without_the_package_it_is_skipped_with_that_reason(tmp_path: Path) -> None:
    from networks import fresh_checkpoint

    plan = evaluation.plan(fresh_checkpoint(), {"autoattack": 4, "l2_autoattack": 4}, Place(tmp_path, tmp_path))
    assert plan.tasks == ()
    assert plan.skipped["autoattack"].reason == "the package autoattack is not installed"
    assert "fra31/auto-attack" in plan.skipped["l2_autoattack"].remedy


def small_digits() -> nn.Module:
    """Return a network of ten classes for images of any size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 10)).eval().requires_grad_(False)
