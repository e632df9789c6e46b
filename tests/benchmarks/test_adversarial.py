"""White-box benchmarks: their stimuli, what is kept of them, and what is checked as they are made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from foolbox.attacks import LinfFastGradientAttack, LinfProjectedGradientDescentAttack
from foolbox.criteria import Misclassification
from foolbox.models.pytorch import PyTorchModel
from networks import contents, fresh_checkpoint, saved
from torch import Tensor, nn

from robustbench_msda import attacks, evaluation, verbs
from robustbench_msda.attacks.base import change
from robustbench_msda.attacks.deepfool import DeepFool
from robustbench_msda.benchmarks import Setting, benchmarks_of
from robustbench_msda.benchmarks.adversarial import AttackSuite, UnderAttack, attacks_of
from robustbench_msda.benchmarks.attack_checks import CHANGED, FLAT, LOST, UNLIKE
from robustbench_msda.data.datasets import open_dataset
from robustbench_msda.errors import DamagedData, UserError
from robustbench_msda.evaluation import Place
from robustbench_msda.models.checkpoints import network
from robustbench_msda.prediction import predict
from robustbench_msda.records import Batch, Cell, level_value
from robustbench_msda.results.store import read_predictions, read_sidecar
from robustbench_msda.streams import stream

SETTING = Setting(open_dataset("digits", Path()), Path(), torch.device("cpu"), limit=12, batch_size=5)
TABLE = benchmarks_of("digits")
FGSM = UnderAttack("fgsm", ("fgsm()",))
CELL = Cell("0" * 12, "fgsm", "fgsm()", "8/255")
# The sum of the pixels of a middling image.
DARK = 950
DEEPFOOL = AttackSuite("few", ("deepfool(steps=50, candidates=10, overshoot=0.02)",), ("0", "0.01", "0.1"))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return network(fresh_checkpoint(), "cpu")


def stimuli(benchmark: UnderAttack, cell: Cell, model: nn.Module, setting: Setting = SETTING) -> list[Batch]:
    return list(benchmark.stimuli(cell, setting, model))


def joined(batches: list[Batch]) -> Tensor:
    return torch.cat([batch.images for batch in batches])


def clean(setting: Setting = SETTING) -> tuple[Tensor, Tensor, Tensor]:
    """Return the clean images of the limit, their labels and their positions."""
    positions = np.arange(setting.limit) * 500 // setting.limit
    images = torch.from_numpy(np.array(setting.dataset.images("test")[positions])).permute(0, 3, 1, 2).float() / 255
    return images, torch.from_numpy(setting.dataset.labels("test")[positions].astype(np.int64)), positions


def test_the_cells_of_fgsm_and_pgd_are_what_they_were() -> None:
    """Committed results rest on these keys, and on these bits."""
    for name, text in (("fgsm", "fgsm()"), ("pgd", "pgd(steps=10, rel_stepsize=0.25)")):
        cells = list(TABLE[name].cells("f", SETTING))
        assert [(cell.condition, cell.level) for cell in cells] == [(text, f"{k}/255") for k in (1, 2, 4, 8)]
        assert TABLE[name].version == 1
        assert TABLE[name].unasked(SETTING) is None
    assert cells[0].filename == "pgd%28steps=10%2C%20rel_stepsize=0.25%29~1%2F255~~0"


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_the_images_are_foolboxs_from_the_stream_of_each(
    model: nn.Module, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = TABLE[name]
    cell = list(benchmark.cells("f", SETTING))[3]
    images, labels, positions = clean()
    starts = []
    for i in positions:
        rng = stream(name, 1, cell.condition, "8/255", int(i))
        starts.append(rng.uniform(-1, 1, size=(3, 32, 32)).astype(np.float32))
    theirs = (
        LinfFastGradientAttack()
        if name == "fgsm"
        else LinfProjectedGradientDescentAttack(steps=10, rel_stepsize=0.25, random_start=True)
    )
    start = torch.from_numpy(np.stack(starts)) * (8 / 255)
    monkeypatch.setattr(type(theirs), "get_random_start", lambda _, x0, __: x0 + type(x0)(start))
    wrapped = PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, expected, _ = theirs(wrapped, images, Misclassification(labels), epsilons=8 / 255)
    ours = joined(stimuli(benchmark, cell, model, replace(SETTING, batch_size=12)))  # type: ignore[arg-type]
    assert torch.equal(ours, expected)


def test_every_text_is_canonical_and_every_level_a_number() -> None:
    for benchmark in (*attacks_of("cifar10"), *attacks_of("imagenet")):
        assert [attacks.canonical(text) for text in benchmark.attacks] == list(benchmark.attacks)
        values = [level_value(level) for level in benchmark.levels]
        assert values == sorted(set(values))
        assert len({attacks.parse(text).norm for text in benchmark.attacks}) == 1
    epsilons = {benchmark.name: benchmark.levels for benchmark in attacks_of("imagenet")}
    assert epsilons["autoattack"] == ("4/255",)
    assert epsilons["fmix_attacks"][:3] == ("0", "0.0005", "0.001")
    assert len(epsilons["fmix_attacks"]) == 14
    assert set(epsilons["linf_attacks"]) < set(epsilons["fmix_attacks"])


def test_what_is_dear_runs_only_where_it_is_named(tmp_path: Path) -> None:
    checkpoint, place = fresh_checkpoint(), Place(tmp_path, tmp_path)
    unasked = evaluation.plan(checkpoint, 10, place)
    assert {task.cell.benchmark for task in unasked.tasks} >= {"clean", "fgsm", "pgd"}
    for name in ("linf_attacks", "fmix_attacks", "l2_attacks"):
        assert "forward passes an image" in unasked.skipped[name].reason
    named = evaluation.plan(checkpoint, {"fmix_attacks": 10}, place)
    assert len(named.tasks) == 5 * 14
    assert named.tasks[0].setting.adversarial == tmp_path / "adversarial"


def test_epsilon_zero_is_the_clean_image_and_costs_one_pass(model: nn.Module) -> None:
    suite = TABLE["fmix_attacks"]
    for cell in (cell for cell in suite.cells("f", SETTING) if cell.level == "0"):
        assert suite.passes(cell, SETTING) == 1
        assert torch.equal(joined(stimuli(suite, cell, model)), clean()[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("condition", TABLE["linf_attacks"].attacks)  # type: ignore[attr-defined]
def test_the_chance_of_an_image_is_its_own(model: nn.Module, condition: str) -> None:
    suite = TABLE["linf_attacks"]
    cell = Cell("f", suite.name, condition, "0.01")
    sizes = (joined(stimuli(suite, cell, model, replace(SETTING, batch_size=k))) for k in (12, 7))  # type: ignore[arg-type]
    one, other = sizes
    # A gradient that is nearly zero may change its sign with the batch: a few pixels.
    assert float(((one - other).abs() > 1e-6).float().mean()) < 0.01
    if "noise" in condition:
        assert torch.equal(one, other)
        assert not torch.equal(one, joined(stimuli(suite, cell._replace(level="0.01/1"), model)))  # type: ignore[arg-type]


def test_deepfool_runs_once_for_every_epsilon(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = replace(SETTING, adversarial=tmp_path)
    cells = list(DEEPFOOL.cells("f" * 12, kept))
    alone = [joined(stimuli(DEEPFOOL, cell, model)) for cell in cells]
    runs = []
    run = DeepFool.run
    monkeypatch.setattr(DeepFool, "run", lambda *arguments: runs.append(1) or run(*arguments))
    made = [stimuli(DEEPFOOL, cell, model, kept) for cell in cells]
    # Three batches of five, once.
    assert len(runs) == 3
    assert all(torch.equal(joined(one), other) for one, other in zip(made, alone, strict=True))
    assert [batch.checks[FLAT] for batch in made[2]] == [0, 0, 0]
    other = replace(kept, batch_size=12)
    assert torch.equal(joined(stimuli(DEEPFOOL, cells[2], model, other)), alone[2])
    assert len(runs) == 3
    assert [DEEPFOOL.passes(cell, kept) for cell in cells] == [1, 1, 1]
    cost = attacks.parse(cells[0].condition).passes
    assert [DEEPFOOL.passes(cell, SETTING) for cell in cells] == [1, cost, 1]
    (path,) = tmp_path.rglob("*.npy")
    assert path.relative_to(tmp_path).parts[0] == "f" * 12
    # Another limit is another world.
    stimuli(DEEPFOOL, cells[1], model, replace(kept, limit=10))
    assert len(list(tmp_path.rglob("*.npy"))) == 2


def test_a_set_that_is_damaged_is_named_and_one_that_is_interrupted_is_not_kept(
    model: nn.Module, tmp_path: Path
) -> None:
    kept = replace(SETTING, adversarial=tmp_path)
    cell = list(DEEPFOOL.cells("f" * 12, kept))[1]
    interrupted = DEEPFOOL.stimuli(cell, kept, model)
    next(interrupted)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".tmp"]
    interrupted.close()  # type: ignore[attr-defined]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    stimuli(DEEPFOOL, cell, model, kept)
    (path,) = tmp_path.rglob("*.npy")
    whole = path.read_bytes()
    for damaged in (whole[:-10], whole[:20], b"", np.zeros(3).tobytes()):
        path.write_bytes(damaged)
        with pytest.raises(DamagedData, match="delete it: it is made again"):
            stimuli(DEEPFOOL, cell, model, kept)
    np.save(path, np.zeros(12, np.float32))
    with pytest.raises(DamagedData, match=r"does not hold 12 images of \(3, 32, 32\)"):
        stimuli(DEEPFOOL, cell, model, kept)


class Odd(nn.Module):
    """The network with something wrong about it."""

    def __init__(self, whole: nn.Module, wrong: str) -> None:
        super().__init__()
        self.whole, self.wrong = whole, wrong
        self.norm = nn.BatchNorm2d(3)
        self.draws = torch.Generator().manual_seed(0)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        if self.wrong == "flat":
            images = (images * 255).round() / 255
        if self.wrong == "one flat":
            images = torch.where(images.flatten(1).sum(1)[:, None, None, None] > DARK, images, images.detach())
        if self.wrong == "batch statistics":
            images = self.norm.train()(images)
        if self.wrong == "noise":
            images = images + 0.1 * torch.rand(images.shape, generator=self.draws)
        if self.wrong == "no gradient":
            images = images.detach()
        answer: Tensor = self.whole(images)
        if self.wrong == "nan":
            answer = answer + 0 * (images - images).abs().sqrt().flatten(1).sum(1, keepdim=True)
        return answer


def counts(wrong: str, model: nn.Module, benchmark: UnderAttack = FGSM, cell: Cell = CELL) -> dict[str, int]:
    found: dict[str, int] = {}
    for batch in stimuli(benchmark, cell, Odd(model, wrong)):
        for name, count in batch.checks.items():
            found[name] = found.get(name, 0) + count
    return found


def test_a_sound_network_passes_every_check(model: nn.Module) -> None:
    assert counts("", model) == {FLAT: 0, LOST: 0, CHANGED: 0, UNLIKE: 0}


@pytest.mark.parametrize(
    ("wrong", "check", "expected"),
    [("flat", FLAT, 12), ("nan", FLAT, 12), ("batch statistics", CHANGED, 12), ("noise", UNLIKE, 5)],
)
def test_what_is_wrong_with_a_network_is_found(model: nn.Module, wrong: str, check: str, expected: int) -> None:
    found = counts(wrong, model)
    assert found[check] == expected
    sound = {FLAT, LOST} - {check}
    assert not any(found[name] for name in sound)


def test_images_without_a_gradient_are_counted_one_by_one(model: nn.Module) -> None:
    images, _, _ = clean()
    flat = int((images.flatten(1).sum(1) <= DARK).sum())
    assert 0 < flat < 12
    assert counts("one flat", model)[FLAT] == flat


SHORT = ["fgsm()", "pgd(steps=2, rel_stepsize=0.5)", "bim(steps=2, rel_stepsize=0.5)", "uniform_noise()"]
SHORT += ["deepfool(steps=2, candidates=3, overshoot=0.02)"]


@pytest.mark.parametrize("condition", [*SHORT, *(f"l2_{text}" for text in SHORT)])
def test_every_gradient_attack_counts_zero_gradients(model: nn.Module, condition: str) -> None:
    suite = AttackSuite("few", (condition,), ("0.1",))
    (cell,) = suite.cells("f", SETTING)
    found = counts("flat", model, suite, cell)
    if "noise" in condition:
        assert FLAT not in found
    elif "deepfool" in condition:
        right = int((model(clean()[0]).argmax(1) == clean()[1]).sum())
        # What is wrong already is not attacked.
        assert right <= found[FLAT] <= 12
    else:
        assert found[FLAT] == 12


def test_images_attacked_to_nan_count_as_they_were(model: nn.Module) -> None:
    suite = AttackSuite("few", ("l2_fgsm()",), ("0.1",))
    (cell,) = suite.cells("f", SETTING)
    assert counts("nan", model, suite, cell)[LOST] == 12
    batches = stimuli(suite, cell, Odd(model, "nan"))
    assert torch.equal(joined(batches), clean()[0])
    assert all(batch.delta_max is not None and not batch.delta_max.any() for batch in batches)


def test_a_network_without_gradients_is_a_users_error(model: nn.Module) -> None:
    with pytest.raises(UserError, match=r"cannot be attacked by fgsm\(\) on images of 32×32 .*does not require grad"):
        stimuli(FGSM, CELL, Odd(model, "no gradient"))


def test_no_memory_is_a_users_error(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("robustbench_msda.attacks.gradient.FGSM.run", full)
    with pytest.raises(UserError, match="smaller --batch-size"):
        stimuli(FGSM, CELL, model)


def test_an_attack_that_leaves_its_ball_gives_no_number(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robustbench_msda.attacks.base.DISTANCES", {"linf": Unclipped()})
    monkeypatch.setattr("robustbench_msda.attacks.gradient.LinfDescent.project", lambda _, x, __, ___: x + 0.01)
    with pytest.raises(ValueError, match="expected images in"):
        stimuli(FGSM, CELL, model)


class Unclipped:
    def clip_perturbation(self, images: Tensor, moved: Tensor, epsilon: float) -> Tensor:  # noqa: ARG002
        return moved


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run folder, and the results of the six ε on four images."""
    folder = tmp_path_factory.mktemp("attacked")
    run = saved(folder / "run")
    verbs.evaluate(run, {"linf_attacks": 4}, place=Place(results=folder / "results"))
    return run, folder / "results"


def test_an_evaluation_keeps_checks_beside_predictions_and_comes_back_with_the_same_bytes(
    evaluated: tuple[Path, Path],
) -> None:
    run, results = evaluated
    paths = sorted(results.rglob("*.npz"))
    assert len(paths) == 30
    for path in paths:
        checks = read_sidecar(path).checks
        assert checks == ({} if "noise" in path.name else {FLAT: 0}) | {LOST: 0, CHANGED: 0, UNLIKE: 0}
        assert read_predictions(path).delta_max is not None
    before = contents(results)
    for path in paths[::7]:
        path.unlink()
    for path in results.rglob("*.npy"):
        path.unlink()
    verbs.evaluate(run, {"linf_attacks": 4}, place=Place(results=results))
    assert contents(results) == before


def test_the_scores_of_an_evaluation_hold_the_worst_case(evaluated: tuple[Path, Path]) -> None:
    rows = verbs.score(place=Place(results=evaluated[1]))
    worst = rows[rows["metric"] == "worst_case_error"].set_index("level")["value"]
    errors = rows[(rows["metric"] == "error") & (rows["condition"] != "")]
    assert list(worst.index) == ["0.001", "0.002", "0.005", "0.01", "0.03", "0.1"]
    for level, value in worst.items():
        assert value >= errors[errors["level"] == level]["value"].max()
    assert (rows[rows["metric"] == "zero_gradient"]["value"] == 0).all()
    assert len(rows[rows["metric"] == "zero_gradient"]) == 4 * 6


def test_a_check_that_fails_is_a_flag_of_the_scores(
    evaluated: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "robustbench_msda.evaluation.run.network", lambda *_: Odd(network(fresh_checkpoint(), "cpu"), "flat")
    )
    verbs.evaluate(evaluated[0], {"fgsm": 10}, place=Place(results=tmp_path))
    rows = verbs.score(place=Place(results=tmp_path))
    assert set(rows["flags"]) == {"some gradients zero or NaN"}
    shares = rows[rows["metric"] == "zero_gradient"]
    assert list(shares["value"]) == [1.0] * 4
    assert list(shares["n"]) == [10] * 4


def test_the_change_of_l2_attacks_is_kept_in_l2(model: nn.Module) -> None:
    cell = Cell("f", "l2_attacks", "l2_fgsm()", "0.5")
    batches = stimuli(TABLE["l2_attacks"], cell, model)  # type: ignore[arg-type]
    delta = torch.cat([batch.delta_max for batch in batches if batch.delta_max is not None])
    assert torch.equal(delta, change(clean()[0], joined(batches), "l2"))
    # Less than 0.5 where the step leaves [0, 1].
    assert 0.3 < float(delta.min()) < float(delta.max()) < 0.5 + 1e-5
    assert len(predict(model, batches)) == 12
