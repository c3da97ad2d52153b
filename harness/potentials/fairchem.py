"""UMA and eSEN models (`.pt` files of fairchem-core), evaluated in batches.

Sources: Wood et al., arXiv 2506.23971 (UMA); Levine et al., arXiv 2505.08762 (OMol25, eSEN). Written for
fairchem-core 2.24.0 and run with it on random weights; the published weights are gated, and we did not run them.

A UMA model has several levels of theory, one for each of its tasks; `omol`, the task of molecules, is the default, and
`--head` chooses another.
"""

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import ModelError
from harness.compute.device import resolve_device
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.compute.trial import bent_trio, tried_with
from harness.core.family import Family
from harness.core.known_checkpoints import level_of_file
from harness.core.potential import DtypeName, LoadOptions, Potential, PotentialTraits
from harness.trust.pickles import require_trust, sha256_of

if TYPE_CHECKING:
    import torch

FAMILY: Final = Family(
    "fairchem",
    __name__,
    "fairchem",
    files=("uma-*.pt", "esen_*.pt"),
    library_names=("fairchem",),
    tags=("uma",),
    is_pickled=True,
)

RELEASE: Final = "2.24.0"
"""Release of fairchem-core that this adapter was written for."""

MOLECULES: Final = "omol"
"""Task of molecules, the only one trained on charges and spins."""


class FairchemPotential(TorchPotential):
    """A UMA or eSEN model.

    Args:
        unit: A prediction unit of fairchem on its device and in its precision.
        task: Task whose energies and forces are used.
        traits: Its traits.
    """

    def __init__(self, unit: Any, task: str, traits: PotentialTraits) -> None:
        super().__init__(traits)
        self._unit = unit
        self._task = task

    def graph(self, batch: PackedTensors) -> Any:
        """The `AtomicData` that fairchem takes; fairchem finds the neighbours itself."""
        import torch
        from fairchem.core.datasets.atomic_data import AtomicData

        device, dtype = batch.device, getattr(torch, self._traits.dtype)
        n_structures, n_atoms = batch.n_structures, len(batch.atomic_numbers)
        return AtomicData(
            pos=batch.positions.to(dtype),
            atomic_numbers=batch.atomic_numbers,
            # As in fairchem's own calculator, the cell of a molecule is the unit matrix, without periodicity.
            cell=torch.eye(3, dtype=dtype, device=device).repeat(n_structures, 1, 1),
            pbc=torch.zeros((n_structures, 3), dtype=torch.bool, device=device),
            natoms=batch.n_atoms,
            edge_index=torch.empty((2, 0), dtype=torch.int64, device=device),
            cell_offsets=torch.empty((0, 3), dtype=dtype, device=device),
            nedges=torch.zeros(n_structures, dtype=torch.int64, device=device),
            charge=torch.zeros(n_structures, dtype=torch.int64, device=device),
            # The tasks of crystals and surfaces were trained with 0 instead of a spin multiplicity.
            spin=torch.full((n_structures,), int(self._task == MOLECULES), dtype=torch.int64, device=device),
            fixed=torch.zeros(n_atoms, dtype=torch.int64, device=device),
            tags=torch.zeros(n_atoms, dtype=torch.int64, device=device),
            batch=batch.system_idx,
            sid=[""] * n_structures,
            dataset=[self._task] * n_structures,
        )

    def forward(self, graph: Any, batch: PackedTensors) -> Output:
        """Energies and forces of the task."""
        with _current(self._traits.device):
            output = self._unit.predict(graph)
        return Output(output["energy"].double().reshape(batch.n_structures), output["forces"])


def load(source: Path, options: LoadOptions) -> Potential:
    """Loads a `.pt` file.

    Args:
        source: An inference checkpoint of fairchem.
        options: Device, precision (float32 by default, as in the package), trust, and the task as the head.

    Raises:
        ModelError: If the file is not trusted, cannot be loaded and run, or has several tasks and not the chosen one.
        UsageError: If the device is absent.
    """
    require_trust(source, options)
    device = resolve_device(options.device)
    dtype: DtypeName = options.dtype or "float32"
    with tried_with("fairchem-core", RELEASE, source), _current(str(device)):
        unit = _predict_unit(source, device, dtype)
        task = _choose_task(list(unit.dataset_to_tasks), options.head, source)
        traits = PotentialTraits(
            model_id=str(source),
            family="fairchem",
            elements=_elements(unit, task, source),
            files={source.name: sha256_of(source)},
            packages=("fairchem-core", "e3nn", "torch"),
            dtype=dtype,
            device=str(device),
            # A fine-tuned model keeps the name of a task and may have been trained at another level.
            level_of_theory=level_of_file("fairchem", source.name, task),
            conservative=not unit.model.module.backbone.regress_config.direct_forces,
            head=task if len(unit.dataset_to_tasks) > 1 else None,
        )
        potential = FairchemPotential(unit, task, traits)
        potential.compute(bent_trio(traits))
    return potential


def _current(device: str) -> contextlib.AbstractContextManager[object]:
    """Makes a CUDA device the current one, where fairchem puts its model and its kernels."""
    import torch

    return torch.cuda.device(device) if device.startswith("cuda") else contextlib.nullcontext()


def _predict_unit(source: Path, device: "torch.device", dtype: DtypeName) -> Any:
    from fairchem.core.units.mlip_unit import load_predict_unit
    from fairchem.core.units.mlip_unit.api.inference import guess_inference_settings
    from hydra.errors import HydraException  # type: ignore[import-not-found]

    # The preset for mixed batches: no TF32, no merging of experts for one composition, no compilation.
    settings = dataclasses.replace(
        guess_inference_settings("batch"), base_precision_dtype=dtype, auto_add_default_untrained_tasks=False
    )
    try:
        return load_predict_unit(str(source), inference_settings=settings, device=device.type)
    except HydraException as cause:
        raise ValueError(f"the installed fairchem lacks a required class ({cause})") from cause


def _choose_task(available: list[str], wanted: str | None, source: Path) -> str:
    """The requested task, or that of molecules, or the only one."""
    if wanted is not None and wanted not in available:
        raise ModelError(f"{source} has no task {wanted!r}; its tasks are: {' '.join(available)}")
    if wanted is not None:
        return wanted
    if MOLECULES in available:
        return MOLECULES
    if len(available) != 1:
        raise ModelError(f"{source} has no task {MOLECULES}; choose one with --head: {' '.join(available)}")
    return available[0]


def _elements(unit: Any, task: str, source: Path) -> frozenset[int]:
    """Elements with a reference energy, or, in a model without such energies, with a row in the network."""
    properties = {each.property: each for each in unit.dataset_to_tasks[task]}
    lacking = [name for name in ("energy", "forces") if name not in properties]
    if lacking:
        raise ModelError(
            f"{source} predicts no {' and no '.join(lacking)} for the task {task}; it predicts {' '.join(properties)}. "
            "Choose another model, or another task with --head"
        )
    references = properties["energy"].element_references
    if references is None:
        return frozenset(range(1, int(unit.model.module.backbone.max_num_elements)))
    return frozenset(int(number) for number in references.element_references.nonzero().ravel() if number > 0)
