"""The precision in which the parameters of a network were saved."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from dataset_builders.core.errors import ModelError
from harness.core.potential import DtypeName, SavedDtypeName

if TYPE_CHECKING:
    import torch


def own_precision(parameters: "Iterable[torch.Tensor]", path: Path) -> DtypeName:
    """The precision in which a network computes unless another one is chosen: that of its parameters.

    Args:
        parameters: As read from the file; those that are no floating-point numbers are ignored.
        path: The file, for the message.

    Raises:
        ModelError: If it is neither of the two that the harness computes in, or there are several.
    """
    found = _precisions(parameters)
    match found:
        case ["float32"]:
            return "float32"
        case ["float64"]:
            return "float64"
        case _:
            raise ModelError(
                f"{path} was saved in {' and '.join(found) or 'no floating-point numbers'}; "
                "choose --dtype float32 or float64"
            )


def saved_dtype(parameters: "Iterable[torch.Tensor]") -> SavedDtypeName | None:
    """The precision of the parameters of a network as they are; `None` if they have several, or another one.

    Args:
        parameters: As read from the file; those that are no floating-point numbers are ignored.
    """
    found = _precisions(parameters)
    known: dict[str, SavedDtypeName] = {name: name for name in get_args(SavedDtypeName)}
    return known.get(found[0]) if len(found) == 1 else None


def _precisions(parameters: "Iterable[torch.Tensor]") -> list[str]:
    """Their names in PyTorch, without repetition."""
    return sorted({str(each.dtype).removeprefix("torch.") for each in parameters if each.is_floating_point()})
