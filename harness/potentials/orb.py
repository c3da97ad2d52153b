"""Orb and OrbMol models (`.ckpt` files of weights for orb-models), evaluated in batches.

Sources: Neumann et al., arXiv 2410.22570 (Orb v2); Rhodes et al., arXiv 2504.06231 (Orb v3). Written for orb-models
0.7.0, which needs Python 3.12, and run with it on random weights; the published weights were not available.

A file contains weights but not the architecture of the network, so its name must identify the model: it begins with one
of `LEVELS`, as the package's own files do (`orb-v3-conservative-inf-omat-20250404.ckpt`).
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import ModelError
from harness.compute.device import resolve_device
from harness.compute.neighbours import neighbours
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.compute.trial import bent_trio, tried_with
from harness.core.family import Family
from harness.core.known_checkpoints import known_models
from harness.core.potential import DtypeName, LoadOptions, Potential, PotentialTraits
from harness.trust.pickles import sha256_of

if TYPE_CHECKING:
    import torch

FAMILY: Final = Family(
    "orb",
    __name__,
    "orb_models",
    files=("orb-*.ckpt", "orbmol-*.ckpt"),
    library_names=("orb-models",),
    tags=("orb", "orbmol"),
)

RELEASE: Final = "0.7.0"
"""Release of orb-models that this adapter was written for."""

_OMOL: Final = "wB97M-V/def2-TZVPD"
LEVELS: Final[Mapping[str, str]] = known_models("orb")
"""Level of theory of the training labels by the package's name of a model, which implies the data set (MODELS.md)."""

_MOLECULAR: Final = frozenset(range(1, 84))
_CRYSTALLINE: Final = frozenset(range(1, 95)) - frozenset(range(84, 89))
"""The 83 elements of OMol25, and the 89 of OMat24 and MPtrj; a file of weights has a row for every element, and
does not state which of them were trained."""

_ANSWERING: Final = ("heads.energy.", "heads.forces.", "heads.latent_charges.", "heads.latent_spins.")
"""Parts of a network that determine energy and forces, besides its backbone."""

_N_TYPES: Final = 118
"""Width of the one-hot encoding of an element, indexed by atomic number."""


class OrbPotential(TorchPotential):
    """An Orb model.

    Args:
        model: A `ConservativeForcefieldRegressor` or `DirectForcefieldRegressor` on its device and in its precision.
        reach: Cutoff (Å) and maximum number of neighbours of an atom.
        forces_name: The model's name for its forces.
        traits: Its traits.
    """

    def __init__(self, model: Any, reach: tuple[float, int], forces_name: str, traits: PotentialTraits) -> None:
        super().__init__(traits)
        self._model = model
        self._radius, self._most_neighbours = reach
        self._forces_name = forces_name

    def graph(self, batch: PackedTensors) -> Any:
        """The `AtomGraphs` that Orb takes."""
        import torch
        from orb_models.common.atoms.batch.graph_batch import AtomGraphs

        device, dtype = batch.device, getattr(torch, self._traits.dtype)
        pairs = nearest_neighbours(batch, neighbours(batch, self._radius), self._most_neighbours)
        n_structures, numbers, exact = batch.n_structures, batch.atomic_numbers, batch.positions
        return AtomGraphs(
            senders=pairs[0],
            receivers=pairs[1],
            n_node=batch.n_atoms,
            n_edge=torch.bincount(batch.system_idx[pairs[0]], minlength=n_structures),
            node_features={
                # A separate tensor, since a conservative model marks it as differentiable.
                "positions": exact.detach().to(dtype),
                "atomic_numbers": numbers,
                "atomic_numbers_embedding": torch.nn.functional.one_hot(numbers, _N_TYPES).to(dtype),
            },
            edge_features={
                "vectors": (exact[pairs[1]] - exact[pairs[0]]).to(dtype),
                "unit_shifts": torch.zeros((pairs.shape[1], 3), dtype=dtype, device=device),
            },
            system_features={
                # The package recognises a molecule by a cell of zeros, and removes its net torque.
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
            max_num_neighbors=torch.full((n_structures,), self._most_neighbours, dtype=torch.int64, device=device),
        )

    def forward(self, graph: Any, batch: PackedTensors) -> Output:
        """Energies and forces."""
        with _torch_settings(self._traits.dtype):
            output = self._model.predict(graph)
        return Output(output["energy"].double().reshape(batch.n_structures), output[self._forces_name])


def nearest_neighbours(batch: PackedTensors, pairs: "torch.Tensor", most: int) -> "torch.Tensor":
    """Keeps the pairs of each atom with its nearest neighbours.

    Args:
        batch: Molecules.
        pairs: Centres and neighbours, sorted by centre, shape (2, n_pairs).
        most: Maximum number of neighbours of an atom.

    Returns:
        The pairs that are kept, in their order.
    """
    import torch

    n_neighbours = torch.bincount(pairs[0], minlength=len(batch.atomic_numbers))
    if int(n_neighbours.max()) <= most:
        return pairs
    distance = torch.linalg.vector_norm(batch.positions[pairs[1]] - batch.positions[pairs[0]], dim=1)
    by_distance = torch.argsort(distance, stable=True)
    by_distance = by_distance[torch.argsort(pairs[0, by_distance], stable=True)]
    first = (n_neighbours.cumsum(0) - n_neighbours).repeat_interleave(n_neighbours)
    rank = torch.arange(pairs.shape[1], device=batch.device) - first
    return pairs[:, by_distance[rank < most].sort().values]


def load(source: Path, options: LoadOptions) -> Potential:
    """Loads a `.ckpt` file.

    Args:
        source: Weights in the format of the package's own loader, which reads only tensors, so no trust is needed.
        options: Device and precision. Single precision (the default) is the package's `float32-highest`: it uses no
            TF32, so that a result is the same on every device.

    Raises:
        ModelError: If the file name identifies no model, or the file cannot be loaded and run.
        UsageError: If the device is absent, or a readout head was requested.
    """
    options.require_no_head(str(source))
    name, is_published = model_of(source)
    device = resolve_device(options.device)
    dtype: DtypeName = options.dtype or "float32"
    # The network is always built in single precision, since the package rounds its constants to it.
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
    """The package's model name at the start of a file name, and whether only a date follows it.

    Anything else after it (`-finetuned`) marks other weights of the same architecture.

    Raises:
        ModelError: If the file name begins with no model name.
    """
    begins = [name for name in LEVELS if source.stem == name or source.stem.startswith(f"{name}-")]
    if not begins:
        raise ModelError(
            f"{source.name} does not identify an Orb model; expected a name that begins with one of "
            f"{' '.join(LEVELS)}. Rename the file, for example to orb-v3-conservative-inf-omat-mine.ckpt"
        )
    name = max(begins, key=len)
    # The package's files end in a release date; OrbMol v2 has the name of its training run before it.
    return name, re.fullmatch(r"(-teqabfhg)?(-[0-9]{8})?", source.stem.removeprefix(name)) is not None


@contextlib.contextmanager
def _torch_settings(dtype: DtypeName) -> Iterator[None]:
    """Limits to a block the default and matrix-product precision that orb-models sets for the whole process."""
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
    """Checks that the file has the weights of all heads; the package only warns and leaves a head random."""
    import torch

    stored = torch.load(source, map_location="cpu", weights_only=True)
    # Orb v2 uses other names, which the package translates, too.
    names = {re.sub("^graph_head", "heads.energy", re.sub("^node_head", "heads.forces", name)) for name in stored}
    needed = [name for name in model.state_dict() if name.startswith(_ANSWERING)]
    lacking = [name for name in needed if name not in names]
    if lacking:
        raise ModelError(
            f"{source} lacks {len(lacking)} of the {len(needed)} weights of the heads for energy and forces, "
            f"such as {lacking[0]}; it is damaged, or its name belongs to another model"
        )


def _is_conservative(model: Any) -> bool:
    from orb_models.forcefield.models.conservative_regressor import ConservativeForcefieldRegressor

    return isinstance(model, ConservativeForcefieldRegressor)
