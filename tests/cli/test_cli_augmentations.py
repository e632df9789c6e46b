"""Every name in the table trains a network through the command line; what cannot is refused before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cli import Refused, refused

from robustbench_msda import verbs
from robustbench_msda.augmentations import AUGMENTATIONS, canonical
from robustbench_msda.cli.main import status
from robustbench_msda.data.prepare import prepare
from robustbench_msda.evaluation import Place
from robustbench_msda.models.checkpoints import load

__all__ = ["refused"]
POLICY = Path(__file__).parents[1] / "golden" / "fast_autoaugment_policy.json"
FULL = {"fast_autoaugment": f"fast_autoaugment(policy='{POLICY}')"}


# One network a family.
NETWORKS = [
    *("small_cnn", "resnet56_projection", "wrn_28_2", "wrn_28_2_snu", "preact_resnet18_fmix"),
    *("resnext29_4x24d", "densenet_bc_100_12", "allconvnet", "pyramidnet110_a64"),
]


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Return a data folder that holds ``squares``: 24 + 4 pictures of 16x16 in two classes, and stylised copies."""
    rng = np.random.default_rng(0)
    for name, shift in (("squares", 0), ("stylised_squares", 90)):
        for split, count in (("train", 12), ("test", 2)):
            for number, kind in enumerate(("dark", "light")):
                folder = tmp_path / name / split / kind
                folder.mkdir(parents=True)
                for k in range(count):
                    pixels = rng.integers(0, 100, (16, 16, 3)) + 60 * number + shift
                    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{k:02}.png")
        prepare(name, tmp_path / name, tmp_path / "data")
    return tmp_path / "data"


def train(data_dir: Path, out: Path, augmentation: str, *more: str) -> int:
    settings = [f"--set={text}" for text in ("batch_size=12", "lr=0.01", "crop_padding=2", *more)]
    arguments = ["train", "squares", "--model", "resnet20", "--epochs", "2", "--augmentation", augmentation]
    return status([*arguments, *settings, "--data-dir", str(data_dir), "--device", "cpu", "--out", str(out)])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_name_trains_a_network(name: str, squares: Path, tmp_path: Path) -> None:
    text = FULL.get(name, name)
    assert train(squares, tmp_path / "run", text, "label_smoothing=0.1") == 0
    kept = load(tmp_path / "run" / "checkpoint.safetensors")
    assert kept.recipe is not None
    assert kept.recipe["augmentation"] == canonical(text)
    assert all(tensor.isfinite().all() for tensor in kept.state.values())


@pytest.mark.parametrize("model", NETWORKS)
def test_a_network_of_every_family_is_trained_saved_and_evaluated(
    model: str, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, place = tmp_path / "run", ["--data-dir", str(squares), "--device", "cpu"]
    settings = ["--set", "batch_size=12", "--set", "crop_padding=0", "--epochs", "1", "--out", str(out)]
    assert status(["train", "squares", "--model", model, *settings, *place]) == 0
    results = str(tmp_path / "results")
    assert status(["evaluate", str(out), "--benchmarks", "clean", "--results", results, *place]) == 0
    assert status(["score", "--results", results]) == 0
    assert load(out / "checkpoint.safetensors").fingerprint in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fast_autoaugment", "expected policy='FILE.json'"),
        ("manifold_mixup", "needs a network with stages"),
        ("dropmix(0.5, of=manifold_mixup)", "needs a network with stages"),
        ("alternate(mixup, manifold_mixup)", "needs a network with stages"),
    ],
)
def test_what_cannot_train_is_refused_before_the_first_step(
    text: str, words: str, refused: Refused, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    line = refused("train", "digits", "--model", "small_cnn", "--augmentation", text, "--out", out, "--device", "cpu")
    assert words in line
    assert not out.exists()


@pytest.mark.parametrize(("extra", "steps"), [("", 4), ("stylised_squares", 8)])
def test_a_second_folder_of_images_joins_every_epoch(extra: str, steps: int, squares: Path, tmp_path: Path) -> None:
    """Stylised copies (SIN) make an epoch twice as long."""
    recipe = {"dataset": "squares", "model": "resnet20", "epochs": 2, "batch_size": 12, "extra_dataset": extra}
    told = []
    place = Place(data_dir=squares)
    verbs.train(recipe, tmp_path / "run", place=place, progress=lambda done, total, _="": told.append((done, total)))
    assert told[-1] == (steps, steps)


def test_a_second_folder_of_other_classes_is_refused(squares: Path, refused: Refused, tmp_path: Path) -> None:
    line = refused(
        *("train", "squares", "--model", "resnet20", "--data-dir", squares, "--out", tmp_path / "run"),
        *("--set", "extra_dataset=digits", "--device", "cpu"),
    )
    assert "extra_dataset digits: expected the 2 classes of squares in its order at side 16" in line


def test_a_preview_is_the_same_twice_and_shows_a_row_a_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["vanilla", "cutmix", "augmix", "puzzlemix"]
    for number in range(2):
        assert status(["augment", "preview", *names, "--size", "32", "--out", str(tmp_path / f"{number}.png")]) == 0
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()
    assert capsys.readouterr().out.split() == [str(tmp_path / "0.png"), str(tmp_path / "1.png")]
    assert status(["augment", "preview", *names[:2], "--size", "32", "--out", str(tmp_path / "few.png")]) == 0
    with Image.open(tmp_path / "0.png") as tall, Image.open(tmp_path / "few.png") as short:
        assert tall.height > 1.5 * short.height


def test_a_preview_takes_pictures_of_the_users(squares: Path, refused: Refused, tmp_path: Path) -> None:
    first, second = sorted((tmp_path / "squares" / "train" / "dark").iterdir())[:2]
    arguments = ["augment", "preview", "mixup", "--size", "16", "--out", str(tmp_path / "grid.svg")]
    for kind in ("svg", "pdf", "jpg"):
        out = str(tmp_path / f"grid.{kind}")
        assert status([*arguments[:-1], out, "--image", str(first), "--image", str(second)]) == 0
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((16, 16), 30_000, np.uint16)).save(deep)
    assert "8-bit" in refused(*arguments, "--image", deep, "--image", first)
    assert "one" not in refused(*arguments, "--image", tmp_path / "none.png", "--image", first).split("none.png")[0]
    assert "expected two pictures" in refused(*arguments, "--image", first)
    assert "expected a picture such as grid.png" in refused(*arguments[:-1], tmp_path / "grid.doc")
    assert "divide by 4" in refused("augment", "preview", "comixup", "--size", "30", "--out", tmp_path / "no.png")
    assert "Did you mean cutmix" in refused("augment", "preview", "cutmx", "--out", tmp_path / "no.png")
