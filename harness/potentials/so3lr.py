"""SO3LR (the weights in the package so3krates-torch, and models that it trains), evaluated in batches.

Source: Kabylda et al., J. Am. Chem. Soc. 147, 33723 (2025). A network of short range with a pair repulsion,
electrostatics of predicted charges and dispersion of predicted Hirshfeld ratios, trained at PBE0+MBD. The calculator of
the package takes one structure at a time; here the graphs of a batch are built at once, one for each of the two ranges.
"""

import importlib
import importlib.resources
import inspect
import pickle
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import ModelError, UsageError
from harness.compute.device import out_of_memory_as_itself, resolve_device
from harness.compute.neighbours import neighbours
from harness.compute.saved_precision import own_precision, saved_dtype
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.core.family import Family
from harness.core.known_checkpoints import known_models
from harness.core.potential import DtypeName, LoadOptions, Potential, PotentialTraits
from harness.networks.so3krates_package import ELEMENTS, default_dtype, so3lr_input
from harness.trust.pickles import MAX_NAMED, imports_of, require_trust, sha256_of

if TYPE_CHECKING:
    import torch

SHIPPED: Final = "so3lr"
"""The model whose weights are in the package."""

FAMILY: Final = Family(
    "so3lr",
    __name__,
    "so3krates_torch",
    methods=(SHIPPED,),
    files=("*.so3lr.pt",),
    is_pickled=True,
    library_names=("so3krates-torch", "so3lr"),
    tags=("so3lr",),
)

LEVEL: Final = known_models("so3lr")["so3lr"]
"""Level of theory of the labels that the shipped weights were trained on."""

SHIPPED_SHA256: Final = "b5145564911ff983ed076ccb2bca5ce63454b74c9c8291092695463f1e6732be"
"""The only file that is loaded without being declared trusted: that of so3krates-torch 0.2.1."""

LONG_RANGE: Final = 12.0
"""Cutoff of electrostatics and dispersion, Å, that the calculator of the package sets; the shipped file has none."""

DAMPING: Final = 2.0
"""Width of the shell in which dispersion vanishes at that cutoff, Å, likewise."""

_NETWORKS: Final = ("so3krates_torch.blocks.", "so3krates_torch.modules.", "torch.nn.modules.")
"""Packages whose networks a checkpoint may hold."""

_RECORDS: Final = ("so3krates_torch.data.utils.GraphContext", "so3krates_torch.data.utils.InteractionKwargs")
"""Tuples of tensors that a model keeps of the last batch that it was trained on."""

_DAMAGED: Final = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError),
    *(LookupError, TypeError, AttributeError, AssertionError),
)
"""Errors of PyTorch for a damaged file."""


class So3lrPotential(TorchPotential):
    """An SO3LR model.

    Args:
        model: An `SO3LR` on its device and in its precision.
        traits: Its traits.
    """

    def __init__(self, model: Any, traits: PotentialTraits) -> None:
        super().__init__(traits)
        self._model = model
        self._dtype = next(model.parameters()).dtype

    def graph(self, batch: PackedTensors) -> dict[str, "torch.Tensor"]:
        """The dictionary that SO3LR takes."""
        near, far = (neighbours(batch, float(each)) for each in (self._model.r_max, self._model.r_max_lr))
        places = batch.system_idx, batch.offsets
        positions = batch.positions.to(self._dtype)
        return so3lr_input(batch.atomic_numbers, positions, places, (near, far), int(self._model.num_elements))

    def forward(self, graph: dict[str, "torch.Tensor"], batch: PackedTensors) -> Output:
        """Energies with the terms of long range, and forces."""
        with default_dtype(self._dtype):
            # The model marks its positions as differentiable, which must not persist after this call.
            output = self._model({**graph, "positions": graph["positions"].detach()})
        return Output(batch.sum_by_structure(output["node_energy"].detach().ravel()), output["forces"])


def model_of(potential: So3lrPotential) -> Any:
    """The model of a potential, for fine-tuning."""
    return potential._model


def load(source: Path | str, options: LoadOptions) -> Potential:
    """Loads the weights in the package, or a model file that its trainer wrote.

    Args:
        source: `SHIPPED`, or the path of a file.
        options: Device, and precision, by default that of the file.

    Raises:
        ModelError: If the package holds other weights, or the file is not trusted or not such a model.
        UsageError: If the device is absent, or a readout head was requested.
    """
    options.require_no_head(str(source))
    is_shipped = isinstance(source, str)
    if isinstance(source, str):
        path = _shipped_path(source)
    else:
        path = source
        require_trust(path, options)
    device = resolve_device(options.device)
    model = _read(path, device)
    _require_pairwise(model, path)
    _set_long_range(model)
    dtype = options.dtype or own_precision(model.parameters(), path)
    saved = saved_dtype(model.parameters())
    traits = PotentialTraits(
        model_id=str(source),
        family="so3lr",
        elements=ELEMENTS,
        files={path.name: sha256_of(path)},
        packages=("so3krates-torch", "torch"),
        dtype=dtype,
        saved_dtype=saved,
        device=str(device),
        level_of_theory=LEVEL if is_shipped else None,
    )
    return So3lrPotential(_converted(model, device, dtype), traits)


def _shipped_path(name: str) -> Path:
    """The file in the package, if it is the one that was examined."""
    if name != SHIPPED:
        raise UsageError(f"{name!r} is not a model shipped with so3krates-torch; expected {SHIPPED}, or a model file")
    path = Path(str(importlib.resources.files("so3krates_torch"))) / "pretrained" / SHIPPED / f"{SHIPPED}.model"
    found = sha256_of(path)
    if found != SHIPPED_SHA256:
        raise ModelError(
            f"{path} of so3krates-torch {version('so3krates-torch')} has sha256 {found}; expected {SHIPPED_SHA256}, "
            "the file of version 0.2.1. It is a pickle, so no other is loaded unasked: install that version with "
            "`python -m harness env create so3lr`, or give the path of the file and --family so3lr"
        )
    return path


def _read(path: Path, device: "torch.device") -> Any:
    """Reads a whole model with PyTorch's restricted unpickler, which may make networks and tensors but run no code."""
    import torch

    with torch.serialization.safe_globals(_networks_in(path)):
        try:
            with out_of_memory_as_itself():
                model = torch.load(path, map_location=device, weights_only=True)
        except torch.OutOfMemoryError:
            raise
        except (
            pickle.UnpicklingError,
            RuntimeError,
            AttributeError,
            TypeError,
            ValueError,
            EOFError,
            OSError,
        ) as cause:
            raise ModelError(
                f"cannot load {path}: {type(cause).__name__}: {' '.join(str(cause).split())[:300]}. Expected a whole "
                "model as torchkrates-train writes it, `NAME.model`"
            ) from cause
    return model


def _networks_in(path: Path) -> list[Any]:
    """The classes of networks that a file names.

    Raises:
        ModelError: If it names anything else that PyTorch's restricted unpickler would not read by itself.
    """
    import torch

    imports_of(path)  # says what is wrong with a file that is no pickle
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except _DAMAGED as cause:
        raise ModelError(
            f"cannot read {path}: {type(cause).__name__}: {cause}; expected a file that torch.save wrote"
        ) from cause
    networks = {name: _network(name) for name in names}
    foreign = sorted(name for name, network in networks.items() if network is None)
    if foreign:
        raise ModelError(
            f"{path} names {', '.join(foreign[:MAX_NAMED])}, which are no networks of so3krates-torch "
            f"{version('so3krates-torch')} or PyTorch, so it is not loaded. Expected a whole SO3LR model as "
            "torchkrates-train writes it"
        )
    return list(networks.values())


def _network(name: str) -> Any:
    """The class of a network, or `None` if the name is not one of a known package."""
    import torch

    module, _, attribute = name.rpartition(".")
    if name not in _RECORDS and not f"{module}.".startswith(_NETWORKS):
        return None
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return None
    return found if inspect.isclass(found) and issubclass(found, (torch.nn.Module, tuple)) else None


def _require_pairwise(model: Any, path: Path) -> None:
    """Checks that it is a model of one head, whose long range is a sum over pairs."""
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if kind != "so3krates_torch.modules.models.SO3LR":
        raise ModelError(
            f"{path} contains a {type(model).__name__}; expected a whole SO3LR model with one head, as "
            "torchkrates-train writes it (not a state dict, a checkpoint of its training or a MultiHeadSO3LR)"
        )
    if getattr(model, "use_pme", False):
        raise ModelError(f"{path} sums its electrostatics over a periodic cell (use_pme); these molecules have none")
    if model.neighborlist_format_lr != "sparse":
        raise ModelError(
            f"{path} counts each pair of its long range once (neighborlist_format_lr "
            f"{model.neighborlist_format_lr!r}); expected 'sparse', in which each pair occurs in both directions"
        )


def _set_long_range(model: Any) -> None:
    """Sets the cutoffs that a file leaves open, as the calculator of the package does."""
    if model.r_max_lr is None:
        model.r_max_lr = LONG_RANGE
    if model.dispersion_energy_cutoff_lr_damping is None:
        model.dispersion_energy_cutoff_lr_damping = DAMPING


def _converted(model: Any, device: "torch.device", dtype: DtypeName) -> Any:
    import torch

    return model.to(device=device, dtype=getattr(torch, dtype)).eval().requires_grad_(False)
