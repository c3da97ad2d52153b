"""AIMNet2 checkpoints (folders of config.json and safetensors, as on the Hub), evaluated in batches.

Source: Anstine, Zubatyuk and Isayev, Chemical Science 16, 10228 (2025). The calculator of the package evaluates a
whole batch at once and adds the Coulomb and dispersion energies that belong to a model.
"""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import ModelError, UsageError
from dataset_builders.core.parsed_text import json_file
from harness.compute.device import out_of_memory_as_itself, resolve_device
from harness.compute.saved_precision import saved_dtype
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.core.family import Family
from harness.core.known_checkpoints import known_models
from harness.core.potential import LoadOptions, Potential, PotentialTraits, SavedDtypeName
from harness.networks.light_import import light_import, look_up_later
from harness.trust.pickles import sha256_of

if TYPE_CHECKING:
    import torch

FAMILY: Final = Family(
    "aimnet2",
    __name__,
    "aimnet",
    extra="aimnet2",
    folder=("config.json", "ensemble_0.safetensors"),
    library_names=("aimnet",),
    tags=("aimnet2",),
)

_NAMES_OF: Final = (
    "nvalchemiops.torch.fire2",
    "nvalchemiops.torch.lbfgs",
    "nvalchemiops.torch.interactions.dispersion._fourier_dftd3",
    "nvalchemiops.torch.interactions.electrostatics",
)
"""Kernels for relaxation and for periodic systems, which take two thirds of the time of the import."""

_PACKAGES_OF_NAMES: Final = frozenset({"nvalchemiops.torch", "nvalchemiops.torch.interactions.dispersion"})

CONFIG: Final = "config.json"
WEIGHTS: Final = "ensemble_0.safetensors"
"""A folder may contain more members of an ensemble; the package's own calculator uses the first."""

LEVELS: Final[Mapping[str, str]] = known_models("aimnet2")
"""Level of theory by the family in a config; the sources of AIMNet2 disagree on that of `rxn`."""


class Aimnet2Potential(TorchPotential):
    """An AIMNet2 model.

    Args:
        calculator: The package's own calculator, with the model on its device.
        traits: Its traits.
    """

    def __init__(self, calculator: Any, traits: PotentialTraits) -> None:
        super().__init__(traits)
        self._calculator = calculator

    def graph(self, batch: PackedTensors) -> dict[str, "torch.Tensor"]:
        """Input of the calculator, which finds the neighbours itself."""
        import torch

        return {
            "coord": batch.positions.float(),
            "numbers": batch.atomic_numbers,
            "mol_idx": batch.system_idx,
            "charge": torch.zeros(batch.n_structures, dtype=torch.float32, device=batch.device),
            "mult": torch.ones(batch.n_structures, dtype=torch.float32, device=batch.device),
        }

    def forward(self, graph: dict[str, "torch.Tensor"], batch: PackedTensors) -> Output:
        """Energies with the long-range terms, and forces."""
        output = self._calculator(graph, forces=True)
        return Output(output["energy"].double(), output["forces"])


def load(source: Path, options: LoadOptions) -> Potential:
    """Loads the first member of an ensemble.

    Args:
        source: Folder with `config.json` and `ensemble_0.safetensors`.
        options: Only the device is used.

    Raises:
        ModelError: If the folder is corrupt, or incomplete so that the package would download the rest.
        UsageError: If the device is absent, or a precision other than float32 or a readout head was requested.
    """
    if options.dtype not in (None, "float32"):
        raise UsageError(f"AIMNet2 computes in float32 only, not in {options.dtype!r}; leave --dtype out")
    options.require_no_head(str(source))
    device = resolve_device(options.device)
    files = {name: sha256_of(source / name) for name in (CONFIG, WEIGHTS)}
    config = _config(source / CONFIG)
    elements = _elements(config, source / CONFIG)
    calculator = _calculator(source, str(device))
    traits = PotentialTraits(
        model_id=str(source),
        family="aimnet2",
        elements=elements,
        files=files,
        packages=("aimnet", "nvalchemi-toolkit-ops", "warp-lang", "torch"),
        dtype="float32",
        saved_dtype=_saved_dtype(source / WEIGHTS),
        device=str(device),
        level_of_theory=LEVELS.get(_family(config)),
    )
    return Aimnet2Potential(calculator, traits)


def _saved_dtype(path: Path) -> SavedDtypeName | None:
    from safetensors.torch import load_file

    # The package stores and adds the energies of free atoms in double precision, in a network of single precision.
    return saved_dtype(values for name, values in load_file(path).items() if "atomic_shift" not in name)


@contextlib.contextmanager
def importing_aimnet() -> Iterator[None]:
    """Imports aimnet without its side effects on the rest of the process, and without kernels that are not needed here.

    The import prints a greeting on standard output, which is reserved for the report, and makes the root logger
    show every message of every library.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        with contextlib.redirect_stdout(io.StringIO()), light_import(_NAMES_OF):
            yield
        for package in _PACKAGES_OF_NAMES & sys.modules.keys():
            look_up_later(sys.modules[package])
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _calculator(source: Path, device: str) -> Any:
    import torch
    from safetensors import SafetensorError

    with importing_aimnet():
        from aimnet.calculators import AIMNet2Calculator
    try:
        with out_of_memory_as_itself():
            # An absolute path, since the package downloads a bare `aimnet2`, which is one of its names.
            return AIMNet2Calculator(str(source.resolve()), device=device)
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError, SafetensorError) as cause:
        reason = " ".join(str(cause).split())[:300]  # it may list every tensor
        raise ModelError(
            f"cannot load {source}: {type(cause).__name__}: {reason}. Expected a model in the layout of the Hub, "
            f"{CONFIG} and {WEIGHTS}, that this version of aimnet reads"
        ) from cause


def _config(path: Path) -> Mapping[str, Any]:
    try:
        config = json_file(path)
    except (OSError, ValueError) as cause:
        raise ModelError(f"cannot read {path}: {cause}; expected a JSON object") from cause
    if not isinstance(config, dict):
        raise ModelError(f"{path} contains a {type(config).__name__}; expected a JSON object")
    if not config.get("model_yaml"):
        raise ModelError(
            f"{path} has no model_yaml, and aimnet would download what is missing from a location without revisions, "
            "so results would not be reproducible. Use a revision of the model whose config.json is complete"
        )
    return config


def _elements(config: Mapping[str, Any], path: Path) -> frozenset[int]:
    species = config.get("implemented_species")
    if not isinstance(species, list) or not species or any(type(number) is not int for number in species):
        raise ModelError(f"{path} has implemented_species {species!r}; expected a list of atomic numbers")
    return frozenset(species)


def _family(config: Mapping[str, Any]) -> str:
    return str(config.get("family") or config.get("family_name")).removeprefix("aimnet2-")
