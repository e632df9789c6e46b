"""Networks and the channels of the images they take: three is RGB, one grey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from robustbench_msda.errors import UserError
from robustbench_msda.models.layers import first_layer
from robustbench_msda.models.normalisation import Normalised
from robustbench_msda.models.sources import Options, one_line, runs_code, split

RGB = 3
GREY = 1
OPTION = "in_chans"


def with_channels(source: str, options: Options, channels: int) -> Options:
    """Return ``options`` with what makes a network of ``source`` take images of so many ``channels``.

    Ours and timm's have an option ``in_chans``; a callable in a file is left to its author.

    Raises:
        UserError: the option says otherwise, or the source has none and takes RGB.
    """
    if options.get(OPTION, channels) != channels:
        raise UserError(
            f"{source}: model option {OPTION}={options[OPTION]!r}, the images have {channels}: leave the option out"
        )
    if channels == RGB or OPTION in options or runs_code(source):
        return options
    if split(source)[0] == "torchvision":
        raise UserError(f"{source} takes images of three channels, these have {channels}: give one of ours or timm's")
    return {**options, OPTION: channels}


def takes_grey(state: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> bool:
    """Return whether ``state`` is of a ``network`` made for one channel, as far as its first layer tells."""
    name = first_layer(network)
    shapes = [tuple(each[name].shape) for each in (state, network) if name in each]
    return len(shapes) == 2 and [len(shape) for shape in shapes] == [4, 4] and [s[1] for s in shapes] == [GREY, RGB]


def check_numbers(given: Mapping[str, Sequence[float]], channels: int) -> None:
    """Raise ``UserError`` unless each option of a normalisation has a number for each of the ``channels``, or none."""
    for option, numbers in given.items():
        if len(numbers) not in (0, channels):
            raise UserError(
                f"{option}: expected {channels} numbers, one a channel of the data set, found {len(numbers)}; "
                "give as many, or none for the data set's own"
            )


def check_takes(model: Normalised, source: str, shape: tuple[int, int, int]) -> None:
    """Raise ``UserError`` unless a user's own ``model`` takes images of ``shape`` (C, H, W); others are built for them.

    Args:
        model: takes images in [0, 1]; it is left in the mode it is in.
        source: where it comes from.
        shape: of an image.
    """
    if not runs_code(source):
        return
    mode = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(2, *shape, device=model.mean.device))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        size = "×".join(map(str, shape[1:]))
        raise UserError(
            f"{source} refuses images of {shape[0]} channels and {size} px ({one_line(error)[:200]}); "
            "give a network made for them, or its model_options"
        ) from error
    finally:
        model.train(mode)
