"""SO3LR models of so3krates-torch, prepared for further training and rebuilt from plain values instead of a pickle."""

import copy
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from dataset_builders.core.errors import ModelError
from harness.networks.graph import MoleculeGraph
from harness.networks.same_network import energy_difference
from harness.networks.so3krates_package import ELEMENTS, default_dtype, so3lr_input

_ATTRIBUTES: Final = {
    "avg_num_neighbors": "avg_num_neighbors_param",
    "cutoff_fn": "cutoff_fn_name",
    "activation_fn": "activation_fn_name",
    "energy_activation_fn": "energy_activation_fn_name",
}
"""Attributes of a model that hold an argument of another name."""

_LEFT_OUT: Final = frozenset(
    {
        *("args", "kwargs", "seed", "device", "dtype"),
        # Energies of elements are added outside the network.
        *("atomic_type_shifts", "energy_learn_atomic_type_shifts"),
        # Of periodic cells; the adapter refuses such a model.
        *("use_pme", "pme_smearing", "pme_mesh_spacing"),
    }
)
_SHARED: Final = ("filter_net_inv", "filter_net_ev")
_ROUNDING: Final = 1e-6
"""eV."""

_UNBUILDABLE: Final = (KeyError, TypeError, ValueError, AttributeError, AssertionError, ArithmeticError, RuntimeError)
"""Errors of the package for values that are none of its arguments."""


class So3lrNetwork(torch.nn.Module):
    """An SO3LR model without the energies of elements.

    Args:
        model: An `SO3LR` with both cutoffs; its energies of elements are set to zero.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        shifts = model.atomic_energy_output_block.energy_shifts.requires_grad_(False)
        shifts.zero_()
        for layer in model.euclidean_transformers:
            # The attention block has them too, and alone uses them; a checkpoint holds each tensor once.
            for name in _SHARED:
                delattr(layer, name)
        self.so3lr = model
        self._own_attributes = frozenset(vars(model))

    def forward(self, graph: MoleculeGraph) -> dict[str, Tensor]:
        """The energy of each atom, eV, shape (n_atoms_total,), as `local_energies`."""
        model = self.so3lr
        first, second = graph.neighbour_list
        distances = (graph.R[second] - graph.R[first]).detach().norm(dim=1)
        near, far = (graph.neighbour_list[:, distances < float(each)] for each in (model.r_max, model.r_max_lr))
        # The model marks its positions as differentiable, which must not change those of the graph.
        positions = graph.R if graph.R.requires_grad else graph.R.detach()
        data = so3lr_input(graph.Z, positions, (graph.batch, graph.ptr), (near, far), int(model.num_elements))
        with default_dtype(positions.dtype):
            output = model(data, training=self.training, compute_force=False)
        energies: Tensor = output["node_energy"].ravel()
        # It keeps the tensors of its last batch, and with them all that a gradient would need.
        for name in vars(model).keys() - self._own_attributes:
            delattr(model, name)
        return {"local_energies": energies}


def build_so3lr(arguments: Mapping[str, Any]) -> So3lrNetwork:
    """A model with random weights.

    Args:
        arguments: From `so3lr_arguments`.

    Raises:
        ModelError: If the installed so3krates-torch cannot build it.
    """
    from so3krates_torch.modules.models import SO3LR

    try:
        values = dict(arguments["model"])
        # Its constructor sets the precision of the whole process to that of the model.
        with default_dtype(torch.float32):
            return So3lrNetwork(SO3LR(**values, device="cpu", dtype=torch.float32))
    except _UNBUILDABLE as cause:
        raise ModelError(
            f"this so3krates-torch cannot build the SO3LR of the checkpoint ({type(cause).__name__}: {cause}); "
            "install the version that its config.json names"
        ) from cause


def so3lr_arguments(model: Any) -> dict[str, Any]:
    """The arguments with which `build_so3lr` rebuilds a model, as plain values.

    Args:
        model: The loaded model, with both cutoffs.

    Raises:
        ModelError: If the model lacks one of them.
    """
    try:
        values = {name: _plain(getattr(model, _ATTRIBUTES.get(name, name))) for name in _argument_names(type(model))}
    except AttributeError as cause:
        raise ModelError(
            f"cannot fine-tune this SO3LR: {cause}. Use a model of the installed version of so3krates-torch"
        ) from cause
    values["degrees"] = [int(degree) for degree in values["degrees"]]
    cutoff = max(float(model.r_max), float(model.r_max_lr))
    return {"layers": int(model.num_layers), "cutoff": cutoff, "model": values}


def require_same_model(model: Any, arguments: Mapping[str, Any]) -> None:
    """Checks that the network from `build_so3lr` reproduces the energies of the model, given its tensors.

    Args:
        model: The loaded model, in double precision.
        arguments: From `so3lr_arguments`.

    Raises:
        ModelError: If the energies differ.
    """
    original, rebuilt = So3lrNetwork(copy.deepcopy(model)).eval(), build_so3lr(arguments).double().eval()
    reach, cutoff = float(model.r_max), float(arguments["cutoff"])
    difference = energy_difference(original, rebuilt, sorted(ELEMENTS), reach, cutoff)
    if not difference < _ROUNDING:
        raise ModelError(
            f"the SO3LR cannot be rebuilt from the arguments that it states: atomic energies differ by "
            f"{difference:.2g} eV; expected less than {_ROUNDING:g}. Use a model of the installed version of "
            "so3krates-torch"
        )


def _argument_names(kind: type) -> Iterator[str]:
    """Names of the arguments of a class of the package, which passes on those of the class that it derives from."""
    found: dict[str, None] = {}
    for each in kind.__mro__:
        if each.__module__.startswith("so3krates_torch."):
            found |= dict.fromkeys(inspect.signature(each).parameters)
    return (name for name in found if name not in _LEFT_OUT)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
