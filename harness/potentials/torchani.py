"""ANI ensembles (state dicts of TorchANI), evaluated in padded batches.

Sources: ANI-1x, Smith et al., J. Chem. Phys. 148, 241733 (2018); ANI-1ccx, Smith et al., Nat. Commun. 10, 2903
(2019); ANI-2x, Devereux et al., J. Chem. Theory Comput. 16, 4192 (2020). TorchANI's functions for these models
download their weights, so the networks are built here and filled from a file.
"""

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ModelError
from dataset_builders.core.units import HARTREE
from harness.compute.device import resolve_device
from harness.compute.saved_precision import own_precision, saved_dtype
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.core.family import Family
from harness.core.potential import DtypeName, LoadOptions, Potential, PotentialTraits
from harness.networks.ani_ensembles import ENSEMBLES, PADDING, Ensemble, assembled
from harness.trust.pickles import MAX_NAMED, imports_of, is_suspicious, sha256_of

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

FAMILY: Final = Family(
    "torchani",
    __name__,
    "torchani",
    extra="torchani",
    files=("ani2x_state_dict.pt", "ani1x_state_dict.pt", "ani1ccx_state_dict.pt"),
    library_names=("torchani",),
    tags=("torchani",),
)

_SELF_ENERGIES: Final = "energy_shifter.self_energies"
_DAMAGED: Final = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AssertionError, struct.error)
"""Errors of torch.load for a damaged file, besides an error of unpickling."""


class TorchAniPotential(TorchPotential):
    """The mean of an ensemble of ANI networks.

    Args:
        network: TorchANI's network without its atomic self energies, on its device and in its precision.
        self_energies: Hartree, by atomic number; zero for unsupported elements.
        traits: Its traits.
    """

    def __init__(self, network: Any, self_energies: FloatArray, traits: PotentialTraits) -> None:
        import torch

        super().__init__(traits)
        self._network = network
        self._self_energies = torch.tensor(self_energies, dtype=torch.float64, device=traits.device)

    def graph(self, batch: PackedTensors) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Elements and positions; molecules are padded to the size of the largest."""
        import torch

        place = _place(batch)
        shape = (batch.n_structures, batch.most_atoms)
        dtype = getattr(torch, self._traits.dtype)
        species = torch.full(shape, PADDING, dtype=torch.int64, device=batch.device)
        coordinates = torch.zeros((*shape, 3), dtype=dtype, device=batch.device)
        species[place], coordinates[place] = batch.atomic_numbers, batch.positions.to(dtype)
        return species, coordinates

    def forward(self, graph: tuple["torch.Tensor", "torch.Tensor"], batch: PackedTensors) -> Output:
        """Energies with the self energies, and forces."""
        import torch

        species, coordinates = graph
        coordinates = coordinates.detach().requires_grad_()
        atomic = self._network((species, coordinates), atomic=True).energies
        (gradient,) = torch.autograd.grad(atomic.sum(), coordinates)
        place = _place(batch)
        energies = atomic.detach().double()[place] + self._self_energies[batch.atomic_numbers]
        return Output(HARTREE * batch.sum_by_structure(energies), -HARTREE * gradient[place].double())


def _place(batch: PackedTensors) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Row and column of each atom in the padded arrays."""
    import torch

    number = torch.arange(len(batch.atomic_numbers), device=batch.device)
    return batch.system_idx, number - batch.offsets[batch.system_idx]


def load(source: Path, options: LoadOptions) -> Potential:
    """Loads an ensemble from its published state dict.

    Args:
        source: The file, under its published name, or the folder that contains it.
        options: Device and precision, by default that of the file.

    Raises:
        ModelError: If the file is not the state dict of a known ensemble, or the folder contains none or several.
        UsageError: If the device is absent, or a readout head was requested.
    """
    options.require_no_head(str(source))
    path = _find(source)
    ensemble = ENSEMBLES[path.name]
    device = resolve_device(options.device)
    state = _read(path)
    _require_elements_of(ensemble, state, path)
    dtype = options.dtype or own_precision(_weights(state), path)
    network = _filled(ensemble, state, dtype, path).to(device)
    self_energies = np.zeros(max(ensemble.atomic_numbers) + 1)
    self_energies[list(ensemble.atomic_numbers)] = state[_SELF_ENERGIES].double().numpy()
    traits = PotentialTraits(
        model_id=str(source),
        family="torchani",
        elements=frozenset(ensemble.atomic_numbers),
        files={path.name: sha256_of(path)},
        packages=("torchani", "torch"),
        dtype=dtype,
        saved_dtype=saved_dtype(_weights(state)),
        device=str(device),
        level_of_theory=ensemble.level_of_theory,
    )
    return TorchAniPotential(network, self_energies, traits)


def _find(source: Path) -> Path:
    known = " ".join(ENSEMBLES)
    if not source.is_dir():
        if source.name not in ENSEMBLES:
            raise ModelError(f"{source} is not a known ensemble; expected a file named one of: {known}")
        return source
    found = [source / name for name in ENSEMBLES if (source / name).is_file()]
    if len(found) != 1:
        held = " ".join(path.name for path in found) or "none"
        raise ModelError(f"{source} contains {held} of: {known}; expected one. Give the path of the file itself")
    return found[0]


def _read(path: Path) -> "State":
    """Reads only tensors, even from a trusted file: a state dict needs no more."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as cause:
        names = imports_of(path)
        shown = ([name for name in names if is_suspicious(name)] or list(names))[:MAX_NAMED]
        raise ModelError(
            f"{path} (sha256 {sha256_of(path)}) contains more than tensors: loading it would run what it names, such "
            f"as {', '.join(shown) or 'code'}. Expected the plain state dict that TorchANI publishes"
        ) from cause
    except _DAMAGED as cause:
        raise ModelError(
            f"cannot read {path}: {type(cause).__name__}: {_beginning(cause)}. "
            "Expected a state dict that torch.save wrote"
        ) from cause
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise ModelError(f"{path} contains a {type(state).__name__}; expected a state dict, tensors by name")
    return state


def _require_elements_of(ensemble: Ensemble, state: "State", path: Path) -> None:
    lacking = [name for name in ("atomic_numbers", _SELF_ENERGIES) if name not in state]
    if lacking:
        raise ModelError(f"{path} lacks {', '.join(lacking)}; expected the state dict of a complete TorchANI ensemble")
    numbers = tuple(state["atomic_numbers"].flatten().tolist())
    if numbers != ensemble.atomic_numbers:
        raise ModelError(
            f"{path} has atomic numbers {numbers}; expected {ensemble.atomic_numbers} for an ensemble of this name"
        )


def _weights(state: "State") -> list["torch.Tensor"]:
    return [value for name, value in state.items() if name.endswith(".weight")]


def _filled(ensemble: Ensemble, state: "State", dtype: DtypeName, path: Path) -> Any:
    import torch

    network = assembled(ensemble).to(dtype=getattr(torch, dtype))
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as cause:
        raise ModelError(f"{path} does not fit the networks of {ensemble.architecture}: {_beginning(cause)}") from cause
    # The self energies are added in double precision at the end.
    network.set_enabled("energy_shifter", False)
    return network.eval().requires_grad_(False)


def _beginning(cause: Exception) -> str:
    """The beginning of an error text that may list every tensor, for a message."""
    return " ".join(str(cause).split())[:300]


def network_and_self_energies(potential: TorchAniPotential) -> tuple[Any, FloatArray]:
    """The ensemble of a potential, and its self energies in Hartree by atomic number, for fine-tuning."""
    return potential._network, potential._self_energies.cpu().numpy()
