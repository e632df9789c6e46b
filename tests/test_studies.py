from __future__ import annotations

from pathlib import Path

import pytest

from robustbench_msda import augmentations
from robustbench_msda.augmentations.dropmix import DropMix
from robustbench_msda.errors import MissingData, UserError
from robustbench_msda.recipes import PRESETS
from robustbench_msda.studies import load_study, methods

EVALUATIONS = Path(__file__).parent.parent / "evaluations"

STUDY = """
claim = "a claim"
feeds = ["classdep.T1"]
override = [{ model = "wrn_28_2", augmentation = "dropmix(0.5, of=cutmix)" }]
[recipe]
preset = "r_snu"
dataset = "digits"
epochs = 12
[grid]
model = ["resnet20", "wrn_28_2"]
seed = [0, 1]
augmentation = ["vanilla", "cutmix", "dropmix(0.4, of=cutmix)", "dropmix(0.3, of=mixup)"]
[benchmarks]
clean = 0
fgsm = 100
[scale.small]
recipe = { epochs = 2 }
grid = { seed = [0] }
benchmarks = { fgsm = 10 }
"""


def written(folder: Path, text: str = STUDY) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_the_grid_is_a_product_over_the_preset(tmp_path: Path) -> None:
    study = load_study(written(tmp_path))
    recipes = study.recipes()
    assert study.name == "mine"
    assert len(recipes) == 2 * 2 * 4
    assert len({recipe.id for recipe in recipes}) == 16
    assert len({recipe.group for recipe in recipes}) == 8
    assert {recipe.epochs for recipe in recipes} == {12}
    assert {recipe.lr for recipe in recipes} == {PRESETS["r_snu"]["lr"]}
    assert recipes[0].augmentation == "vanilla()"


def test_an_override_changes_the_arguments_of_the_same_methods_only(tmp_path: Path) -> None:
    recipes = load_study(written(tmp_path)).recipes()
    rates = {(recipe.model, recipe.augmentation) for recipe in recipes if "dropmix" in recipe.augmentation}
    assert rates == {
        ("resnet20", "dropmix(rate=0.4, of=cutmix(alpha=1.0))"),
        ("resnet20", "dropmix(rate=0.3, of=mixup(alpha=1.0))"),
        ("wrn_28_2", "dropmix(rate=0.5, of=cutmix(alpha=1.0))"),
        ("wrn_28_2", "dropmix(rate=0.3, of=mixup(alpha=1.0))"),
    }


def test_methods_are_read_from_the_outside_in() -> None:
    assert methods("dropmix(rate=0.4, of=cutmix(alpha=1.0))") == ["dropmix", "cutmix"]


def test_a_scale_replaces_single_keys(tmp_path: Path) -> None:
    small = load_study(written(tmp_path)).scaled("small")
    assert small.name == "mine-small"
    assert len(small.recipes()) == 8
    assert {recipe.epochs for recipe in small.recipes()} == {2}
    assert small.benchmarks == {"clean": 0, "fgsm": 10}
    with pytest.raises(UserError, match="Did you mean small"):
        load_study(written(tmp_path)).scaled("smal")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("claim =", "claims ="), r"unknown key in .*mine.toml: 'claims'. Did you mean claim"),
        (("epochs = 12", "epoch = 12"), "'epoch'. Did you mean epochs"),
        (("epochs = 12", 'epochs = "many"'), "epochs.*found 'many'"),
        (('"r_snu"', '"r_sun"'), "Did you mean r_snu"),
        (("dropmix(0.4, of=cutmix)", "dropmix(0.4, of=cutmx)"), "Did you mean cutmix"),
        (("fgsm = 100", 'fgsm = "all"'), "benchmarks.fgsm"),
        (("[grid]", "[grid"), "is not a study in TOML"),
        (('claim = "a claim"', ""), "claim: Field required"),
    ],
)
def test_mistakes_are_one_line_that_names_the_place(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = written(tmp_path, STUDY.replace(*change))
    with pytest.raises(UserError, match=message) as caught:
        load_study(path).recipes()
    assert "\n" not in str(caught.value)


def test_a_study_that_is_not_there() -> None:
    with pytest.raises(MissingData, match="no study at nothing.toml"):
        load_study(Path("nothing.toml"))


@pytest.mark.parametrize("path", sorted(EVALUATIONS.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_studies_are_whole_and_open_with_claim_command_and_cost(path: Path) -> None:
    study = load_study(path)
    assert study.recipes()
    head = path.read_text()
    for word in ("# Question:", "# Command:", "# Cost:", "# Expect:"):
        assert word in head


RATES = {
    "wrn_28_2_snu": {"mixup": 0.4, "cutmix": 0.5, "puzzlemix": 0.2},
    "preact_resnet18": {"mixup": 0.3, "cutmix": 0.3, "puzzlemix": 0.1},
    "preact_resnet34": {"mixup": 0.4, "cutmix": 0.4, "puzzlemix": 0.1},
    "preact_resnet50": {"mixup": 0.4, "cutmix": 0.4, "puzzlemix": 0.2},
}


def test_the_class_dependency_study_is_the_papers_grid() -> None:
    """Lee et al. 2023: four networks, five seeds, three methods with and without DropMix at the rates they print."""
    recipes = load_study(EVALUATIONS / "classdep.toml").recipes()
    assert len(recipes) == 4 * 5 * 7
    assert {(r.dataset, r.epochs, r.lr, r.weight_decay, r.batch_size) for r in recipes} == {
        ("cifar100", 300, 0.2, 5e-4, 100)
    }
    found: dict[str, dict[str, float]] = {}
    for recipe in recipes:
        method = augmentations.parse(recipe.augmentation)
        if isinstance(method, DropMix):
            name = methods(recipe.augmentation)[1]
            found.setdefault(recipe.model, {})[name] = method.rate
    assert found == RATES


@pytest.mark.parametrize("scale", ["small", "smoke"])
def test_the_scales_of_the_class_dependency_study_are_grids_of_their_own(scale: str) -> None:
    study = load_study(EVALUATIONS / "classdep.toml").scaled(scale)
    recipes = study.recipes()
    assert study.name == f"classdep-{scale}"
    assert {recipe.model for recipe in recipes} == {"resnet20"}
    assert len(recipes) == {"small": 20, "smoke": 7}[scale]
