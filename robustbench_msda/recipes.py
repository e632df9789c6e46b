"""``Recipe``: everything that decides a network's weights. Presets hold the training settings of the papers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from robustbench_msda.errors import UserError, pick, unknown
from robustbench_msda.records import digest

Option = int | float | str


class Recipe(BaseModel):
    """Everything that decides a network's weights; a recipe id is its hash.

    Attributes:
        dataset: a name of ``data check``.
        model: a model source, such as ``resnet20`` or ``path/to/file.py:callable``.
        model_options: keyword arguments of the model.
        augmentation: canonical text, such as ``cutmix(alpha=1.0)``.
        extra_dataset: a second data set whose training images join every epoch, such as stylised copies of the first
            (Geirhos et al., ICLR 2019); of the same classes and size. Empty for none.
        loss: ``softmax_bce`` is the binary cross-entropy of softmax probabilities, with which the code of PuzzleMix and
            Co-Mixup trains CIFAR.
        label_smoothing: ε: the true class gets 1 − ε + ε/K, the others ε/K; applied before mixing.
        crop: ``padded`` cuts the image out of itself with a border; ``random_resized`` cuts out a part and resizes it
            (Szegedy et al., CVPR 2015), as ImageNet is trained.
        crop_padding: zero padding of the padded crop, in pixels; 0 leaves the images where they are.
        crop_scale: the smallest and largest share of the picture's area that a random resized crop takes.
        flip: the probability of a horizontal flip.
        color_jitter: brightness, contrast and saturation are scaled by 1 ± this, in random order; 0 for none.
        lighting: standard deviation of the noise along the principal components of ImageNet's colours (Krizhevsky et
            al., NeurIPS 2012); 0 for none.
        epochs: passes over the training set.
        batch_size: the global batch, over all replicas.
        lr: the peak learning rate of SGD.
        momentum: of SGD.
        nesterov: whether the momentum is Nesterov's.
        weight_decay: of every parameter, or of those ``decayed`` names.
        decayed: ``weights`` spares biases and the scales and shifts of normalisation, as timm does.
        clip_norm: what the norm of all gradients together is cut to; 0 cuts nothing.
        schedule: cosine to ``final_lr``, or a step at each milestone.
        milestones: fractions of the training run, for ``multi_step``.
        gamma: the factor at each milestone.
        final_lr: where the cosine ends.
        warmup: the fraction of the run over which the rate rises linearly.
        warmup_lr: where it rises from.
        precision: ``bfloat16`` is autocast; weights and loss stay float32.
        ema: decay per step of the exponential moving average that is kept; 0 keeps the weights themselves.
        replicas: how many parts a global batch is split into; batch normalisation and mixing act inside a part.
        seed: of initialisation, order, crops and mixing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    dataset: str
    model: str
    model_options: dict[str, Option] = {}
    augmentation: str = "vanilla()"
    extra_dataset: str = ""
    loss: Literal["cross_entropy", "softmax_bce"] = "cross_entropy"
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)
    crop: Literal["padded", "random_resized"] = "padded"
    crop_padding: int = Field(4, ge=0)
    crop_scale: tuple[Annotated[float, Field(gt=0.0, le=1.0)], Annotated[float, Field(gt=0.0, le=1.0)]] = (0.08, 1.0)
    flip: float = Field(0.5, ge=0.0, le=1.0)
    color_jitter: float = Field(0.0, ge=0.0, lt=1.0)
    lighting: float = Field(0.0, ge=0.0)
    epochs: int = Field(200, ge=1)
    batch_size: int = Field(128, ge=2)
    lr: float = Field(0.1, gt=0.0)
    momentum: float = Field(0.9, ge=0.0, lt=1.0)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0.0)
    decayed: Literal["all", "weights"] = "all"
    clip_norm: float = Field(0.0, ge=0.0)
    schedule: Literal["cosine", "multi_step"] = "cosine"
    milestones: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = ()
    gamma: float = Field(0.1, gt=0.0)
    final_lr: float = Field(0.0, ge=0.0)
    warmup: float = Field(0.0, ge=0.0, lt=1.0)
    warmup_lr: float = Field(0.0, ge=0.0)
    precision: Literal["bfloat16", "float32"] = "float32"
    ema: float = Field(0.0, ge=0.0, lt=1.0)
    replicas: int = Field(1, ge=1)
    seed: int = Field(0, ge=0)

    @field_validator("crop_scale")
    @classmethod
    def _smallest_first(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError("expected the smallest share first")
        return scale

    @field_validator("replicas")
    @classmethod
    def _two_images_each(cls, replicas: int, others: ValidationInfo) -> int:
        if 2 * replicas > others.data.get("batch_size", 2 * replicas):
            raise ValueError("batch norm needs batch_size of at least two images a replica")
        return replicas

    @property
    def id(self) -> str:
        """The first 12 hex digits of the hash of every field that is not its default.

        Defaults stay out of the hash so that a field that is added later orphans no checkpoint; they never change.
        """
        return digest(self.model_dump(mode="json", exclude_defaults=True))[:12]

    @property
    def group(self) -> str:
        """The id without the seed: what runs that differ in nothing else share."""
        return digest(self.model_dump(mode="json", exclude_defaults=True, exclude={"seed"}))[:12]

    @property
    def folder(self) -> str:
        """The name of its run folder: readable, and unique through the id."""
        words = f"{self.dataset}-{self.model}-{self.augmentation}"
        slug = re.sub(r"[^A-Za-z0-9_.=-]+", "-", words.replace("()", "")).strip("-")
        return f"{slug[:80]}-s{self.seed}-{self.id}"


# Sources: the papers, and where they are silent the code they release; "proposed" is neither's. An epoch count is the
# paper's. Names: whose settings, then c for CIFAR, t for Tiny-ImageNet, i for ImageNet.
PRESETS: dict[str, dict[str, object]] = {
    # AugMix (Hendrycks et al., ICLR 2020), CIFAR; used by the Dynamic Mixup paper.
    "r_aug_c": {"epochs": 100, "batch_size": 128, "lr": 0.1, "final_lr": 1e-6, "weight_decay": 5e-4},
    # The same, ImageNet (google-research/augmix 9b9824c, imagenet.py: a tenth at each third, no Nesterov momentum). The
    # Dynamic Mixup paper adds the warm-up over 5 epochs (of Goyal et al., 2017) and trains AutoAugment*, AugMix and
    # itself for 180 epochs; 90 for the others, and the rise from 0, are proposed.
    "r_aug_i": {
        "epochs": 90,
        "batch_size": 256,
        "lr": 0.1,
        "nesterov": False,
        "weight_decay": 1e-4,
        "crop": "random_resized",
        "schedule": "multi_step",
        "milestones": (1 / 3, 2 / 3),
        "warmup": 5 / 90,
    },
    # CutMix (Yun et al., ICCV 2019), CIFAR.
    "r_cut_c": {
        "epochs": 300,
        "batch_size": 64,
        "lr": 0.25,
        "weight_decay": 1e-4,
        "schedule": "multi_step",
        "milestones": (0.5, 0.75),
    },
    # The same, ImageNet: epochs, batch, rate and its steps are the paper's, the rest its code's
    # (clovaai/CutMix-PyTorch). The papers on DCutMix and class dependency train as it does.
    "r_cut_i": {
        "epochs": 300,
        "batch_size": 256,
        "lr": 0.1,
        "weight_decay": 1e-4,
        "crop": "random_resized",
        "color_jitter": 0.4,
        "lighting": 0.1,
        "schedule": "multi_step",
        "milestones": (0.25, 0.5, 0.75),
    },
    # DCutMix, the settings of its released code (clovaai/DCutMix, README), which differ from the paper's "as CutMix".
    "r_dcut_c": {
        "epochs": 300,
        "batch_size": 64,
        "lr": 0.25,
        "weight_decay": 4e-5,
        "schedule": "multi_step",
        "milestones": (0.75, 0.9),
    },
    # Co-Mixup (Kim et al., ICLR 2021) as the class-dependency paper trains it: weight decay 5e-4, crop padding 2.
    "r_snu": {
        "epochs": 300,
        "batch_size": 100,
        "lr": 0.2,
        "weight_decay": 5e-4,
        "crop_padding": 2,
        "schedule": "multi_step",
        "milestones": (1 / 3, 2 / 3),
    },
    # The same as its released code trains: weight decay 1e-4, binary cross-entropy of softmax (snu-mllab/Co-Mixup).
    "r_snu_code": {
        "epochs": 300,
        "batch_size": 100,
        "lr": 0.2,
        "weight_decay": 1e-4,
        "loss": "softmax_bce",
        "crop_padding": 2,
        "schedule": "multi_step",
        "milestones": (1 / 3, 2 / 3),
    },
    # The class-dependency paper (Lee et al., 2023, appendix A), CIFAR-10; batch and Nesterov momentum are proposed.
    "r_drop_c": {
        "epochs": 200,
        "batch_size": 128,
        "lr": 0.1,
        "weight_decay": 5e-4,
        "schedule": "multi_step",
        "milestones": (0.3, 0.6, 0.8),
        "gamma": 0.2,
    },
    # HMix and GMix (Park et al., NeurIPS 2022), ImageNet: epochs and rate are the paper's. Proposed: the rest of
    # CutMix's settings without its shifts of colour, and weight decay as timm has it, on which their code is built;
    # timm's own schedule would be schedule = "cosine".
    "r_hmix_i": {
        "epochs": 300,
        "batch_size": 256,
        "lr": 0.1,
        "weight_decay": 1e-4,
        "decayed": "weights",
        "crop": "random_resized",
        "schedule": "multi_step",
        "milestones": (0.25, 0.5, 0.75),
    },
    # FMix (Harris et al., 2020, table 8), CIFAR: no Nesterov momentum (ecs-vlc/FMix e5991dc). Its appendix prints a
    # weight decay of 10^4 for 10^-4.
    "r_fmix_c": {
        "epochs": 200,
        "batch_size": 128,
        "lr": 0.1,
        "weight_decay": 1e-4,
        "nesterov": False,
        "schedule": "multi_step",
        "milestones": (0.5, 0.75),
    },
    # The same, Tiny-ImageNet, whose pictures the code flips but does not crop.
    "r_fmix_t": {
        "epochs": 200,
        "batch_size": 128,
        "lr": 0.1,
        "weight_decay": 1e-4,
        "nesterov": False,
        "crop_padding": 0,
        "schedule": "multi_step",
        "milestones": (0.75, 0.9),
    },
    # The same, ImageNet. The warm-up is the code's, which rises from 0.1 at each of 5 epochs; here at each step.
    "r_fmix_i": {
        "epochs": 90,
        "batch_size": 256,
        "lr": 0.4,
        "weight_decay": 1e-4,
        "nesterov": False,
        "crop": "random_resized",
        "schedule": "multi_step",
        "milestones": (1 / 3, 2 / 3, 8 / 9),
        "warmup": 5 / 90,
        "warmup_lr": 0.1,
    },
}


def make_recipe(settings: Mapping[str, object], where: str = "recipe") -> Recipe:
    """Return the recipe of ``settings``, which may name a ``preset`` whose fields they override.

    Args:
        settings: fields of ``Recipe``; ``augmentation`` must be canonical already.
        where: what to name in messages: a file or a command.

    Raises:
        UserError: a field is unknown, missing or out of range.
    """
    given = dict(settings)
    preset = given.pop("preset", None)
    merged = {**(pick(PRESETS, str(preset), "preset") if preset else {}), **given}
    if strange := [name for name in merged if name not in Recipe.model_fields]:
        raise unknown(strange[0], Recipe.model_fields, f"field of a recipe in {where}:")
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {field}: {first['msg']}, found {first['input']!r}") from None
