"""SevenNet models (checkpoints of the package sevenn, and the weights shipped with it), evaluated in batches.

Source: Park et al., J. Chem. Theory Comput. 20, 4857 (2024). Its interactions are functions of edge vectors, so a
molecule needs no box. The shipped weights were trained on inorganic crystals.
"""

import contextlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import ModelError, UsageError
from harness.compute.device import resolve_device
from harness.compute.neighbours import neighbours
from harness.compute.saved_precision import saved_dtype
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.core.family import Family
from harness.core.known_checkpoints import known_models
from harness.core.potential import LoadOptions, Potential, PotentialTraits, SavedDtypeName
from harness.trust.pickles import require_trust, sha256_of

if TYPE_CHECKING:
    import torch

FAMILY: Final = Family(
    "sevennet",
    __name__,
    "sevenn",
    methods=("7net-0", "7net-l3i5", "7net-mf-0"),
    files=("checkpoint_*.pth", "7net*.pth", "sevennet*.pth"),
    library_names=("sevenn", "sevennet"),
    tags=("sevennet",),
    is_pickled=True,
)

SHIPPED: Final[Mapping[str, str]] = known_models("sevennet")
"""Models whose weights are in the package, with the level of theory of their training data."""


class SevenNetPotential(TorchPotential):
    """A SevenNet model.

    Args:
        model: An `AtomGraphSequential` for batches, on its device and in its precision.
        traits: Its traits.
    """

    def __init__(self, model: Any, traits: PotentialTraits) -> None:
        super().__init__(traits)
        self._model = model
        self._dtype = next(model.parameters()).dtype

    def graph(self, batch: PackedTensors) -> Any:
        """The `AtomGraphData` that SevenNet takes."""
        import sevenn._keys as key
        import torch
        from sevenn.atom_graph_data import AtomGraphData

        edge_index = neighbours(batch, float(self._model.cutoff))
        graph: dict[str, Any] = {
            key.NODE_FEATURE: batch.atomic_numbers,
            key.ATOMIC_NUMBERS: batch.atomic_numbers,
            key.POS: batch.positions.to(self._dtype),
            key.EDGE_IDX: edge_index,
            # Subtract before rounding: positions far from the origin would lose digits in single precision.
            key.EDGE_VEC: (batch.positions[edge_index[1]] - batch.positions[edge_index[0]]).to(self._dtype),
            key.CELL_VOLUME: torch.zeros(batch.n_structures, dtype=self._dtype, device=batch.device),
            key.NUM_ATOMS: batch.n_atoms,
            key.BATCH: batch.system_idx,
        }
        if self._traits.head is not None:
            graph[key.DATA_MODALITY] = [self._traits.head] * batch.n_structures
        return AtomGraphData(**graph)

    def forward(self, graph: Any, batch: PackedTensors) -> Output:
        """Energies and forces."""
        import sevenn._keys as key

        output = self._model(graph)
        return Output(batch.sum_by_structure(output[key.ATOMIC_ENERGY].detach().ravel()), output[key.PRED_FORCE])


def load(source: Path | str, options: LoadOptions) -> Potential:
    """Loads a model that the package ships, or a checkpoint file (`.pth`).

    Raises:
        ModelError: If a file is not trusted, cannot be loaded, or has several fidelities and none is chosen.
        UsageError: If the device is absent, or double precision is requested, which the package does not support.
    """
    if options.dtype == "float64":
        raise UsageError("SevenNet computes in single precision only; leave out --dtype float64")
    path = _shipped_path(source) if isinstance(source, str) else source
    if not isinstance(source, str):
        require_trust(path, options)
    device = resolve_device(options.device)
    model, saved = _read(path)
    head = _choose_head(model, options.head, source)
    model = _for_batches(model, device)
    traits = PotentialTraits(
        model_id=str(source),
        family="sevennet",
        elements=frozenset(int(number) for number in model.type_map),
        files={path.name: sha256_of(path)},
        packages=("sevenn", "torch", "e3nn", "numpy"),
        dtype="float32",
        saved_dtype=saved,
        device=str(device),
        protocol="zero-shot",
        level_of_theory=SHIPPED.get(str(source)),
        head=head,
    )
    return SevenNetPotential(model, traits)


def _shipped_path(name: str) -> Path:
    from sevenn.util import pretrained_name_to_path

    # The package would download other names; the list above contains only weights in the package.
    if name not in SHIPPED:
        raise UsageError(
            f"{name!r} is not a model shipped with sevenn; expected one of {' '.join(SHIPPED)}, or a .pth file"
        )
    return Path(pretrained_name_to_path(name))


def _read(path: Path) -> tuple[Any, SavedDtypeName | None]:
    """The network, in single precision, and the precision of its file."""
    from sevenn.util import load_checkpoint

    # The package prints hints about optional kernels on standard output.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            checkpoint = load_checkpoint(str(path))
            model, parameters = checkpoint.build_model(), checkpoint.model_state_dict
        except (OSError, RuntimeError, KeyError, ValueError, AttributeError, TypeError, EOFError, ImportError) as cause:
            raise ModelError(
                f"{path} cannot be read as a SevenNet checkpoint ({type(cause).__name__}: {cause}); "
                "expected a .pth file that sevenn wrote"
            ) from cause
    if model.type_map is None or not model.cutoff:
        raise ModelError(f"{path} names no elements or no cutoff; expected a checkpoint of a trained SevenNet model")
    return model, saved_dtype(parameters.values())


def _choose_head(model: Any, wanted: str | None, source: Path | str) -> str | None:
    available = list(model.modal_map or {})
    if not available:
        if wanted is not None:
            raise UsageError(f"{source} has only one fidelity, so it takes no --head; leave out --head {wanted}")
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
