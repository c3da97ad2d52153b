"""Orb and OrbMol models (`.ckpt` files of weights for orb-models), evaluated in batches.

Sources: Neumann et al., arXiv 2410.22570 (Orb v2); Rhodes et al., arXiv 2504.06231 (Orb v3). Written against orb-models
0.7.0, which needs Python 3.12. We ran it with random weights alone, on Python 3.11 and with the package's type
parameters rewritten for that; the published weights were not at hand.

A file holds weights and not the form of the network, so its name has to tell which model it is of: it begins with one
of `LEVELS`, as those of the package do (`orb-v3-conservative-inf-omat-20250404.ckpt`).
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.errors import ModelError, UsageError
from dataset_builders.structures import IntArray
from harness.potentials.base import DtypeName, LoadOptions, Potential, PotentialTraits
from harness.potentials.device import out_of_memory_as_itself, resolve_device
from harness.potentials.elements import require_elements_of_batch
from harness.potentials.neighbours import packed_neighbours
from harness.potentials.pickles import sha256_of
from harness.potentials.trial import bent_trio, tried_with
from harness.structures import Prediction, StructureBatch

if TYPE_CHECKING:
    import torch

RELEASE: Final = "0.7.0"
"""Release of orb-models that this adapter was written against."""

_OMOL: Final = "wB97M-V/def2-TZVPD"
_OMAT: Final = "PBE/PBE+U (OMat24)"
_MPA: Final = "PBE/PBE+U (MPtrj, Alexandria)"

LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "orbmol-v2": _OMOL,
        "orbmol-v1-conservative": _OMOL,
        "orbmol-v1-direct": _OMOL,
        "orb-v3-conservative-omol": _OMOL,
        "orb-v3-direct-omol": _OMOL,
        "orb-v3-conservative-inf-omat": _OMAT,
        "orb-v3-conservative-20-omat": _OMAT,
        "orb-v3-direct-inf-omat": _OMAT,
        "orb-v3-direct-20-omat": _OMAT,
        "orb-v3-conservative-inf-mpa": _MPA,
        "orb-v3-conservative-20-mpa": _MPA,
        "orb-v3-direct-inf-mpa": _MPA,
        "orb-v3-direct-20-mpa": _MPA,
        "orb-v2": _MPA,
        "orb-mptraj-only-v2": "PBE/PBE+U (MPtrj)",
        "orb-d3-v2": "PBE-D3 (MPtrj, Alexandria)",
        "orb-d3-sm-v2": "PBE-D3 (MPtrj, Alexandria)",
        "orb-d3-xs-v2": "PBE-D3 (MPtrj, Alexandria)",
    }
)
"""Level of theory of the training labels by the package's name of a model, which tells the data set (MODELS.md)."""

_MOLECULAR: Final = frozenset(range(1, 84))
_CRYSTALLINE: Final = frozenset(range(1, 95)) - frozenset(range(84, 89))
"""The 83 elements of OMol25, and the 89 of OMat24 and MPtrj; a file of weights has a row for every element, and
does not tell which of them were trained."""

_ANSWERING: Final = ("heads.energy.", "heads.forces.", "heads.latent_charges.", "heads.latent_spins.")
"""Parts of a network that energy and forces come from, beside its body."""

_N_TYPES: Final = 118
"""Width of the one-hot code of an element, whose place is the atomic number."""


class OrbPotential:
    """An Orb model.

    Args:
        model: A `ConservativeForcefieldRegressor` or `DirectForcefieldRegressor` on its device and in its precision.
        reach: Cutoff (Å) and the most neighbours of an atom.
        forces_name: What the model calls its forces.
        traits: What is known of it.
    """

    def __init__(self, model: Any, reach: tuple[float, int], forces_name: str, traits: PotentialTraits) -> None:
        self._model = model
        self._radius, self._most_neighbours = reach
        self._forces_name = forces_name
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
        require_elements_of_batch(self._traits, batch)
        with out_of_memory_as_itself(), _torch_settings(self._traits.dtype):
            output = self._model.predict(self._graph(batch))
            energy = output["energy"].detach().double().cpu().numpy().reshape(batch.n_structures)
            forces = output[self._forces_name].detach().double().cpu().numpy()
        return Prediction(energy, forces, {})

    def _graph(self, batch: StructureBatch) -> Any:
        import torch
        from orb_models.common.atoms.batch.graph_batch import AtomGraphs

        device, dtype = self._traits.device, getattr(torch, self._traits.dtype)
        pairs = nearest_neighbours(batch, packed_neighbours(batch, self._radius), self._most_neighbours)
        n_structures, system_idx = batch.n_structures, batch.system_idx
        n_edge = np.bincount(system_idx[pairs[0]], minlength=n_structures)
        numbers = torch.tensor(batch.atomic_numbers.astype(np.int64), device=device)
        exact = np.asarray(batch.positions, dtype=np.float64)
        return AtomGraphs(
            senders=torch.tensor(pairs[0], device=device),
            receivers=torch.tensor(pairs[1], device=device),
            n_node=torch.tensor(batch.n_atoms, device=device),
            n_edge=torch.tensor(n_edge, device=device),
            node_features={
                "positions": torch.tensor(exact, dtype=dtype, device=device),
                "atomic_numbers": numbers,
                "atomic_numbers_embedding": torch.nn.functional.one_hot(numbers, _N_TYPES).to(dtype),
            },
            edge_features={
                "vectors": torch.tensor(exact[pairs[1]] - exact[pairs[0]], dtype=dtype, device=device),
                "unit_shifts": torch.zeros((pairs.shape[1], 3), dtype=dtype, device=device),
            },
            system_features={
                # A cell of zeros is how the package tells a molecule, whose net torque it removes.
                "cell": torch.zeros((n_structures, 3, 3), dtype=dtype, device=device),
                "pbc": torch.zeros((n_structures, 3), dtype=torch.bool, device=device),
                "total_charge": torch.zeros(n_structures, dtype=dtype, device=device),
                "spin_multiplicity": torch.ones(n_structures, dtype=dtype, device=device),
            },
            node_targets={},
            edge_targets={},
            system_targets={},
            system_id=None,
            fix_atoms=None,
            tags=None,
            radius=self._radius,
            max_num_neighbors=torch.full((n_structures,), self._most_neighbours, device=device),
        )


def nearest_neighbours(batch: StructureBatch, pairs: IntArray, most: int) -> IntArray:
    """The pairs of each atom with its nearest neighbours.

    Args:
        batch: Molecules.
        pairs: Centres and neighbours in the order of the centres, shape (2, n_pairs).
        most: How many neighbours an atom keeps at most.

    Returns:
        Those of the pairs that are kept, in their order.
    """
    n_neighbours = np.bincount(pairs[0], minlength=len(batch.atomic_numbers))
    if n_neighbours.max(initial=0) <= most:
        return pairs
    exact = np.asarray(batch.positions, dtype=np.float64)
    distance = np.linalg.norm(exact[pairs[1]] - exact[pairs[0]], axis=1)
    by_distance = np.lexsort((distance, pairs[0]))
    rank = np.arange(pairs.shape[1]) - np.repeat(np.cumsum(n_neighbours) - n_neighbours, n_neighbours)
    return pairs[:, np.sort(by_distance[rank < most])]


def load(source: Path, options: LoadOptions) -> Potential:
    """Loads a `.ckpt` file.

    Args:
        source: Weights, as the package's own loader takes them; it reads nothing but tensors, so no trust is asked for.
        options: Device and precision. Single precision (the default) is what the package calls `float32-highest`: it
            uses no TF32, so that a result is the same on every device.

    Raises:
        ModelError: If the name tells no model, or the file cannot be loaded and run.
        UsageError: If the device is absent, or a readout head was asked for.
    """
    if options.head is not None:
        raise UsageError(f"{source} has no readout heads, so not {options.head!r} either; leave --head out")
    name, is_published = model_of(source)
    device = resolve_device(options.device)
    dtype: DtypeName = options.dtype or "float32"
    # The network is built in single precision whatever is asked for: the package rounds its constants so.
    with tried_with("orb-models", RELEASE, source), _torch_settings("float32"):
        model, adapter = _read(name, source, device, dtype)
        _require_heads(model, source)
        is_conservative = _is_conservative(model)
        traits = PotentialTraits(
            model_id=str(source),
            family="orb",
            elements=_MOLECULAR if LEVELS[name] == _OMOL else _CRYSTALLINE,
            files={source.name: sha256_of(source)},
            packages=("orb-models", "torch"),
            dtype=dtype,
            device=str(device),
            level_of_theory=LEVELS[name] if is_published else None,
            conservative=is_conservative,
        )
        forces_name = model.grad_forces_name if is_conservative else "forces"
        potential = OrbPotential(model, (adapter.radius, adapter.max_num_neighbors), forces_name, traits)
        potential.compute(bent_trio(traits))
    return potential


def model_of(source: Path) -> tuple[str, bool]:
    """The package's name of a model that the name of a file begins with, and whether nothing but a date follows.

    Something else after it (`-finetuned`) says that these are other weights of the same form.

    Raises:
        ModelError: If it begins with none.
    """
    begins = [name for name in LEVELS if source.stem == name or source.stem.startswith(f"{name}-")]
    if not begins:
        raise ModelError(
            f"{source.name} does not tell which Orb model it is of; expected a name that begins with one of "
            f"{' '.join(LEVELS)}. Rename the file (orb-v3-conservative-inf-omat-mine.ckpt, say)"
        )
    name = max(begins, key=len)
    # The package's files end in a date of release, and that of OrbMol v2 has the name of its training run before it.
    return name, re.fullmatch(r"(-teqabfhg)?(-[0-9]{8})?", source.stem.removeprefix(name)) is not None


@contextlib.contextmanager
def _torch_settings(dtype: DtypeName) -> Iterator[None]:
    """Default precision and that of matrix products, which orb-models sets for the whole process, for a block."""
    import torch

    default, product = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    try:
        torch.set_default_dtype(getattr(torch, dtype))
        torch.set_float32_matmul_precision("highest")
        yield
    finally:
        torch.set_default_dtype(default)
        torch.set_float32_matmul_precision(product)


def _read(name: str, source: Path, device: "torch.device", dtype: DtypeName) -> tuple[Any, Any]:
    from orb_models.forcefield import pretrained

    model, adapter = pretrained.ORB_PRETRAINED_MODELS[name](
        weights_path=str(source.resolve()),
        device=device,
        precision="float64" if dtype == "float64" else "float32-highest",
        compile=False,
    )
    model.disable_stress()
    return model, adapter


def _require_heads(model: Any, source: Path) -> None:
    """Checks what the package only warns of: it leaves a head random whose weights a file lacks."""
    import torch

    stored = torch.load(source, map_location="cpu", weights_only=True)
    # The names of Orb v2, which the package translates too.
    names = {re.sub("^graph_head", "heads.energy", re.sub("^node_head", "heads.forces", name)) for name in stored}
    needed = [name for name in model.state_dict() if name.startswith(_ANSWERING)]
    lacking = [name for name in needed if name not in names]
    if lacking:
        raise ModelError(
            f"{source} lacks {len(lacking)} of the {len(needed)} weights of the heads for energy and forces, "
            f"{lacking[0]} among them; it is damaged, or its name is that of another model"
        )


def _is_conservative(model: Any) -> bool:
    from orb_models.forcefield.models.conservative_regressor import ConservativeForcefieldRegressor

    return isinstance(model, ConservativeForcefieldRegressor)
