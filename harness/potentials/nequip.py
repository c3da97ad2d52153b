"""NequIP and Allegro models (files packaged or compiled by nequip), evaluated in batches.

Source: Batzner et al., Nature Communications 13, 2453 (2022). The files state no units: energies are assumed to be in
eV and lengths in Å, the default of the package's own calculator.
"""

import contextlib
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ModelError, UsageError
from harness.compute.device import out_of_memory_as_itself, resolve_device
from harness.compute.neighbours import neighbours
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.core.batch import StructureBatch
from harness.core.family import Family
from harness.core.potential import DtypeName, LoadOptions, Potential, PotentialTraits
from harness.trust.pickles import sha256_of

if TYPE_CHECKING:
    import torch

FAMILY: Final = Family(
    "nequip",
    __name__,
    "nequip",
    files=("*.nequip.zip", "*.nequip.pt2", "*.nequip.pth"),
    library_names=("nequip",),
    tags=("nequip", "allegro"),
    is_pickled=True,
)

PACKAGED: Final = ".nequip.zip"
COMPILED: Final = ".nequip.pt2"
TORCHSCRIPT: Final = ".nequip.pth"

FORMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        PACKAGED: "contains Python code",
        COMPILED: "is a library of compiled code",
        TORCHSCRIPT: "is a TorchScript program",
    }
)
"""What runs when a file is loaded, by extension, which nequip also uses to distinguish the formats."""

_GEOMETRY: Final = frozenset({"pos", "edge_index", "atom_types", "batch", "num_atoms", "cell", "edge_cell_shift"})
_UNUSED: Final = frozenset({"edge_transpose_perm", "edge_vectors", "lmp_mliap_data", "num_local_ghost_atoms"})
"""Optional inputs of every packaged model, which none needs: for other programs, and for kernels on a GPU."""
_NEUTRAL_SINGLET: Final = {"charge": 0, "spin": 1}
"""Inputs of a molecule that a model may request: charge and spin multiplicity."""
_ENERGIES: Final = "atomic_energy"
_FORCES: Final = "forces"
_TOTAL: Final = "total_energy"
_CHECK_INPUTS: Final = "AOTI_RUNTIME_CHECK_INPUTS"
_UNREADABLE: Final = (
    *(AssertionError, AttributeError, EOFError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)


@dataclass(frozen=True, slots=True)
class _Network:
    """A model with the metadata of its file.

    Attributes:
        model: Takes and returns tensors by name.
        atomic_numbers: Element of each of its atom types.
        cutoffs: Cutoffs in Å, by type of the centre and of the neighbour; shape (n_types, n_types).
        dtype: Precision of its layers; positions and energies are always in double precision.
        inputs: Names of its input tensors.
    """

    model: Any
    atomic_numbers: tuple[int, ...]
    cutoffs: FloatArray
    dtype: DtypeName
    inputs: frozenset[str]


class NequipPotential(TorchPotential):
    """A NequIP or Allegro model.

    Args:
        network: The model, on its device.
        traits: Its traits.
    """

    def __init__(self, network: _Network, traits: PotentialTraits) -> None:
        import torch

        super().__init__(traits)
        self._network = network
        self._type_of_element = torch.zeros(max(network.atomic_numbers) + 1, dtype=torch.int64, device=traits.device)
        for index, number in enumerate(network.atomic_numbers):
            self._type_of_element[number] = index

    def graph(self, batch: PackedTensors) -> dict[str, "torch.Tensor"]:
        """The input tensors of the model, for the batch and one additional molecule."""
        import torch

        batch = _with_pair(batch, self._network)
        device, dtype = batch.device, torch.float64
        types = self._type_of_element[batch.atomic_numbers]
        edges = _edges(batch, types, self._network.cutoffs)
        # A model compiled for one frame gets all molecules as one: no edge joins them, and energies are atomic.
        n_frames = batch.n_structures if "batch" in self._network.inputs else 1
        # Every dtype is explicit, since PyTorch's default differs while an earlier batch computes.
        graph = {
            "pos": batch.positions,
            "edge_index": edges,
            "atom_types": types,
            "batch": batch.system_idx,
            "num_atoms": batch.n_atoms,
            # Only for the stress, which is not used: no edge crosses the cell.
            "cell": torch.eye(3, dtype=dtype, device=device).repeat(n_frames, 1, 1),
            "edge_cell_shift": torch.zeros((edges.shape[1], 3), dtype=dtype, device=device),
        }
        for name, value in _NEUTRAL_SINGLET.items():
            graph[name] = torch.full((n_frames, 1), value, dtype=torch.int64, device=device)
        # In C order: compiled models assume the strides that they were compiled with, without checking.
        return {name: graph[name].contiguous() for name in sorted(self._network.inputs)}

    def forward(self, graph: dict[str, "torch.Tensor"], batch: PackedTensors) -> Output:
        """Energies and forces, without those of the additional molecule.

        Raises:
            ModelError: If the energy is not the sum over the atoms.
        """
        with _double_precision_as_default():
            output = self._network.model(graph)
        self._require_sums(output)
        n_atoms = len(batch.atomic_numbers)
        return Output(batch.sum_by_structure(output[_ENERGIES].detach().ravel()[:n_atoms]), output[_FORCES][:n_atoms])

    def _require_sums(self, output: Mapping[str, "torch.Tensor"]) -> None:
        """Checks that the model returns what is needed, and that its energy is the sum of atomic energies."""
        import torch

        lacking = [name for name in (_ENERGIES, _FORCES) if name not in output]
        if lacking:
            raise ModelError(
                f"{self._traits.model_id} predicts no {' and no '.join(lacking)}; expected a model with forces, and a "
                "compiled one must come from `nequip-compile --target batch`"
            )
        if _TOTAL not in output:
            return
        atomic, total = output[_ENERGIES].detach().double(), output[_TOTAL].detach()
        difference = float((atomic.sum() - total.double().sum()).abs())
        if difference > 10.0 * torch.finfo(total.dtype).eps * len(atomic) * float(atomic.abs().sum()):
            raise ModelError(
                f"{self._traits.model_id} has an energy that differs by {difference:.3g} eV from the sum over its "
                "atoms; such models are not supported. Evaluate it with its own calculator: --family ase"
            )


def load(source: Path, options: LoadOptions) -> Potential:
    """Loads a packaged or a compiled model.

    Device, precision and use of TF32 of a compiled model were fixed when it was compiled.

    Args:
        source: A file `*.nequip.zip`, `*.nequip.pt2` (compiled for any target) or `*.nequip.pth`.
        options: Device and trust; the head is one of the models of a package with several.

    Raises:
        ModelError: If the file is not trusted, cannot be loaded or does not run, has atom types that are not
            elements, or needs an input that is not available.
        UsageError: If the device is absent, or a precision or head was requested that the file does not have.
    """
    form = _form_of(source)
    _require_trust(source, form, options)
    device = resolve_device(options.device)
    with _double_precision_as_default():
        network, head = _read(source, form, device, options.head)
    if options.dtype not in (None, network.dtype):
        raise UsageError(
            f"{source} computes in {network.dtype}, not in {options.dtype!r}: NequIP fixes the precision when a model "
            "is built; leave --dtype out"
        )
    traits = PotentialTraits(
        model_id=str(source),
        family="nequip",
        elements=frozenset(network.atomic_numbers),
        files={source.name: sha256_of(source)},
        packages=("nequip", "e3nn", "torch", "numpy"),
        dtype=network.dtype,
        saved_dtype=network.dtype,
        device=str(device),
        head=head,
    )
    potential = NequipPotential(network, traits)
    _try_out(potential, source)
    return potential


def _form_of(path: Path) -> str:
    for form in FORMS:
        if path.name.endswith(form):
            return form
    raise ModelError(
        f"{path} has none of the names that nequip uses: {' '.join(f'*{form}' for form in FORMS)}. "
        "Package a checkpoint with: nequip-package build CHECKPOINT NAME.nequip.zip"
    )


def _require_trust(path: Path, form: str, options: LoadOptions) -> None:
    sha256 = sha256_of(path)
    if not options.trusts(sha256):
        raise ModelError(
            f"{path} (sha256 {sha256}) {FORMS[form]}, which runs when it is loaded. "
            "If you trust its source, add --trust-checkpoint"
        )


@contextlib.contextmanager
def _double_precision_as_default() -> Iterator[None]:
    """Sets PyTorch's default precision as NequIP needs it; NequIP itself would set it for the whole process."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _read(path: Path, form: str, device: "torch.device", head: str | None) -> tuple[_Network, str | None]:
    import torch

    try:
        with warnings.catch_warnings(), out_of_memory_as_itself():
            warnings.simplefilter("ignore")  # TorchScript, the format of older files, is deprecated
            if form == PACKAGED:
                return _read_package(path, device, head)
            if head is not None:
                raise _needs_no_head(path, head)
            return _read_compiled(path, form, device), None
    except torch.OutOfMemoryError:
        raise
    except _UNREADABLE as cause:
        raise ModelError(
            f"cannot load {path}: {type(cause).__name__}: {_beginning(cause)}. Expected a file of nequip-package or "
            f"nequip-compile, compiled for {device.type} if it is compiled, by a version close to the installed one"
        ) from cause


def _read_package(path: Path, device: "torch.device", head: str | None) -> tuple[_Network, str | None]:
    from nequip.model import ModelFromPackage
    from nequip.utils.global_state import set_global_state

    set_global_state(allow_tf32=False)
    models = ModelFromPackage(str(path), compile_mode="eager")
    names = list(models)
    if head is not None and len(names) == 1:
        raise _needs_no_head(path, head)
    if head not in names and len(names) > 1:
        given = "none was chosen" if head is None else f"{head!r} is not one of them"
        raise ModelError(f"{path} contains the models {' '.join(names)}, and {given}; choose one with --head")
    model = models[head or names[0]].to(device).eval().requires_grad_(False)
    # Without a cell, since the stress of a molecule has no meaning; the model needs all its other inputs.
    inputs = frozenset(model.model_input_fields) - _UNUSED - {"cell", "edge_cell_shift"}
    return _network(path, model, model.metadata, inputs), head


def _needs_no_head(path: Path, head: str) -> UsageError:
    return UsageError(f"{path} contains only one model, so it takes no --head; leave out --head {head}")


def _read_compiled(path: Path, form: str, device: "torch.device") -> _Network:
    from nequip.model.inference_models import load_compiled_model

    if device.index:
        raise UsageError(
            f"{path} runs on the first GPU only, not on {str(device)!r}; "
            f"use CUDA_VISIBLE_DEVICES={device.index} with --device cuda"
        )
    # Compiled code does not check the sizes of its inputs by default.
    os.environ.setdefault(_CHECK_INPUTS, "1")
    model, metadata = load_compiled_model(str(path), device.type)
    if form == COMPILED:
        return _network(path, model, metadata, frozenset(model.input_keys))
    inputs = _GEOMETRY - {"cell", "edge_cell_shift"} | set(_NEUTRAL_SINGLET)
    return _network(path, model, metadata | {"model_dtype": _dtype_of_torchscript(path)}, inputs)


def _dtype_of_torchscript(path: Path) -> str:
    """The precision stored in the file, which NequIP's loader does not return."""
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if name.endswith("/extra/model_dtype")]
        return archive.read(found[0]).decode() if found else "unknown"


def _network(path: Path, model: Any, metadata: Mapping[str, Any], inputs: frozenset[str]) -> _Network:
    from ase.data import atomic_numbers

    names = metadata["type_names"]
    names = names.split() if isinstance(names, str) else list(names)
    numbers = tuple(atomic_numbers.get(name, 0) for name in names)
    if 0 in numbers or len(set(numbers)) < len(numbers):
        raise ModelError(
            f"{path} has the atom types {' '.join(names)}; expected the symbols of distinct elements. "
            "Map elements to types in your own calculator: --family ase"
        )
    dtype = metadata["model_dtype"]
    if dtype not in ("float32", "float64"):
        raise ModelError(f"{path} has model_dtype {dtype!r}; expected float32 or float64. Compile it again")
    unknown = sorted(inputs - _GEOMETRY - set(_NEUTRAL_SINGLET))
    if unknown:
        raise ModelError(
            f"{path} needs {', '.join(unknown)} of each molecule; the harness provides {', '.join(_NEUTRAL_SINGLET)}"
        )
    return _Network(model, numbers, _cutoffs(metadata, names), dtype, inputs)


def _cutoffs(metadata: Mapping[str, Any], names: Sequence[str]) -> FloatArray:
    """Cutoffs in Å, by type of the centre and of the neighbour."""
    by_pair = metadata.get("per_edge_type_cutoff")
    shape = (len(names), len(names))
    if not by_pair:
        return np.full(shape, float(metadata["r_max"]))
    if isinstance(by_pair, str):
        return np.array([float(word) for word in by_pair.split()]).reshape(shape)
    return np.array([[float(by_pair[centre][neighbour]) for neighbour in names] for centre in names])


def _edges(batch: PackedTensors, types: "torch.Tensor", cutoffs: FloatArray) -> "torch.Tensor":
    """Pairs within the cutoff of their types: centre and neighbour, shape (2, n_edges)."""
    import torch

    edges = neighbours(batch, float(cutoffs.max()))
    if cutoffs.min() == cutoffs.max():
        return edges
    centre, neighbour = edges
    lengths = torch.linalg.vector_norm(batch.positions[neighbour] - batch.positions[centre], dim=1)
    of_types = torch.tensor(cutoffs, dtype=torch.float64, device=batch.device)
    return edges[:, lengths <= of_types[types[centre], types[neighbour]]]


def _with_pair(batch: PackedTensors, network: _Network) -> PackedTensors:
    """The batch and one additional molecule of two atoms.

    Models are compiled for at least two frames and two edges, but a batch may have only one molecule, or atoms
    without neighbours.
    """
    import torch

    number, distance = network.atomic_numbers[0], 0.5 * float(network.cutoffs.min())
    pair = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, distance]], dtype=torch.float64, device=batch.device)

    def followed_by(values: "torch.Tensor", *more: int) -> "torch.Tensor":
        return torch.cat([values, torch.tensor(more, dtype=torch.int64, device=batch.device)])

    n_atoms, n_structures = len(batch.atomic_numbers), batch.n_structures
    return PackedTensors(
        followed_by(batch.atomic_numbers, number, number),
        torch.cat([batch.positions, pair]),
        followed_by(batch.n_atoms, 2),
        followed_by(batch.offsets, n_atoms + 2),
        followed_by(batch.system_idx, n_structures, n_structures),
        max(batch.most_atoms, 2),
    )


def _try_out(potential: NequipPotential, path: Path) -> None:
    """Runs the model once, since a file of another version may load but not run."""
    import torch

    first = min(potential.traits.elements or {1})
    single = StructureBatch(np.array([first]), np.zeros((1, 3)), np.array([1]), ("one atom",))
    try:
        potential.compute(single)
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, AttributeError, KeyError, TypeError, IndexError, RuntimeError) as cause:
        raise ModelError(
            f"{path} loads but does not run: {type(cause).__name__}: {_beginning(cause)}. It was probably written by "
            "another version of nequip; package or compile it again, or install that version"
        ) from cause


def _beginning(cause: Exception) -> str:
    """The beginning of an error text that may contain a trace, for a message."""
    text = " ".join(str(cause).split())
    return text if len(text) <= 300 else text[:300] + "…"
