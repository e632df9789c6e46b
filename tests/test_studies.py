from __future__ import annotations

from pathlib import Path

import pytest

from robustbench_msda.errors import MissingData, UserError
from robustbench_msda.recipes import PRESETS
from robustbench_msda.studies import load_study
from robustbench_msda.study_rows import methods

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


PARTS = """
claim = "a claim"
[recipe]
dataset = "digits"
model = "resnet20"
[grid]
seed = [0, 1]
augmentation = ["vanilla", "cutmix", "mixup"]
[benchmarks]
clean = 0
[part.T1]
feeds = ["a.T1"]
benchmarks = { fgsm = 10 }
[part.T2]
feeds = ["a.T2"]
recipe = { epochs = 3 }
grid = { model = ["small_cnn"], augmentation = ["vanilla", "mixup(alpha=0.2)"] }
benchmarks = { fgsm = 10 }
[part.T3]
grid = { augmentation = ["vanilla", "cutmix"] }
benchmarks = { pgd = 10 }
[scale.small]
recipe = { epochs = 2 }
[scale.tiny]
grid = { seed = [0] }
[scale.tiny.part.T2]
grid = { augmentation = ["mixup"] }
"""


def test_parts_are_the_study_with_changes(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, PARTS))
    parts = study.parts()
    assert [(name, part.name, len(part.recipes())) for name, part in parts.items()] == [
        ("T1", "mine-T1", 6),
        ("T2", "mine-T2", 4),
        ("T3", "mine-T3", 4),
    ]
    assert [part.feeds for part in parts.values()] == [("a.T1",), ("a.T2",), ()]
    assert {(recipe.model, recipe.epochs) for recipe in parts["T2"].recipes()} == {("small_cnn", 3)}
    assert study.only("T2") == parts["T2"]
    assert study.only("T2").recipes() == parts["T2"].recipes()


def test_a_recipe_of_two_parts_is_one_and_is_put_to_what_both_say(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, PARTS))
    trials = study.trials()
    assert [trial.recipe for trial in trials] == study.recipes()
    assert len(trials) == len({trial.recipe.id for trial in trials}) == 6 + 4
    found = {(trial.recipe.model, trial.recipe.augmentation): dict(trial.benchmarks) for trial in trials}
    assert found == {
        ("resnet20", "vanilla()"): {"clean": 0, "fgsm": 10, "pgd": 10},
        ("resnet20", "cutmix(alpha=1.0)"): {"clean": 0, "fgsm": 10, "pgd": 10},
        ("resnet20", "mixup(alpha=1.0)"): {"clean": 0, "fgsm": 10},
        ("small_cnn", "vanilla()"): {"clean": 0, "fgsm": 10},
        ("small_cnn", "mixup(alpha=0.2)"): {"clean": 0, "fgsm": 10},
    }
    assert study.limits() == {"clean": 0, "fgsm": 10, "pgd": 10}


def test_a_scale_has_the_parts_it_names_itself_and_else_none(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, PARTS))
    small, tiny = study.scaled("small"), study.scaled("tiny")
    assert list(small.parts()) == [""]
    assert len(small.recipes()) == 6
    assert small.limits() == {"clean": 0}
    assert list(tiny.parts()) == ["T2"]
    assert [(recipe.augmentation, recipe.seed) for recipe in tiny.recipes()] == [("mixup(alpha=1.0)", 0)]
    assert (tiny.name, tiny.only("T2").name) == ("mine-tiny", "mine-tiny-T2")


def test_the_scale_of_the_paper_is_the_study_itself(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, PARTS))
    assert study.scaled("paper") == study
    named = load_study(written(tmp_path, PARTS + "[scale.paper]\nrecipe = { epochs = 9 }\n")).scaled("paper")
    assert named.name == "mine-paper"
    assert {recipe.epochs for recipe in named.recipes()} == {9}


SET = """
claim = "a claim"
override = [
  { model = "wrn_28_2", set = { epochs = 30, lr = 0.3 } },
  { augmentation = "mixup", set = { weight_decay = 1e-4 } },
  { augmentation = "cutmix", set = { preset = "r_fmix_c", epochs = 7 } },
  { model = "wrn_28_2", set = { epochs = 40, flip = 0.0 } },
]
[recipe]
preset = "r_aug_c"
dataset = "digits"
[grid]
model = ["resnet20", "wrn_28_2"]
augmentation = ["vanilla", "mixup", "mixup(alpha=0.2)", "cutmix"]
[benchmarks]
clean = 0
"""


def test_rows_set_other_fields_where_they_fit_and_the_first_holds(tmp_path: Path) -> None:
    recipes = load_study(written(tmp_path, SET)).recipes()
    found = {(r.model, r.augmentation): (r.epochs, r.lr, r.weight_decay, r.flip, r.nesterov) for r in recipes}
    assert found == {
        ("resnet20", "vanilla()"): (100, 0.1, 5e-4, 0.5, True),
        ("resnet20", "mixup(alpha=1.0)"): (100, 0.1, 1e-4, 0.5, True),
        ("resnet20", "mixup(alpha=0.2)"): (100, 0.1, 5e-4, 0.5, True),
        ("resnet20", "cutmix(alpha=1.0)"): (7, 0.1, 1e-4, 0.5, False),
        ("wrn_28_2", "vanilla()"): (30, 0.3, 5e-4, 0.0, True),
        ("wrn_28_2", "mixup(alpha=1.0)"): (30, 0.3, 1e-4, 0.0, True),
        ("wrn_28_2", "mixup(alpha=0.2)"): (30, 0.3, 5e-4, 0.0, True),
        ("wrn_28_2", "cutmix(alpha=1.0)"): (30, 0.3, 1e-4, 0.0, False),
    }


def test_rows_of_a_part_come_before_those_of_the_study(tmp_path: Path) -> None:
    part = '[part.T1]\noverride = [{ model = "wrn_28_2", set = { epochs = 5 } }]\n'
    recipes = load_study(written(tmp_path, SET + part)).recipes()
    assert {(r.epochs, r.lr) for r in recipes if r.model == "wrn_28_2"} == {(5, 0.3)}


def test_a_grid_may_hold_tables(tmp_path: Path) -> None:
    text = PARTS.replace('augmentation = ["vanilla", "cutmix"]', "model_options = [{}, { drop_path = 0.25 }]")
    recipes = load_study(written(tmp_path, text)).only("T3").recipes()
    assert [recipe.model_options for recipe in recipes[:2]] == [{}, {"drop_path": 0.25}]
    assert len(recipes) == 2 * 3 * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[part.T1]", "[part.T1.grids]"), r"mine.toml: part.T1.grids: Extra inputs"),
        (('feeds = ["a.T1"]', "grid = { seed = [] }"), "part.T1.grid.seed: List should have at least 1 item"),
        (("pgd = 10", "fgsm = 20"), r"mine-T3: benchmarks.fgsm: expected one limit in all parts, found 10 and 20"),
        (("[part.T1]", '[part."T 1"]'), "part.T 1"),
        (("[part.T1]", "[part.small]"), "small is a part and a scale: .* rename one"),
        (("{ epochs = 3 }", "{ epoch = 3 }"), "mine-T2: 'epoch'. Did you mean epochs"),
        (('[grid]\nseed = [0, 1]\naugmentation = ["vanilla", "cutmix", "mixup"]', ""), r"mine-T1: expected \[grid\]"),
    ],
)
def test_mistakes_in_parts_are_one_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in PARTS
    path = written(tmp_path, PARTS.replace(*change))
    with pytest.raises(UserError, match=message) as caught:
        load_study(path).recipes()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{ modle = "wrn_28_2", set = { epochs = 1 } }', "row of override in study mine: 'modle'. Did you mean model"),
        ('{ model = "wrn_28_2" }', "override: expected augmentation or set in every row, found model"),
        ('{ model = "wrn_28_2", set = 3 }', "override: set: expected a table such as .*, found 3"),
        ('{ model = "wrn_28_2", set = { epoch = 3 } }', "in study mine: 'epoch'. Did you mean epochs"),
        ('{ augmentation = "mixp", set = { epochs = 3 } }', "Did you mean mixup"),
    ],
)
def test_mistakes_in_rows_are_one_line(tmp_path: Path, row: str, message: str) -> None:
    path = written(tmp_path, SET.replace("override = [", f"override = [\n  {row},"))
    with pytest.raises(UserError, match=message) as caught:
        load_study(path).recipes()
    assert "\n" not in str(caught.value)


def test_a_study_without_benchmarks_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^study mine: expected \[benchmarks\] with at least one line"):
        load_study(written(tmp_path, SET.replace("clean = 0", ""))).recipes()


def test_names_that_a_study_does_not_have_are_one_line(tmp_path: Path) -> None:
    study, plain = load_study(written(tmp_path, PARTS)), load_study(written(tmp_path, SET))
    with pytest.raises(UserError, match="unknown part of study mine 'T4'. Choose from: T1, T2, T3"):
        study.only("T4")
    with pytest.raises(UserError, match="unknown scale of study mine 'papre'. Did you mean paper"):
        study.scaled("papre")
    with pytest.raises(UserError, match="study mine has no parts: leave --part T1 out"):
        plain.only("T1")
    with pytest.raises(UserError, match="study mine has no scales: leave --scale small out"):
        plain.scaled("small")


TRANSFERRED = (
    STUDY.partition("[scale.small]")[0]
    .replace("fgsm = 100", "fgsm = 20")
    .replace(
        'augmentation = ["vanilla", "cutmix", "dropmix(0.4, of=cutmix)", "dropmix(0.3, of=mixup)"]',
        'augmentation = ["vanilla", "cutmix"]',
    )
)
SHOWN = (
    '[transfer]\nsources = [{ model = "resnet20", seed = 0 }, { augmentation = "cutmix()" }]\nbenchmarks = ["fgsm"]\n'
)


def test_substitutes_are_the_networks_that_a_row_fits(tmp_path: Path) -> None:
    text = TRANSFERRED + SHOWN
    found = load_study(written(tmp_path, text)).substitutes()
    assert {(recipe.model, recipe.augmentation, recipe.seed) for recipe, _ in found} == {
        ("resnet20", "vanilla()", 0),
        ("resnet20", "cutmix(alpha=1.0)", 0),
        ("resnet20", "cutmix(alpha=1.0)", 1),
        ("wrn_28_2", "cutmix(alpha=1.0)", 0),
        ("wrn_28_2", "cutmix(alpha=1.0)", 1),
    }
    assert {tuple(attacks.items()) for _, attacks in found} == {(("fgsm", 20),)}
    assert load_study(written(tmp_path, TRANSFERRED)).substitutes() == []
    # Of the whole study: a part may hold none of them.
    assert load_study(written(tmp_path, text + "[part.one]\n")).only("one").substitutes() == []
    scaled = text + '[scale.few]\ntransfer = { sources = [{ seed = 1 }], benchmarks = ["fgsm"] }\n'
    assert {recipe.seed for recipe, _ in load_study(written(tmp_path, scaled)).scaled("few").substitutes()} == {1}
    assert len(load_study(written(tmp_path, scaled + "[scale.same]\n")).scaled("same").substitutes()) == 5


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (SHOWN.replace("model =", "modle ="), "row of transfer.sources in study mine: 'modle'. Did you mean model"),
        (
            SHOWN.replace("seed = 0", "seed = 7"),
            r"transfer.sources: expected networks of the grid, found none with .*7",
        ),
        (SHOWN.replace('["fgsm"]', '["pgd"]'), "in transfer.benchmarks: 'pgd'"),
        (SHOWN.replace('["fgsm"]', "[]"), "transfer.benchmarks"),
        (SHOWN.replace("sources", "source"), "transfer.source"),
    ],
)
def test_a_transfer_that_names_nothing_is_refused(tmp_path: Path, shown: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_study(written(tmp_path, TRANSFERRED + shown)).substitutes()
