from __future__ import annotations

from pathlib import Path

import pytest

from robustbench_msda.errors import UnknownName, UserError
from robustbench_msda.results.selection import select
from robustbench_msda.results.store import CheckpointRecord


def record(fingerprint: str, augmentation: str, seed: int | None, *, source: str = "resnet20") -> CheckpointRecord:
    return CheckpointRecord(
        fingerprint=fingerprint,
        source=source,
        dataset="digits",
        classes=("a", "b"),
        mean=(0.5,),
        std=(0.5,),
        path=f"runs/{fingerprint}/checkpoint.safetensors" if augmentation else f"weights/{fingerprint}.pt",
        seed=seed,
        augmentation=augmentation,
        group=f"group-{augmentation}",
        recipe_id=f"id-{fingerprint}",
    )


RECORDS = {
    made.fingerprint: made
    for made in (
        record("aaaa00000000", "cutmix", 1),
        record("aaaa00000001", "cutmix", 0),
        record("bbbb00000000", "dropmix(rate=0.4, of=cutmix(alpha=0.5))", 0),
        record("cccc00000000", "mixup", 0, source="wrn_28_2"),
        record("dddd00000000", "", None, source="timm/resnet18"),
    )
}


def chosen(*selections: str) -> list[str]:
    return [found.fingerprint for found in select(selections, RECORDS)]


@pytest.mark.parametrize(
    ("selection", "fingerprints"),
    [
        ("aaaa00000000", ["aaaa00000000"]),
        ("aaaa", ["aaaa00000001", "aaaa00000000"]),
        ("augmentation=cutmix", ["aaaa00000001", "aaaa00000000"]),
        ("augmentation=cutmix,seed=1", ["aaaa00000000"]),
        ("seed=0, augmentation=cutmix", ["aaaa00000001"]),
        ("augmentation=dropmix(rate=0.4, of=cutmix(alpha=0.5))", ["bbbb00000000"]),
        ("augmentation=dropmix(rate=0.4,of=cutmix(alpha=0.5)),model=resnet20", ["bbbb00000000"]),
        ("model=wrn_28_2", ["cccc00000000"]),
        ("model=timm/resnet18", ["dddd00000000"]),
        ("dataset=digits,seed=0", ["aaaa00000001", "bbbb00000000", "cccc00000000"]),
        ("group=group-mixup", ["cccc00000000"]),
        ("recipe_id=id-cccc00000000", ["cccc00000000"]),
        ("seed=", ["dddd00000000"]),
        ("runs/cccc00000000", ["cccc00000000"]),
        ("./runs/../runs/cccc00000000/", ["cccc00000000"]),
        ("runs/cccc00000000/checkpoint.safetensors", ["cccc00000000"]),
        ("weights/dddd00000000.pt", ["dddd00000000"]),
    ],
)
def test_forms(selection: str, fingerprints: list[str]) -> None:
    assert chosen(selection) == fingerprints


def test_several_selections_are_joined_each_checkpoint_once_in_a_fixed_order() -> None:
    assert chosen("model=wrn_28_2", "augmentation=cutmix", "aaaa00000000") == [
        "aaaa00000001",
        "aaaa00000000",
        "cccc00000000",
    ]


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "digits-cutmix-alpha=1.0-s0"
    folder.mkdir()
    here = RECORDS["cccc00000000"].model_copy(update={"path": str(folder / "checkpoint.safetensors")})
    assert select([str(folder)], {"cccc00000000": here}) == [here]


@pytest.mark.parametrize(
    "selection",
    ["augmentation=cutout", "augmentation=cutmix,seed=7", "eeee", "aaa", "AAAA", "runs/nothing", "", "seed=1.0"],
)
def test_what_matches_nothing_is_said_with_what_there_is(selection: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen("aaaa", selection)
    text = str(caught.value)
    assert f"no evaluated checkpoint matches {selection!r} among 5" in text
    assert "'cutmix', 'dropmix(rate=0.4, of=cutmix(alpha=0.5))', 'mixup'" in text
    assert "\n" not in text


@pytest.mark.parametrize("selection", ["augmentatoin=cutmix", "model=resnet20,augmentatoin=cutmix"])
def test_an_unknown_field_is_met_with_a_suggestion(selection: str) -> None:
    with pytest.raises(UnknownName, match=r"'augmentatoin'. Did you mean augmentation\?"):
        chosen(selection)
