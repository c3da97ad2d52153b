"""The tensors of a network, as a checkpoint stores them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dataset_builders.core.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


def network_tensors(network: "Module") -> "dict[str, Tensor]":
    """Parameters and buffers of a network by name: all that a checkpoint stores."""
    import torch

    # graph-pes adds a dictionary with its version to the state, which is not a tensor.
    return {name: value for name, value in network.state_dict().items() if isinstance(value, torch.Tensor)}


def load_tensors(network: "Module", tensors: "Mapping[str, Tensor]") -> None:
    """Loads tensors into a network; they must match it exactly.

    Raises:
        ModelError: If a tensor is missing, unexpected or has another shape.
    """
    own = network_tensors(network)
    odd = sorted(own.keys() ^ tensors.keys()) or [name for name in own if own[name].shape != tensors[name].shape]
    if odd:
        raise ModelError(
            f"tensor {odd[0]!r} ({len(odd)} in all) is missing, unexpected or of the wrong shape; expected exactly the "
            "tensors of this network. Install the library version that wrote the checkpoint"
        )
    network.load_state_dict(tensors, strict=False)
