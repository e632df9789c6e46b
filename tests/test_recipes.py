from __future__ import annotations

import pytest
from pydantic import ValidationError

from robustbench_msda import augmentations
from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.recipes import PRESETS, Recipe, make_recipe

BASE = Recipe(dataset="digits", model="small_cnn")
# Every field with another value than the base's: a field that is not here fails a test.
OTHER: dict[str, object] = {
    "dataset": "cifar10",
    "model": "resnet20",
    "model_options": {"in_chans": 1},
    "augmentation": "mixup(alpha=1.0)",
    "label_smoothing": 0.1,
    "crop": "random_resized",
    "crop_padding": 2,
    "crop_scale": (0.25, 0.4),
    "flip": 0.0,
    "color_jitter": 0.4,
    "lighting": 0.1,
    "extra_dataset": "stylised_cifar10",
    "loss": "softmax_bce",
    "epochs": 1,
    "batch_size": 64,
    "lr": 0.2,
    "momentum": 0.8,
    "nesterov": False,
    "weight_decay": 1e-4,
    "decayed": "weights",
    "clip_norm": 1.0,
    "schedule": "multi_step",
    "milestones": (0.5,),
    "gamma": 0.2,
    "final_lr": 1e-6,
    "warmup": 0.1,
    "warmup_lr": 0.1,
    "precision": "bfloat16",
    "ema": 0.9,
    "replicas": 2,
    "seed": 1,
}


def changed(**fields: object) -> Recipe:
    return Recipe.model_validate({**BASE.model_dump(), **fields})


def test_the_id_and_the_group_of_a_recipe_never_drift() -> None:
    recipe = make_recipe(
        {
            "preset": "r_snu",
            "dataset": "cifar10_40k",
            "model": "resnet20",
            "augmentation": "cutmix(alpha=1.0)",
            "seed": 3,
        }
    )
    assert (recipe.id, recipe.group) == ("39c8e7374465", "fee9f68514f0")
    assert recipe.folder == "cifar10_40k-resnet20-cutmix-alpha=1.0-s3-39c8e7374465"
    assert (BASE.id, BASE.group) == ("53e33deb8e72", "53e33deb8e72")


@pytest.mark.parametrize("field", Recipe.model_fields)
def test_every_field_changes_the_id_and_all_but_the_seed_the_group(field: str) -> None:
    other = changed(**{field: OTHER[field]})
    assert getattr(other, field) != getattr(BASE, field)
    assert other.id != BASE.id
    assert (other.group == BASE.group) == (field == "seed")


def test_numbers_that_are_equal_give_one_id() -> None:
    assert changed(lr=1).id == changed(lr=1.0).id
    assert changed(milestones=[0.5]).id == changed(milestones=(0.5,)).id
    assert Recipe.model_validate_json(BASE.model_dump_json()).id == BASE.id


def test_the_folder_is_one_readable_name() -> None:
    folders = {
        changed(model="../path/to/file.py:make", augmentation="dropmix(rate=0.4, of=cutmix(alpha=1.0))").folder,
        changed(model="hf-hub:someone/" + "x" * 300).folder,
    }
    for folder in folders:
        assert not set(folder) - set("abcdefghijklmnopqrstuvwxyz0123456789_.=-")
        assert not folder.startswith((".", "-"))
        assert len(folder) < 120


def test_a_recipe_cannot_be_edited() -> None:
    with pytest.raises(ValidationError):
        BASE.lr = 3.0  # type: ignore[misc]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_recipes(preset: str) -> None:
    recipe = make_recipe({"preset": preset, "dataset": "cifar10", "model": "resnet20"})
    for name, value in PRESETS[preset].items():
        assert getattr(recipe, name) == value
    assert augmentations.canonical(recipe.augmentation) == recipe.augmentation
    if recipe.schedule == "multi_step":
        assert recipe.milestones == tuple(sorted(recipe.milestones))
        assert recipe.milestones
    assert recipe.warmup * recipe.epochs == pytest.approx(5 if recipe.warmup else 0)


# Epochs, batch, rate, weight decay, the epochs after which the rate falls, and to what share: Hendrycks et al. 2020;
# Yun et al. 2019; clovaai/DCutMix, README; Kim et al. 2021; Lee et al. 2023; Park et al. 2022; Harris et al. 2020.
SAID = {
    "r_aug_c": (100, 128, 0.1, 5e-4, ()),
    "r_aug_i": (90, 256, 0.1, 1e-4, (30, 60)),
    "r_cut_c": (300, 64, 0.25, 1e-4, (150, 225)),
    "r_cut_i": (300, 256, 0.1, 1e-4, (75, 150, 225)),
    "r_dcut_c": (300, 64, 0.25, 4e-5, (225, 270)),
    "r_snu": (300, 100, 0.2, 5e-4, (100, 200)),
    "r_snu_code": (300, 100, 0.2, 1e-4, (100, 200)),
    "r_drop_c": (200, 128, 0.1, 5e-4, (60, 120, 160)),
    "r_hmix_i": (300, 256, 0.1, 1e-4, (75, 150, 225)),
    "r_fmix_c": (200, 128, 0.1, 1e-4, (100, 150)),
    "r_fmix_t": (200, 128, 0.1, 1e-4, (150, 180)),
    "r_fmix_i": (90, 256, 0.4, 1e-4, (30, 60, 80)),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_say_what_the_papers_say(preset: str) -> None:
    recipe = make_recipe({"preset": preset, "dataset": "cifar10", "model": "resnet20"})
    said = SAID[preset]
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay) == said[:4]
    assert [share * recipe.epochs for share in recipe.milestones] == pytest.approx(said[4])
    assert (recipe.schedule == "cosine") == (not said[4])
    assert recipe.gamma == (0.2 if preset == "r_drop_c" else 0.1)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_cut_and_colour_as_their_data_need(preset: str) -> None:
    recipe = make_recipe({"preset": preset, "dataset": "cifar10", "model": "resnet20"})
    assert (recipe.crop == "random_resized") == preset.endswith("_i")
    assert (recipe.color_jitter, recipe.lighting) == ((0.4, 0.1) if preset == "r_cut_i" else (0.0, 0.0))
    assert recipe.crop_padding == {"r_snu": 2, "r_snu_code": 2, "r_fmix_t": 0}.get(preset, 4)
    assert recipe.nesterov == (not preset.startswith("r_fmix") and preset != "r_aug_i")
    assert (recipe.decayed == "weights") == (preset == "r_hmix_i")
    assert recipe.warmup_lr == (0.1 if preset == "r_fmix_i" else 0.0)


def test_what_is_given_overrides_the_preset() -> None:
    given = {"preset": "r-snu", "dataset": "digits", "model": "small_cnn", "epochs": 2}
    recipe = make_recipe(given)
    assert (recipe.epochs, recipe.lr) == (2, 0.2)
    assert given["preset"] == "r-snu"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"epochs": 0}, "study.toml: epochs: Input should be greater than or equal to 1, found 0"),
        ({"lr": "fast"}, "study.toml: lr: Input should be a valid number"),
        ({"lr": float("inf")}, "study.toml: lr: Input should be a finite number, found inf"),
        ({"lr": float("nan")}, "study.toml: lr: Input should be"),
        ({"schedule": "linear"}, "study.toml: schedule: Input should be 'cosine' or 'multi_step', found 'linear'"),
        ({"milestones": [150, 225]}, "study.toml: milestones.0: Input should be less than 1, found 150"),
        ({"model_options": {"depth": [1]}}, "study.toml: model_options.depth"),
        (
            {"batch_size": 6, "replicas": 4},
            "study.toml: replicas: Value error, batch norm needs batch_size of at least",
        ),
        ({"flip": 1.5}, "study.toml: flip: Input should be less than or equal to 1, found 1.5"),
        ({"seed": -1}, "study.toml: seed: Input should be greater than or equal to 0, found -1"),
    ],
)
def test_a_bad_field_is_named_in_one_line(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        make_recipe({"dataset": "digits", "model": "small_cnn", **settings}, "study.toml")
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(UserError, match=r"^recipe: model: Field required"):
        make_recipe({"dataset": "digits"})


def test_unknown_fields_and_presets_are_met_with_a_suggestion() -> None:
    with pytest.raises(UnknownName, match=r"in study.toml: 'epoch'. Did you mean epochs\?"):
        make_recipe({"epoch": 3}, "study.toml")
    with pytest.raises(UnknownName, match=r"unknown preset 'r_snoo'. Did you mean r_snu"):
        make_recipe({"preset": "r_snoo"})
