"""MACE models of mace-torch, prepared for further training and rebuilt from plain values instead of a pickle."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import torch

from dataset_builders.core.errors import ModelError
from harness.networks.graph import MoleculeGraph
from harness.networks.mace_package import NEUTRAL_SINGLET, importing_mace
from harness.networks.same_network import energy_difference

if TYPE_CHECKING:
    from torch import Tensor

_CLASSES: Final = ("interaction_cls", "interaction_cls_first")
_IRREPS: Final = ("hidden_irreps", "MLP_irreps", "edge_irreps")
_ROUNDING: Final = 1e-6
"""eV; some constants of a model are stored in single precision."""
_SIZES: Final = ("num_bessel", "num_polynomial_cutoff", "max_ell", "num_interactions", "num_elements")


class MaceNetwork(torch.nn.Module):
    """A MACE model without the energies of isolated atoms.

    Args:
        model: A `ScaleShiftMACE`; its energies of isolated atoms are set to zero.
        head: Index of the readout head.
    """

    def __init__(self, model: Any, head: int) -> None:
        super().__init__()
        model.atomic_energies_fn.atomic_energies.zero_()
        self.mace = model
        self._head = head
        self._from_charge_and_spin: list[Tensor] = []
        readout = getattr(model, "embedding_readout", None)
        if readout is not None:
            # MACE adds the readout of charge and spin to the energy of the molecule but not to `node_energy`.
            readout.register_forward_hook(lambda _module, _inputs, output: self._from_charge_and_spin.append(output))
        numbers = [int(number) for number in model.atomic_numbers]
        index = torch.zeros(max(numbers) + 1, dtype=torch.int64)
        index[numbers] = torch.arange(len(numbers))
        self.register_buffer("index_of_element", index, persistent=False)

    def forward(self, graph: MoleculeGraph) -> "dict[str, Tensor]":
        """The energy of each atom, eV, shape (n_atoms_total,), as `local_energies`."""
        self._from_charge_and_spin.clear()
        output = self.mace(self._data(graph), training=self.training, compute_force=False)
        energies = output["node_energy"]
        for contribution in self._from_charge_and_spin:
            energies = energies + contribution[:, self._head]
        return {"local_energies": energies.to(graph.R.dtype)}

    def _data(self, graph: MoleculeGraph) -> "dict[str, Tensor]":
        n_structures, n_edges = len(graph.ptr) - 1, graph.neighbour_list.shape[1]
        element = self.get_buffer("index_of_element")[graph.Z]
        data = {
            "positions": graph.R,
            "node_attrs": torch.nn.functional.one_hot(element, len(self.mace.atomic_numbers)).to(graph.R.dtype),
            "edge_index": graph.neighbour_list,
            "shifts": graph.R.new_zeros((n_edges, 3)),
            "unit_shifts": graph.R.new_zeros((n_edges, 3)),
            "cell": graph.R.new_zeros((3 * n_structures, 3)),
            "batch": graph.batch,
            "ptr": graph.ptr,
            "head": torch.full((n_structures,), self._head, dtype=torch.int64, device=graph.Z.device),
        }
        for name, value in NEUTRAL_SINGLET.items():
            data[name] = graph.R.new_full((n_structures,), value)
        return data


def build_mace(arguments: Mapping[str, Any]) -> MaceNetwork:
    """A model with random weights.

    Args:
        arguments: From `mace_arguments`.

    Raises:
        ModelError: If the installed mace-torch cannot build it.
    """
    with importing_mace() as modules:
        from e3nn import o3
    try:
        values = dict(arguments["model"])
        for name in _CLASSES:
            values[name] = modules.interaction_classes[values[name]]
        values["readout_cls"] = modules.readout_classes[values["readout_cls"]]
        values["gate"] = modules.gate_dict[values["gate"]]
        for name in _IRREPS:
            values[name] = None if values[name] is None else o3.Irreps(values[name])
        values["atomic_energies"] = [[0.0] * values["num_elements"]] * len(values["heads"])
        model = modules.ScaleShiftMACE(**{**values, "cueq_config": None})
        return MaceNetwork(model, int(arguments["head"]))
    except (KeyError, TypeError, ValueError) as cause:
        raise ModelError(
            f"this mace-torch cannot build the MACE of the checkpoint ({type(cause).__name__}: {cause}); "
            "install the version that its config.json names"
        ) from cause


def mace_arguments(model: Any, head: int) -> dict[str, Any]:
    """The arguments with which `build_mace` rebuilds a model, as plain values.

    Args:
        model: The loaded model.
        head: Index of the readout head.

    Raises:
        ModelError: If mace-torch does not expose the arguments of the model.
    """
    with importing_mace() as modules:
        from mace.tools.scripts_utils import extract_config_mace_model
    if type(model) is not modules.ScaleShiftMACE:
        raise ModelError(
            f"cannot fine-tune a {type(model).__name__}; expected a ScaleShiftMACE, the class of MACE's foundation "
            "models"
        )
    found: dict[str, Any] = extract_config_mace_model(model)
    gates = {gate: name for name, gate in modules.gate_dict.items()}
    values = {name: _plain(value) for name, value in found.items() if name not in ("atomic_energies", "cueq_config")}
    values |= {name: found[name].__name__ for name in (*_CLASSES, "readout_cls")}
    values |= {name: None if found[name] is None else str(found[name]) for name in _IRREPS}
    values |= {name: int(found[name]) for name in _SIZES}
    values["gate"] = gates.get(found["gate"], "silu")
    layers, cutoff = values["num_interactions"], float(values["r_max"])
    return {"layers": layers, "cutoff": cutoff, "head": head, "model": values}


def require_same_model(model: Any, head: int, arguments: Mapping[str, Any]) -> None:
    """Checks that the network from `build_mace` reproduces the energies of the model, given its tensors.

    Args:
        model: The loaded model, in double precision.
        head: Index of the readout head.
        arguments: From `mace_arguments`.

    Raises:
        ModelError: If the energies differ.
    """
    original, rebuilt = MaceNetwork(copy.deepcopy(model), head).eval(), build_mace(arguments).double().eval()
    numbers, cutoff = [int(number) for number in model.atomic_numbers], float(model.r_max)
    difference = energy_difference(original, rebuilt, numbers, cutoff, cutoff)
    if not difference < _ROUNDING:
        raise ModelError(
            f"the MACE cannot be rebuilt from the arguments that mace-torch reports: atomic energies differ by "
            f"{difference:.2g} eV; expected less than {_ROUNDING:g}. Use a model of the installed version of mace-torch"
        )


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
