"""The precision in which the parameters of a network were saved."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dataset_builders.core.errors import ModelError
from harness.core.potential import DtypeName, SavedDtypeName

if TYPE_CHECKING:
    import torch


def saved_precision(model: Any, path: Path) -> DtypeName:
    """The precision of a network's parameters, as its file has them.

    Args:
        model: The network, a `torch.nn.Module`.
        path: Its file, for the message.

    Raises:
        ModelError: If it is neither of the two that the harness computes in.
    """
    import torch

    match next(model.parameters()).dtype:
        case torch.float32:
            return "float32"
        case torch.float64:
            return "float64"
        case other:
            raise ModelError(f"{path} was saved in {other}; choose --dtype float32 or float64")


def saved_dtype(parameters: "Iterable[torch.Tensor]") -> SavedDtypeName | None:
    """The precision of the parameters of a network as they are; `None` if they have several, or another one.

    Args:
        parameters: As read from the file; those that are no floating-point numbers are ignored.
    """
    found = {str(each.dtype).removeprefix("torch.") for each in parameters if each.is_floating_point()}
    known: dict[str, SavedDtypeName] = {name: name for name in get_args(SavedDtypeName)}
    return known.get(found.pop()) if len(found) == 1 else None
