"""SevenNet models (checkpoints of the package sevenn, and the weights that it ships), evaluated in batches.

Source: Park et al., J. Chem. Theory Comput. 20, 4857 (2024). Its interactions are functions of edge vectors, so a
molecule needs no box. The shipped weights were trained on inorganic crystals.
"""

import contextlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.errors import ModelError, UsageError
from harness.potentials.base import LoadOptions, Potential, PotentialTraits
from harness.potentials.device import out_of_memory_as_itself, resolve_device
from harness.potentials.elements import require_elements_of_batch
from harness.potentials.neighbours import packed_neighbours
from harness.potentials.pickles import require_trust, sha256_of
from harness.structures import Prediction, StructureBatch

if TYPE_CHECKING:
    import torch

SHIPPED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "7net-0": "PBE/PBE+U (MPtrj)",
        "7net-l3i5": "PBE/PBE+U (MPtrj)",
        "7net-mf-0": "PBE/PBE+U and r2SCAN (Materials Project)",
    }
)
"""Models whose weights lie in the package, with the level of theory of their training data."""


class SevenNetPotential:
    """A SevenNet model.

    Args:
        model: An `AtomGraphSequential` for batches, on its device and in its precision.
        traits: What is known of it.
    """

    def __init__(self, model: Any, traits: PotentialTraits) -> None:
        self._model = model
        self._traits = traits

    @property
    def traits(self) -> PotentialTraits:
        """What is known of the potential."""
        return self._traits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å).

        Raises:
            ModelError: If the model has no parameters for an element.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        import sevenn._keys as key

        require_elements_of_batch(self._traits, batch)
        with out_of_memory_as_itself():
            output = self._model(self._graph(batch))
            # A total energy in single precision keeps only meV, so atoms are summed in double here.
            atomic = output[key.ATOMIC_ENERGY].detach().double().cpu().numpy().ravel()
            forces = output[key.PRED_FORCE].detach().double().cpu().numpy()
        energy = np.zeros(batch.n_structures)
        np.add.at(energy, batch.system_idx, atomic)
        return Prediction(energy, forces, {})

    def _graph(self, batch: StructureBatch) -> Any:
        import sevenn._keys as key
        import torch
        from sevenn.atom_graph_data import AtomGraphData

        weight = next(self._model.parameters())
        device, dtype = weight.device, weight.dtype
        edge_index = torch.as_tensor(packed_neighbours(batch, float(self._model.cutoff)), device=device)
        positions = torch.tensor(batch.positions, dtype=torch.float64, device=device)
        numbers = torch.tensor(batch.atomic_numbers, dtype=torch.int64, device=device)
        graph: dict[str, Any] = {
            key.NODE_FEATURE: numbers,
            key.ATOMIC_NUMBERS: numbers,
            key.POS: positions.to(dtype),
            key.EDGE_IDX: edge_index,
            # Differences before rounding: positions far from the origin would lose digits in single precision.
            key.EDGE_VEC: (positions[edge_index[1]] - positions[edge_index[0]]).to(dtype),
            key.CELL_VOLUME: torch.zeros(batch.n_structures, dtype=dtype, device=device),
            key.NUM_ATOMS: torch.as_tensor(batch.n_atoms, device=device),
            key.BATCH: torch.as_tensor(batch.system_idx, device=device),
        }
        if self._traits.head is not None:
            graph[key.DATA_MODALITY] = [self._traits.head] * batch.n_structures
        return AtomGraphData(**graph)


def load(source: Path | str, options: LoadOptions) -> Potential:
    """Loads a model that the package ships, or a checkpoint file (`.pth`).

    Raises:
        ModelError: If a file is not trusted, cannot be loaded, or has several fidelities of which none is chosen.
        UsageError: If the device is absent, or double precision is asked for, which the package does not have.
    """
    if options.dtype == "float64":
        raise UsageError("SevenNet computes in single precision only; leave out --dtype float64")
    path = _shipped_path(source) if isinstance(source, str) else source
    if not isinstance(source, str):
        require_trust(path, options)
    device = resolve_device(options.device)
    model = _read(path)
    head = _choose_head(model, options.head, source)
    model = _for_batches(model, device)
    traits = PotentialTraits(
        model_id=str(source),
        family="sevennet",
        elements=frozenset(int(number) for number in model.type_map),
        files={path.name: sha256_of(path)},
        packages=("sevenn", "torch", "e3nn", "numpy"),
        dtype="float32",
        device=str(device),
        protocol="zero-shot",
        level_of_theory=SHIPPED.get(str(source)),
        head=head,
    )
    return SevenNetPotential(model, traits)


def _shipped_path(name: str) -> Path:
    from sevenn.util import pretrained_name_to_path

    # Names that are not shipped would be downloaded; the list above holds only those that lie in the package.
    if name not in SHIPPED:
        raise UsageError(f"{name!r} is no model that sevenn ships; expected one of {' '.join(SHIPPED)}, or a .pth file")
    return Path(pretrained_name_to_path(name))


def _read(path: Path) -> Any:
    from sevenn.util import load_checkpoint

    # The package prints hints about optional kernels to the terminal.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            model = load_checkpoint(str(path)).build_model()
        except (OSError, RuntimeError, KeyError, ValueError, AttributeError, TypeError, EOFError, ImportError) as cause:
            raise ModelError(
                f"{path} cannot be read as a SevenNet checkpoint ({type(cause).__name__}: {cause}); "
                "expected a .pth file that sevenn wrote"
            ) from cause
    if model.type_map is None or not model.cutoff:
        raise ModelError(f"{path} names no elements or no cutoff; expected a checkpoint of a trained SevenNet model")
    return model


def _choose_head(model: Any, wanted: str | None, source: Path | str) -> str | None:
    available = list(model.modal_map or {})
    if not available:
        if wanted is not None:
            raise UsageError(f"{source} has one fidelity only, so it takes no --head; leave out --head {wanted}")
        return None
    if wanted not in available:
        given = "none was chosen" if wanted is None else f"{wanted!r} is not one of them"
        raise ModelError(f"{source} has the fidelities {' '.join(available)}, and {given}; choose one with --head")
    return wanted


def _for_batches(model: Any, device: "torch.device") -> Any:
    model = model.to(device).eval()
    model.eval_type_map = True
    if model.modal_map:
        model.eval_modal_map = True
    model.set_is_batch_data(True)
    return model
