"""Any model with the interface of TorchSim, described by a small recipe, evaluated in batches.

Source: Cohen et al., doi 10.1088/3050-287X/ae1799 (2025). Written for torch-sim-atomistic 0.6.2, which needs Python
3.12, and run with it on TorchSim's Lennard-Jones potential. An earlier version ran with its wrappers of MACE and UMA on
random weights, on Python 3.11 and with the package's type parameters rewritten for it. Prefer the adapter of a family
if there is one: a wrapper may round total energies to single precision.

A recipe is a file `torchsim.json` beside the weights:

    {"factory": "package.module:Class", "arguments": {"some": 1}, "files": {"model": "weights.pt"},
     "elements": [1, 6, 7, 8], "conservative": true, "level_of_theory": "PBE"}

The factory is called with the arguments, the paths of the files and the device, and with a `dtype` if one was
requested; it must return a `torch_sim.models.interface.ModelInterface`.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import ModelError
from dataset_builders.core.parsed_text import json_file
from harness.compute.device import resolve_device
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.compute.trial import bent_trio, tried_with
from harness.core.family import Family
from harness.core.installed_packages import installed_packages
from harness.core.potential import DtypeName, LoadOptions, Potential, PotentialTraits
from harness.core.source_code import working_files
from harness.trust.pickles import sha256_of

if TYPE_CHECKING:
    import torch

FAMILY: Final = Family("torchsim", __name__, "torch_sim", folder=("torchsim.json",), is_pickled=True)

RELEASE: Final = "0.6.2"
"""Release of torch-sim-atomistic that this adapter was written for."""

RECIPE: Final = "torchsim.json"
"""Name of a recipe."""

_CHARGE_NAMES: Final = ("charge", "total_charge")
_SPIN_NAMES: Final = ("spin", "total_spin")
"""Names for the charge and spin multiplicity of a molecule in TorchSim's wrappers; some take an absent spin
multiplicity as 0."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make a model.

    Attributes:
        factory: `package.module:callable`.
        elements: Atomic numbers that the model has parameters for.
        conservative: Whether its forces are the negative gradient of its energy.
        arguments: Arguments of the factory, by keyword.
        files: Names of files beside the recipe, by keyword; the factory receives their paths.
        level_of_theory: Level of theory of the training labels, if known.
    """

    factory: str
    elements: frozenset[int]
    conservative: bool
    arguments: Mapping[str, Any]
    files: Mapping[str, str]
    level_of_theory: str | None


class TorchSimPotential(TorchPotential):
    """A model with the interface of TorchSim.

    Args:
        model: A `ModelInterface`.
        traits: Its traits.
    """

    def __init__(self, model: Any, traits: PotentialTraits) -> None:
        import torch
        from ase.data import atomic_masses

        super().__init__(traits)
        self._model = model
        self._masses = torch.tensor(atomic_masses, dtype=model.dtype, device=traits.device)

    def graph(self, batch: PackedTensors) -> Any:
        """The `SimState` that TorchSim takes."""
        import torch
        from torch_sim import SimState

        device, dtype, n_structures = batch.device, self._model.dtype, batch.n_structures
        neutral = dict.fromkeys(_CHARGE_NAMES, torch.zeros(n_structures, dtype=dtype, device=device))
        singlet = dict.fromkeys(_SPIN_NAMES, torch.ones(n_structures, dtype=dtype, device=device))
        return SimState(
            positions=batch.positions.to(dtype),
            masses=self._masses[batch.atomic_numbers],
            # As TorchSim converts a molecule of ASE.
            cell=torch.zeros((n_structures, 3, 3), dtype=dtype, device=device),
            pbc=False,
            atomic_numbers=batch.atomic_numbers,
            system_idx=batch.system_idx,
            **neutral,
            **singlet,
        )

    def forward(self, graph: Any, batch: PackedTensors) -> Output:
        """Energies and forces."""
        output = self._model(graph)
        return Output(output["energy"].double().reshape(batch.n_structures), output["forces"])


def load(source: Path, options: LoadOptions) -> Potential:
    """Makes the model that a recipe describes.

    Args:
        source: Folder of the recipe, or the recipe itself.
        options: Device, precision (by default that of the factory) and trust, since a recipe runs what it names.

    Raises:
        ModelError: If the recipe is not trusted or invalid, or its model does not run.
        UsageError: If the device is absent, or a readout head was requested.
    """
    path = source / RECIPE if source.is_dir() else source
    options.require_no_head(str(path))
    recipe = read_recipe(path)
    if not options.trust_checkpoint:
        raise ModelError(
            f"{path} (sha256 {sha256_of(path)}) runs {recipe.factory} with its arguments, on files that may be "
            "pickles. If you trust its source, add --trust-checkpoint"
        )
    device = resolve_device(options.device)
    files = {keyword: path.parent / name for keyword, name in recipe.files.items()}
    digests = {each.name: sha256_of(each) for each in (path, *files.values())}
    with tried_with("torch-sim-atomistic", RELEASE, path):
        model = _made(recipe, files, device, options.dtype)
        code = working_files(recipe.factory.partition(":")[0])
        traits = PotentialTraits(
            model_id=str(source),
            family="torchsim",
            elements=recipe.elements,
            files=digests | {name: sha256_of(where) for name, where in code.items()},
            packages=_distributions(model),
            dtype=_dtype(model, options.dtype, path),
            device=str(device),
            level_of_theory=recipe.level_of_theory,
            conservative=recipe.conservative,
        )
        potential = TorchSimPotential(model, traits)
        potential.compute(bent_trio(traits))
    return potential


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe, and checks that it is complete and names only files beside it.

    Raises:
        ModelError: If it cannot be read, lacks a key, or has an unknown key or a value of the wrong type.
    """
    try:
        fields = json_file(path)
    except (OSError, ValueError) as cause:
        raise ModelError(f"cannot read the recipe {path}: {cause}; expected a JSON object") from cause
    if not isinstance(fields, dict):
        raise ModelError(f"the recipe {path} is a JSON {type(fields).__name__}; expected an object")
    fields = {"arguments": {}, "files": {}, "level_of_theory": None, **fields}
    kinds: Mapping[str, type | tuple[type, ...]] = {
        "factory": str,
        "elements": list,
        "conservative": bool,
        "arguments": dict,
        "files": dict,
        "level_of_theory": (str, type(None)),
    }
    if fields.keys() != kinds.keys():
        lacking, unknown = sorted(kinds.keys() - fields.keys()), sorted(fields.keys() - kinds.keys())
        raise ModelError(f"the recipe {path} lacks {lacking} and has the unknown {unknown}; expected {' '.join(kinds)}")
    wrong = [name for name, kind in kinds.items() if not isinstance(fields[name], kind)]
    if wrong:
        raise ModelError(f"the recipe {path} has {wrong[0]} {fields[wrong[0]]!r}, which has the wrong type")
    if not fields["elements"] or any(type(number) is not int or number < 1 for number in fields["elements"]):
        raise ModelError(f"the recipe {path} has elements {fields['elements']!r}; expected a list of atomic numbers")
    outside = [name for name in fields["files"].values() if not isinstance(name, str) or Path(name).name != name]
    if outside:
        raise ModelError(f"the recipe {path} names the file {outside[0]!r}; expected the name of a file beside it")
    return Recipe(**{**fields, "elements": frozenset(fields["elements"])})


def _made(recipe: Recipe, files: Mapping[str, Path], device: "torch.device", dtype: DtypeName | None) -> Any:
    import torch
    from torch_sim.models.interface import ModelInterface

    module, _, name = recipe.factory.partition(":")
    factory = getattr(importlib.import_module(module), name)
    precision = {} if dtype is None else {"dtype": getattr(torch, dtype)}
    model = factory(**recipe.arguments, **files, device=device, **precision)
    if not isinstance(model, ModelInterface):
        raise TypeError(f"{recipe.factory} made a {type(model).__name__}, which is not a ModelInterface of TorchSim")
    if torch.device(model.device).type != device.type:
        raise ValueError(f"{recipe.factory} put its model on {model.device}, but {device} was requested")
    return model


def _dtype(model: Any, wanted: DtypeName | None, path: Path) -> DtypeName:
    match str(model.dtype).removeprefix("torch."):
        case "float32" | "float64" as dtype if wanted in (None, dtype):
            return dtype
        case other:
            raise ModelError(f"the model of {path} computes in {other}; expected {wanted or 'float32 or float64'}")


def _distributions(model: Any) -> tuple[str, ...]:
    """The distributions that define a model's classes; their versions belong to a result."""
    known = installed_packages()
    packages = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    return tuple(sorted({"torch-sim-atomistic", *(name for package in packages for name in known.get(package, ()))}))
