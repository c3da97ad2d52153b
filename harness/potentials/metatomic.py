"""PET-MAD and other models of the metatomic format (metatrain `.ckpt`, exported `.pt`), evaluated in batches.

Sources: Mazitov et al., Nature Communications 16, 10653 (2025) (PET-MAD); Bigi et al., arXiv 2601.16195 (UPET).
Written for metatomic-torch 0.1.19 and metatrain 2026.4.1, which upet 0.3.1 uses, and run with them on a small PET with
random weights; the published weights were not available.

Forces are the negative gradient of the energy, as in the package's own calculator by default, also for a model that
can predict them directly.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import ModelError, UsageError
from harness.compute.device import resolve_device
from harness.compute.neighbours import neighbours
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.compute.trial import bent_trio, tried_with
from harness.core.family import Family
from harness.core.known_checkpoints import level_of_file
from harness.core.potential import DtypeName, LoadOptions, Potential, PotentialTraits
from harness.trust.pickles import require_trust, sha256_of

if TYPE_CHECKING:
    import torch

FAMILY: Final = Family(
    "metatomic",
    __name__,
    "metatomic",
    files=("pet-*.ckpt", "pet-*.pt"),
    library_names=("metatomic", "metatrain", "upet"),
    tags=("metatomic", "upet"),
    is_pickled=True,
)

RELEASE: Final = "0.1.19"
"""Release of metatomic-torch that this adapter was written for."""

CHECKPOINT: Final = ".ckpt"
"""Extension of a metatrain checkpoint; other files are models exported to TorchScript."""

_NEUTRAL_SINGLET: Final[Mapping[str, tuple[float, str]]] = MappingProxyType(
    {"charge": (0.0, "e"), "spin_multiplicity": (1.0, "")}
)
"""Inputs of a molecule that a model may request, with the unit."""


class MetatomicPotential(TorchPotential):
    """A model of the metatomic format.

    Args:
        model: An `AtomisticModel` on its device.
        energy_name: Name of the output that is the energy.
        traits: Its traits.
    """

    def __init__(self, model: Any, energy_name: str, traits: PotentialTraits) -> None:
        super().__init__(traits)
        self._model = model
        self._energy_name = energy_name
        # Requested here, since the model computes while the next batch is prepared.
        self._neighbour_lists = list(model.requested_neighbor_lists())
        self._inputs = list(model.requested_inputs(use_new_names=True))

    def graph(self, batch: PackedTensors) -> tuple[list[Any], "torch.Tensor"]:
        """Systems as the model takes them, and the positions from which they are made."""
        import torch
        from metatomic.torch import System

        positions = batch.positions.detach().to(getattr(torch, self._traits.dtype)).requires_grad_()
        types, n_atoms = batch.atomic_numbers.int(), batch.n_atoms.tolist()
        systems = [
            System(
                types=each_types,
                positions=each_positions,
                cell=torch.zeros((3, 3), dtype=positions.dtype, device=positions.device),
                pbc=torch.zeros(3, dtype=torch.bool, device=positions.device),
            )
            for each_types, each_positions in zip(
                torch.split(types, n_atoms), torch.split(positions, n_atoms), strict=True
            )
        ]
        for options in self._neighbour_lists:
            pairs = neighbours(batch, float(options.engine_cutoff("angstrom")))
            if not options.full_list:
                pairs = pairs[:, pairs[0] < pairs[1]]
            _add_neighbours(systems, options, batch, pairs, positions)
        for name in self._inputs:
            value = _of_molecule(name, positions)
            for system in systems:
                system.add_data(name, value)
        return systems, positions

    def forward(self, graph: tuple[list[Any], "torch.Tensor"], batch: PackedTensors) -> Output:
        """Energies, and forces as their negative gradients."""
        import torch
        from metatomic.torch import ModelEvaluationOptions, ModelOutput

        systems, positions = graph
        # If the model returns atomic energies, sum them here in double: a total in single precision has errors of meV.
        kind = self._model.capabilities().outputs[self._energy_name].sample_kind
        wanted = {self._energy_name: ModelOutput(unit="eV", sample_kind=kind)}
        options = ModelEvaluationOptions(length_unit="angstrom", outputs=wanted)
        block = self._model(systems, options, check_consistency=False)[self._energy_name].block()
        (gradient,) = torch.autograd.grad(block.values.sum(), positions)
        return Output(_sums(block, batch.n_structures), -gradient)


def load(source: Path, options: LoadOptions) -> Potential:
    """Loads a checkpoint of metatrain (`.ckpt`, a pickle) or an exported model (`.pt`, a TorchScript program).

    Args:
        source: The file.
        options: Device, trust, the variant of the energy as the head, and the precision, which is fixed in an exported
            model; a checkpoint has a default.

    Raises:
        ModelError: If the file is not trusted, cannot be loaded and run, or needs an input that is not available.
        UsageError: If the device is absent or the model does not support it, or the precision is not the exported one.
    """
    require_trust(source, options)
    device = resolve_device(options.device)
    with tried_with("metatomic-torch", RELEASE, source):
        model = _read(source, options.dtype)
        capabilities = model.capabilities()
        dtype = _dtype(capabilities.dtype, options.dtype, source)
        if device.type not in capabilities.supported_devices:
            raise UsageError(f"{source} runs on {' '.join(capabilities.supported_devices)}, not on {device.type}")
        energy_name = _choose_energy(list(capabilities.outputs), options.head, source)
        _require_known_inputs(model, source)
        traits = PotentialTraits(
            model_id=str(source),
            family="metatomic",
            elements=frozenset(int(number) for number in capabilities.atomic_types),
            files={source.name: sha256_of(source)},
            packages=("metatomic-torch", "metatensor-torch", "metatrain", "torch"),
            dtype=dtype,
            device=str(device),
            level_of_theory=level_of_file("metatomic", source.name),
            head=options.head,
        )
        potential = MetatomicPotential(model.to(device=device), energy_name, traits)
        potential.compute(bent_trio(traits))
    return potential


def _read(source: Path, dtype: DtypeName | None) -> Any:
    import torch
    from metatomic.torch import load_atomistic_model

    if source.suffix != CHECKPOINT:
        return load_atomistic_model(str(source))
    from metatrain.utils.io import load_model  # type: ignore[import-not-found]

    # An absolute path, since metatrain downloads a path that looks like a URL.
    model = load_model(str(source.resolve()))
    return (model if dtype is None else model.to(getattr(torch, dtype))).export()


def _dtype(available: str, wanted: DtypeName | None, source: Path) -> DtypeName:
    if wanted is not None and wanted != available:
        raise UsageError(
            f"{source} was exported in {available}, not in {wanted}; leave --dtype out, or export it again"
        )
    match available:
        case "float32" | "float64":
            return available
        case _:
            raise ModelError(f"{source} computes in {available!r}; expected float32 or float64")


def _choose_energy(outputs: list[str], wanted: str | None, source: Path) -> str:
    name = "energy" if wanted is None else f"energy/{wanted}"
    if name in outputs:
        return name
    variants = [output.removeprefix("energy/") for output in outputs if output.startswith("energy/")]
    if variants:
        raise ModelError(f"{source} has no output {name!r}; choose its variant with --head: {' '.join(variants)}")
    raise ModelError(f"{source} has no output {name!r}; its outputs are {' '.join(outputs)}. Is it a potential?")


def _require_known_inputs(model: Any, source: Path) -> None:
    for name, wanted in model.requested_inputs(use_new_names=True).items():
        if name not in _NEUTRAL_SINGLET or wanted.sample_kind != "system":
            raise ModelError(
                f"{source} needs {name} of each {wanted.sample_kind}; the harness provides "
                f"{' and '.join(_NEUTRAL_SINGLET)} of a molecule"
            )


def _sums(block: Any, n_structures: int) -> "torch.Tensor":
    """Sums of the values over the samples of each structure, in double precision and always in the same order."""
    import torch

    structure = block.samples.column("system")
    values = block.values.detach().double()[:, 0][torch.argsort(structure, stable=True)]
    return torch.segment_reduce(values, "sum", lengths=torch.bincount(structure, minlength=n_structures))


def _of_molecule(name: str, positions: "torch.Tensor") -> Any:
    import torch
    from metatensor.torch import Labels, TensorBlock, TensorMap

    value, unit = _NEUTRAL_SINGLET[name]
    zero = torch.zeros((1, 1), dtype=torch.int32, device=positions.device)
    block = TensorBlock(
        values=torch.full((1, 1), value, dtype=positions.dtype, device=positions.device),
        samples=Labels(["system"], zero),
        components=[],
        properties=Labels([name], zero),
    )
    data = TensorMap(Labels(["_"], zero), [block])
    data.set_info("unit", unit)
    return data


def _add_neighbours(
    systems: list[Any], options: Any, batch: PackedTensors, pairs: "torch.Tensor", positions: "torch.Tensor"
) -> None:
    """Adds the neighbour list of each system; its vectors are differentiable in the positions."""
    import torch
    from metatensor.torch import Labels, TensorBlock

    device = positions.device
    system_of_pair = batch.system_idx[pairs[0]]
    n_pairs = torch.bincount(system_of_pair, minlength=batch.n_structures).tolist()
    vectors = (positions[pairs[1]] - positions[pairs[0]]).reshape(-1, 3, 1)
    inside = (pairs - batch.offsets[system_of_pair]).T.int()
    no_shift = torch.zeros((inside.shape[0], 3), dtype=torch.int32, device=device)
    samples = torch.hstack([inside, no_shift])
    names = ["first_atom", "second_atom", "cell_shift_a", "cell_shift_b", "cell_shift_c"]
    components = [Labels(["xyz"], torch.arange(3, dtype=torch.int32, device=device)[:, None])]
    properties = Labels(["distance"], torch.zeros((1, 1), dtype=torch.int32, device=device))
    parts = zip(systems, torch.split(vectors, n_pairs), torch.split(samples, n_pairs), strict=True)
    for system, each_vectors, each_samples in parts:
        labels = Labels(names, each_samples, assume_unique=True)
        system.add_neighbor_list(options, TensorBlock(each_vectors, labels, components, properties))
