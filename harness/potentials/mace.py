"""MACE checkpoints (`.model` files of mace-torch), evaluated in batches.

Source: Batatia et al., Advances in Neural Information Processing Systems 35 (2022). The graph of a whole
batch is built here at once; the calculator that comes with MACE takes one structure at a time.
"""

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import ModelError
from harness.compute.device import out_of_memory_as_itself, resolve_device
from harness.compute.neighbours import neighbours
from harness.compute.saved_precision import own_precision, saved_dtype
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.core.batch import StructureBatch
from harness.core.family import Family
from harness.core.potential import DtypeName, LoadOptions, Potential, PotentialTraits
from harness.networks.mace_package import NEUTRAL_SINGLET, importing_mace
from harness.trust.pickles import require_trust, sha256_of

if TYPE_CHECKING:
    import torch

FAMILY: Final = Family(
    "mace",
    __name__,
    "mace",
    extra="mace",
    files=("*.model",),
    is_pickled=True,
    library_names=("mace", "mace-torch"),
    tags=("mace", "mace-torch"),
)


class MacePotential(TorchPotential):
    """A MACE model.

    Args:
        model: A `MACE` or `ScaleShiftMACE` on its device and in its precision.
        traits: Its traits.
        head: Index of the readout head.
    """

    def __init__(self, model: Any, traits: PotentialTraits, head: int) -> None:
        super().__init__(traits)
        self._model = model
        self._head = head
        self._cutoff = float(self._model.r_max)
        known: IntArray = self._model.atomic_numbers.cpu().numpy()
        index_of_element = np.zeros(int(known.max()) + 1, dtype=np.int64)
        index_of_element[known] = np.arange(len(known))
        self._index_of_element = self._model.atomic_numbers.new_tensor(index_of_element)

    def graph(self, batch: PackedTensors) -> dict[str, "torch.Tensor"]:
        """The dictionary that MACE takes."""
        import torch

        dtype = self._model.r_max.dtype
        edge_index = neighbours(batch, self._cutoff)
        element = self._index_of_element[batch.atomic_numbers]
        no_shift = torch.zeros((edge_index.shape[1], 3), dtype=dtype, device=batch.device)
        graph = {
            "positions": batch.positions.to(dtype),
            "node_attrs": torch.nn.functional.one_hot(element, len(self._model.atomic_numbers)).to(dtype),
            "edge_index": edge_index,
            "shifts": no_shift,
            "unit_shifts": no_shift,
            "cell": torch.zeros((3 * batch.n_structures, 3), dtype=dtype, device=batch.device),
            "batch": batch.system_idx,
            "ptr": batch.offsets,
            "head": torch.full((batch.n_structures,), self._head, dtype=torch.int64, device=batch.device),
        }
        for name, value in NEUTRAL_SINGLET.items():
            graph[name] = torch.full((batch.n_structures,), value, dtype=dtype, device=batch.device)
        return graph

    def forward(self, graph: dict[str, "torch.Tensor"], batch: PackedTensors) -> Output:
        """Energies of the chosen head, and forces."""
        with _embedding_readout(self._model) as embedding:
            # MACE marks its positions as differentiable, which must not persist after this call.
            output = self._model(
                {**graph, "positions": graph["positions"].detach()}, training=False, compute_force=True
            )
        node_energy = output["node_energy"].detach().double()
        for contribution in embedding:
            node_energy = node_energy + contribution.detach().double()[:, self._head]
        return Output(batch.sum_by_structure(node_energy), output["forces"])


def load(path: Path, options: LoadOptions) -> Potential:
    """Loads a `.model` file.

    Raises:
        ModelError: If the file is not trusted, cannot be loaded, is another kind of model, or has
            several heads and none is chosen.
        UsageError: If the device is absent.
    """
    require_trust(path, options)
    device = resolve_device(options.device)
    model = _read(path, device)
    _require_energy_model(model, path)
    dtype: DtypeName = options.dtype or own_precision(model.parameters(), path)
    saved = saved_dtype(model.parameters())
    head, head_name = _choose_head(model, options.head, path)
    model = _converted(model, device, dtype)
    traits = PotentialTraits(
        model_id=str(path),
        family="mace",
        elements=frozenset(int(number) for number in model.atomic_numbers),
        files={path.name: sha256_of(path)},
        packages=("mace-torch", "e3nn", "torch"),
        dtype=dtype,
        saved_dtype=saved,
        device=str(device),
        head=head_name,
    )
    potential = MacePotential(model, traits, head)
    _try_out(potential, path)
    return potential


def _read(path: Path, device: "torch.device") -> Any:
    import torch

    try:
        with importing_mace(), out_of_memory_as_itself():
            return torch.load(path, map_location=device, weights_only=False)
    except torch.OutOfMemoryError:
        raise
    except (pickle.UnpicklingError, ImportError, AttributeError, RuntimeError, EOFError, OSError) as cause:
        raise ModelError(
            f"cannot load {path}: {type(cause).__name__}: {cause}. Expected a complete model saved by mace-torch; "
            "a file of another version may need that version, or mace's own conversion script"
        ) from cause


def _require_energy_model(model: Any, path: Path) -> None:
    with importing_mace() as modules:
        # Exact types: a subclass may have energies that are not sums over atoms (long-range electrostatics).
        is_known = type(model) in (modules.MACE, modules.ScaleShiftMACE)
    if not is_known:
        raise ModelError(
            f"{path} contains a {type(model).__name__}; expected a complete MACE or ScaleShiftMACE of torch.save "
            "(not a state dict, a TorchScript file or a dipole model)"
        )
    lacking = [name for name in ("atomic_numbers", "r_max", "interactions") if not hasattr(model, name)]
    if lacking:
        raise ModelError(
            f"{path} lacks {', '.join(lacking)}: an old version of mace saved it; save it again with a new version"
        )
    unknown = sorted(set(getattr(model, "embedding_specs", None) or ()) - set(NEUTRAL_SINGLET))
    if unknown:
        raise ModelError(
            f"{path} needs {', '.join(unknown)} of each molecule; the harness provides {', '.join(NEUTRAL_SINGLET)}"
        )


def _choose_head(model: Any, wanted: str | None, path: Path) -> tuple[int, str | None]:
    """Index of the head, and its name if there is more than one."""
    heads = [str(name) for name in (getattr(model, "heads", None) or ["Default"])]
    if wanted is not None:
        if wanted not in heads:
            raise ModelError(f"{path} has no head {wanted!r}; its heads are: {' '.join(heads)}")
        return heads.index(wanted), wanted
    if len(heads) == 1:
        return 0, None
    defaults = [index for index, name in enumerate(heads) if name.lower() == "default"]
    if len(defaults) != 1:
        raise ModelError(f"{path} has several heads and no default; choose one with --head: {' '.join(heads)}")
    return defaults[0], heads[defaults[0]]


def _converted(model: Any, device: "torch.device", dtype: DtypeName) -> Any:
    import torch

    model = model.to(device=device, dtype=getattr(torch, dtype)).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


@contextlib.contextmanager
def _embedding_readout(model: Any) -> Iterator[list["torch.Tensor"]]:
    """Collects the energies that a model reads from charge and spin, shape (n_atoms, n_heads).

    MACE adds them to the energy of the molecule but not to `node_energy`.
    """
    collected: list[torch.Tensor] = []
    readout = getattr(model, "embedding_readout", None)
    if readout is None:
        yield collected
        return
    hook = readout.register_forward_hook(lambda _module, _inputs, output: collected.append(output))
    try:
        yield collected
    finally:
        hook.remove()


def _try_out(potential: MacePotential, path: Path) -> None:
    """Runs the model once on two atoms, since a checkpoint of an older MACE may load but not run."""
    import torch

    atomic_number = min(potential.traits.elements or {1})
    pair = StructureBatch(
        atomic_numbers=np.full(2, atomic_number, dtype=np.int64),
        positions=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        n_atoms=np.array([2], dtype=np.int64),
        smiles=("two atoms",),
    )
    try:
        potential.compute(pair)
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, KeyError, TypeError, IndexError, RuntimeError) as cause:
        raise ModelError(
            f"{path} loads but does not run: {type(cause).__name__}: {cause}. "
            "It was probably saved by another version of mace-torch; convert it, or install that version"
        ) from cause


def model_and_head(potential: MacePotential) -> tuple[Any, int]:
    """The model of a potential and the index of its readout head, for fine-tuning."""
    return potential._model, potential._head
