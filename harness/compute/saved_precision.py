"""The precision in which the parameters of a network were saved."""

from pathlib import Path
from typing import Any

from dataset_builders.core.errors import ModelError
from harness.core.potential import DtypeName


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
