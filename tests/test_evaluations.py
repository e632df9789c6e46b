"""The studies in ``evaluations/``: each is whole, and holds the grids behind its paper's tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from robustbench_msda import augmentations
from robustbench_msda.augmentations.dropmix import DropMix
from robustbench_msda.benchmarks import benchmarks_of
from robustbench_msda.data.known import DATASETS
from robustbench_msda.models.sources import build
from robustbench_msda.recipes import Recipe
from robustbench_msda.studies import Study, load_study
from robustbench_msda.study_rows import methods

EVALUATIONS = Path(__file__).parent.parent / "evaluations"
PATHS = sorted(EVALUATIONS.glob("*.toml"))
PAPERS = ("classdep", "dynmix", "fmix", "kmix", "unified")
# A user's own set: the training images of ImageNet, stylised (Geirhos et al., ICLR 2019).
OWN = "stylised_imagenet"


def study_of(name: str, scale: str = "paper") -> Study:
    study = load_study(EVALUATIONS / f"{name}.toml")
    return study.scaled(scale) if study.scale else study


def every_scale() -> Iterator[Study]:
    for path in PATHS:
        study = load_study(path)
        yield study
        yield from (study.scaled(name) for name in study.scale)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_study_opens_with_its_question_command_cost_and_expectation(path: Path) -> None:
    head = path.read_text()
    paper = ("# Paper:", "# Stated:", "# Proposed:") if path.stem in PAPERS else ()
    for word in ("# Question:", "# Command:", "# Cost:", "# Expect:", *paper):
        assert word in head


@pytest.mark.parametrize("name", PAPERS)
def test_every_paper_has_the_three_scales_and_the_paper_is_the_study_itself(name: str) -> None:
    study = load_study(EVALUATIONS / f"{name}.toml")
    assert list(study.scale) == ["small", "smoke"]
    assert study.scaled("paper") == study
    assert all(
        f"{name}.T" in table or table == "fmix.prose" or table[:-1] in (f"{name}.S", f"{name}.F")
        for part in study.parts().values()
        for table in part.feeds
    )
    small, smoke = study.scaled("small"), study.scaled("smoke")
    assert {recipe.dataset for recipe in small.recipes()} == {"cifar10_40k"}
    assert {(recipe.dataset, recipe.epochs) for recipe in smoke.recipes()} == {("digits", 1)}


@pytest.mark.parametrize("study", list(every_scale()), ids=lambda study: study.name)
def test_what_studies_name_exists(study: Study) -> None:
    trials = study.trials()
    assert trials
    for trial in trials:
        recipe = trial.recipe
        assert recipe.dataset in DATASETS
        assert recipe.extra_dataset in ("", OWN)
        assert set(trial.benchmarks) <= set(benchmarks_of(recipe.dataset))
        assert augmentations.canonical(recipe.augmentation) == recipe.augmentation


def test_every_network_of_the_studies_can_be_built() -> None:
    networks = {
        (recipe.model, tuple(recipe.model_options.items())) for study in every_scale() for recipe in study.recipes()
    }
    assert len(networks) > 20
    with torch.device("meta"):
        for model, options in sorted(networks):
            assert sum(weights.numel() for weights in build(model, 10, dict(options)).parameters()) > 20_000


# The networks behind each table: rows times columns times seeds.
COUNTS = {
    "classdep": {
        "T1": 4 * 7 * 5,  # networks; vanilla and three methods with and without DropMix
        "T2": 1 * 5 * 5,  # vanilla and two methods with and without
        "T4": 1 * 5 * 5,
    },
    "dynmix": {
        "T1": 4 * 7 * 3,  # networks; methods
        "T2": 4 * 7 * 3,
        "T3": 5,  # six rows but SIN
        "T3_SIN": 2,  # it and its baseline
        "F4": 2,
        "T5_10": 6 * 3,  # six rows
        "T5_100": 6 * 3,
    },
    "kmix": {
        "T1_110": 5,  # five rows
        "T1_200": 7,  # ten rows but those of the next two
        "T1_200_dropped": 3,  # two rows, and their baseline
        "T1_200_smoothed": 2,  # one row, and its baseline
        "T1_10": 7,  # seven rows
        "T2": 3 * 7,  # networks; methods
        "T3": 7 + 5 + 4,  # the top; K of DCutMix and of Saliency-DCutMix
        "T4": 4,  # four rows
        "S1": 6 * 5,  # K; alpha
        "S2": 2 * 5,  # methods; alpha
    },
    "unified": {
        "T1_S1": 2 * 3,  # methods
        "T1_S2": 2 * 3,
        "T2": 4 * 7 * 3,  # networks; methods
        "T2_RN56": 6 * 3,  # PuzzleMix is missing
        "T3": 6,
    },
    "fmix": {
        "T2_cifar": 2 * 3 * 4 * 5,  # data sets; networks; methods
        "T2_pyramid": 4,
        "T2_fashion": 3 * 4 * 5,
        "T2_tiny": 4 * 5,
        "T3": 1 + 3 * 2,  # the baseline; methods at two alphas
        "combining": (4 + 3) * 5,  # the single ones, of T2, and three pairs
    },
}
# In all, where parts share networks.
SHARED = {
    "classdep": 0,
    "dynmix": 1 + 2 + 2 * 3,  # T3_SIN's baseline, F4, and Standard in T5
    "kmix": 1 + 1 + 4 + 1 + 2,  # two baselines, T4, DCutMix with 4 and 1/4 in S1, alpha 1 in S2
    "unified": 0,
    "fmix": 4 * 5,  # the single ones
}


@pytest.mark.parametrize("name", PAPERS)
def test_parts_hold_as_many_networks_as_their_tables(name: str) -> None:
    study = study_of(name)
    assert {part: len(each.recipes()) for part, each in study.parts().items()} == COUNTS[name]
    assert len(study.recipes()) == sum(COUNTS[name].values()) - SHARED[name]


@pytest.mark.parametrize(
    ("name", "scale", "count"),
    [
        ("classdep", "small", 5 * 4),
        ("classdep", "smoke", 7),
        ("dynmix", "small", 7 * 2),
        ("dynmix", "smoke", 7),
        ("kmix", "small", 9 * 2),
        ("kmix", "smoke", 7 + 2 + 4 + 3 - 3),  # the baseline is one in all parts
        ("unified", "small", (2 + 2 + 7) * 2),
        ("unified", "smoke", 2 + 2 + 7),
        ("fmix", "small", 7 * 2),
        ("fmix", "smoke", 8),
    ],
)
def test_scales_are_grids_of_their_own(name: str, scale: str, count: int) -> None:
    study = study_of(name, scale)
    assert study.name == f"{name}-{scale}"
    assert len(study.recipes()) == count


def test_the_ids_of_networks_that_were_trained_never_drift() -> None:
    def ids(study: Study) -> dict[str, str]:
        return {recipe.augmentation.partition("(")[0]: recipe.id for recipe in study.recipes() if recipe.seed == 0}

    assert ids(study_of("quick")) == {
        "vanilla": "a286faacbce5",
        "mixup": "11143d31bff4",
        "cutmix": "d36763a44dae",
        "dropmix": "9eab27528330",
    }
    quick = ids(study_of("augmentations_quick"))
    assert (quick["vanilla"], quick["cutout"], quick["gmix"]) == ("6810dd98a1f1", "ae90796eb679", "1e7c33e71cf1")
    assert len(study_of("augmentations_quick").recipes()) == 27
    small = [recipe.id for recipe in study_of("classdep", "small").recipes()]
    assert small[:5] == ["c26cd7fa3fb7", "040d14e2a596", "24aa4e06069e", "06562b169a66", "85326b93d1ae"]


RATES = {
    "wrn_28_2_snu": {"mixup": 0.4, "cutmix": 0.5, "puzzlemix": 0.2},
    "preact_resnet18": {"mixup": 0.3, "cutmix": 0.3, "puzzlemix": 0.1},
    "preact_resnet34": {"mixup": 0.4, "cutmix": 0.4, "puzzlemix": 0.1},
    "preact_resnet50": {"mixup": 0.4, "cutmix": 0.4, "puzzlemix": 0.2},
    "torchvision/resnet50": {"mixup": 0.1, "cutmix": 0.1},
    "resnet18_cifar": {"mixup": 0.1, "cutmix": 0.2},
}


def settings(recipe: Recipe) -> tuple[object, ...]:
    return recipe.dataset, recipe.epochs, recipe.lr, recipe.weight_decay, recipe.batch_size


def test_class_dependency_is_trained_as_the_paper_says() -> None:
    """Lee et al. 2023, section 3.1, appendix A and the columns r of tables 1, 2 and 4."""
    study = study_of("classdep")
    parts = study.parts()
    assert {settings(recipe) for recipe in parts["T1"].recipes()} == {("cifar100", 300, 0.2, 5e-4, 100)}
    assert {settings(recipe) for recipe in parts["T2"].recipes()} == {("imagenet", 300, 0.1, 1e-4, 256)}
    assert {settings(recipe) for recipe in parts["T4"].recipes()} == {("cifar10", 200, 0.1, 5e-4, 128)}
    found: dict[str, dict[str, float]] = {}
    for recipe in study.recipes():
        method = augmentations.parse(recipe.augmentation)
        if isinstance(method, DropMix):
            found.setdefault(recipe.model, {})[methods(recipe.augmentation)[1]] = method.rate
    assert found == RATES


def test_dynamic_mixup_is_trained_as_the_paper_says() -> None:
    """Section 4: longer for the larger networks, another weight decay for Mixup, 180 epochs for three methods."""
    parts = study_of("dynmix").parts()
    for part in ("T1", "T2"):
        recipes = parts[part].recipes()
        assert {(r.model, r.epochs) for r in recipes} == {
            ("allconvnet", 100),
            ("wrn_40_2", 100),
            ("densenet_bc_100_12", 200),
            ("resnext29_4x32d", 200),
        }
        assert {methods(r.augmentation)[0]: r.weight_decay for r in recipes} == {
            "vanilla": 5e-4,
            "mixup": 1e-4,
            "dropmix": 5e-4,
            "autoaugment_star": 5e-4,
            "adversarial_training": 5e-4,
            "augmix": 5e-4,
            "dynmix": 5e-4,
        }
        assert {r.schedule for r in recipes} == {"cosine"}
    flipped = {"dynmix" in r.augmentation: r.flip for part in parts.values() for r in part.recipes()}
    assert flipped == {True: 0.0, False: 0.5}
    imagenet = [*parts["T3"].recipes(), *parts["T3_SIN"].recipes(), *parts["F4"].recipes()]
    longer = {methods(r.augmentation)[0] for r in imagenet if r.epochs == 180}
    assert longer == {"autoaugment_star", "augmix", "dynmix"}
    assert {r.epochs for r in imagenet} == {90, 180}
    assert [r.warmup * r.epochs for r in imagenet] == pytest.approx([5] * len(imagenet))
    assert [r.extra_dataset for r in parts["T3_SIN"].recipes()] == ["", OWN]


def test_k_image_mixing_is_trained_as_the_paper_and_its_code_say() -> None:
    parts = study_of("kmix").parts()
    for part in ("T1_110", "T1_200", "T1_10", "S2"):
        for recipe in parts[part].recipes():
            of_theirs = "dmixup" in recipe.augmentation or "dcutmix" in recipe.augmentation
            assert recipe.weight_decay == (4e-5 if of_theirs else 1e-4)
            assert recipe.milestones == ((0.75, 0.9) if of_theirs else (0.5, 0.75))
            assert (recipe.epochs, recipe.batch_size, recipe.lr) == (300, 64, 0.25)
    options = [recipe.model_options for recipe in parts["T1_200_dropped"].recipes()]
    assert options == [{}, {"drop_path": 0.25}, {"drop_block": 0.1}]
    assert {(r.loss, r.lr, r.weight_decay) for name in ("T2", "S1") for r in parts[name].recipes()} == {
        ("softmax_bce", 0.2, 1e-4)
    }
    assert {(r.dataset, *settings(r)[1:]) for name in ("T3", "T4") for r in parts[name].recipes()} == {
        ("imagenet", 300, 0.1, 1e-4, 256)
    }
    assert parts["T4"].limits() == {"clean": 0, "fgsm": 0}


def test_the_unified_analysis_is_trained_as_the_paper_says() -> None:
    parts = study_of("unified").parts()
    crops = {name: {(r.crop, r.crop_scale) for r in parts[name].recipes()} for name in ("T1_S1", "T1_S2", "T3")}
    assert crops == {
        "T1_S1": {("random_resized", (0.8, 1.0))},
        "T1_S2": {("random_resized", (0.25, 0.4))},
        "T3": {("random_resized", (0.08, 1.0))},
    }
    assert {(r.epochs, r.lr) for name in ("T2", "T2_RN56") for r in parts[name].recipes()} == {(300, 0.2)}
    assert {(r.epochs, r.lr) for r in parts["T3"].recipes()} == {(300, 0.1)}
    assert "mixup(alpha=0.8)" in {r.augmentation for r in parts["T3"].recipes()}


def test_fmix_is_trained_as_its_table_says() -> None:
    """Harris et al. 2020, table 8: epochs, the epochs after which the rate falls, batch, rate."""
    found: dict[tuple[str, str], set[tuple[object, ...]]] = {}
    for recipe in study_of("fmix").recipes():
        steps = tuple(round(share * recipe.epochs) for share in recipe.milestones)
        schedule = steps if recipe.schedule == "multi_step" else recipe.schedule
        found.setdefault((recipe.dataset, recipe.model), set()).add(
            (recipe.epochs, schedule, recipe.batch_size, recipe.lr, recipe.weight_decay)
        )
    short, long = (200, (100, 150), 128, 0.1, 1e-4), (300, (100, 150, 225), 32, 0.1, 1e-4)
    assert found == {
        ("cifar10", "preact_resnet18_fmix"): {short},
        ("cifar10", "wrn_28_10"): {short},
        ("cifar10", "densenet_bc_190_40"): {long},
        ("cifar10", "pyramidnet272_a200"): {(1800, "cosine", 64, 0.05, 1e-4)},
        ("cifar100", "preact_resnet18_fmix"): {short},
        ("cifar100", "wrn_28_10"): {short},
        ("cifar100", "densenet_bc_190_40"): {long},
        ("fashion_mnist", "preact_resnet18_fmix"): {short},
        ("fashion_mnist", "wrn_28_10"): {long},
        ("fashion_mnist", "densenet_bc_190_40"): {long},
        ("tiny_imagenet", "preact_resnet18_fmix"): {(200, (150, 180), 128, 0.1, 1e-4)},
        ("imagenet", "torchvision/resnet101"): {(90, (30, 60, 80), 256, 0.4, 1e-4)},
    }
