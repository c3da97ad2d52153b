"""Measures what it changes that a model computes in a lower precision than its checkpoint was saved in.

A sample of the structures of the run is computed in both precisions before the run. The numbers become part of the
manifest, and so a run that is resumed keeps them.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import MlipOodError
from dataset_builders.core.hub.explaining import first_line
from harness.compute.device import is_out_of_memory, release_memory
from harness.core.batch import Prediction, StructureBatch, sound_prediction
from harness.core.potential import LoadOptions, Potential, PotentialTraits, SavedDtypeName
from harness.data.dataset import PinnedDataset
from harness.inference.batch_size import ON_CPU
from harness.inference.batching import Plan, filled_bounds
from harness.inference.windows import structures_at
from harness.results.lowered_precision import LoweredPrecision

N_SAMPLED: Final = 64
"""Structures that are computed in both precisions."""

SEED: Final = 0
"""Seed of their choice."""

_BITS: Final[dict[SavedDtypeName, int]] = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}
_LONGEST_REASON: Final = 300

LoadAgain: TypeAlias = Callable[[], AbstractContextManager[Potential]]
"""Loads the model in the precision of its checkpoint, for a `with` block."""

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lowering:
    """A model that may compute in a lower precision than that of its checkpoint.

    Attributes:
        potential: The model.
        is_requested: Whether the user chose its precision.
        load_again: Loads it in the precision of its checkpoint; `None` for a model that cannot be loaded again.
    """

    potential: Potential
    is_requested: bool
    load_again: LoadAgain | None


def in_saved_precision(options: LoadOptions) -> LoadOptions:
    """The options that load a model in the precision of its checkpoint, not compiled."""
    return replace(options, dtype=None, compile=False)


def lowered_precision(lowering: Lowering, dataset: PinnedDataset, plan: Plan) -> LoweredPrecision | None:
    """The differences between the precision in use and that of the checkpoint.

    Args:
        lowering: The model.
        dataset: The data set of the run.
        plan: The plan of the run, from which the sample is drawn.

    Returns:
        The differences, or why there are none; `None` if the precision in use is not lower.

    Raises:
        DataError: If the data set can no longer be read.
    """
    traits = lowering.potential.traits
    if not _may_be_lowered(traits, is_requested=lowering.is_requested):
        return None
    # For a family that does not tell how its checkpoint was saved, loading it without a wish does.
    if lowering.load_again is None:
        return None if traits.saved_dtype is None else _not_compared(traits, "it was handed over after it was loaded")
    try:
        with lowering.load_again() as exact:
            if not _is_lower(traits.dtype, exact.traits.dtype):
                return _without_reference(traits)
            batch = structures_at(dataset, plan, sampled_places(plan, N_SAMPLED, SEED))
            return _compared(lowering.potential, exact, batch)
    except Exception as cause:
        if not (isinstance(cause, MlipOodError) or is_out_of_memory(cause)):
            raise
        return _not_compared(traits, first_line(cause)[:_LONGEST_REASON])
    finally:
        release_memory()


def sampled_places(plan: Plan, n_structures: int, seed: int) -> IntArray:
    """Places of a sample of the structures of a plan, ascending, with equal numbers from each split of each task.

    A split with fewer structures gives all of them, and the others more.

    Args:
        plan: The plan.
        n_structures: Size of the sample; a smaller plan is taken whole.
        seed: Seed of the choice.
    """
    random = np.random.default_rng(seed)
    splits = [np.unique(places) for places in plan.rows.values()]
    drawn = [random.choice(places, size=min(n_structures, len(places)), replace=False).tolist() for places in splits]
    chosen: set[int] = set()
    for turn in range(n_structures):
        for places in drawn:
            if turn < len(places) and len(chosen) < n_structures:
                chosen.add(places[turn])
    return np.array(sorted(chosen), dtype=np.int64)


def _may_be_lowered(traits: PotentialTraits, *, is_requested: bool) -> bool:
    if traits.saved_dtype is None:
        return is_requested and traits.dtype == "float32"
    return _is_lower(traits.dtype, traits.saved_dtype)


def _is_lower(one: SavedDtypeName, other: SavedDtypeName) -> bool:
    return _BITS[one] < _BITS[other]


def _without_reference(traits: PotentialTraits) -> LoweredPrecision | None:
    if traits.saved_dtype is None:
        return None
    return _not_compared(traits, f"the family {traits.family} computes in {traits.dtype} only")


def _not_compared(traits: PotentialTraits, reason: str) -> LoweredPrecision:
    found = LoweredPrecision(saved=traits.saved_dtype, seed=SEED, n_structures=0, n_atoms=0, reason=reason)
    _LOG.warning("%s: %s %s", traits.model_id, traits.dtype, found.text)
    return found


def _compared(lowered: Potential, exact: Potential, batch: StructureBatch) -> LoweredPrecision:
    energies: list[FloatArray] = []
    forces: list[FloatArray] = []
    n_failed = n_atoms = 0
    for start, stop in pairwise(filled_bounds(batch.n_atoms, ON_CPU)):
        part = batch.slice(start, stop)
        first, second = (_predicted(each, part) for each in (lowered, exact))
        failed = {*first.failures, *second.failures}
        for number, (begin, end) in enumerate(pairwise(part.offsets.tolist())):
            if number in failed:
                n_failed += 1
                continue
            n_atoms += end - begin
            energies.append(np.abs(first.energy[number] - second.energy[number])[None] / (end - begin))
            forces.append(np.abs(first.forces[begin:end] - second.forces[begin:end]))
    if not energies:
        return _not_compared(
            replace(lowered.traits, saved_dtype=exact.traits.dtype), f"all {n_failed} structures failed"
        )
    by_structure, by_component = np.concatenate(energies), np.concatenate(forces)
    return LoweredPrecision(
        saved=exact.traits.dtype,
        seed=SEED,
        n_structures=len(by_structure),
        n_atoms=n_atoms,
        n_failed=n_failed,
        largest_force=float(by_component.max()),
        mean_force=float(by_component.mean()),
        largest_energy_per_atom=float(by_structure.max()),
        mean_energy_per_atom=float(by_structure.mean()),
    )


def _predicted(potential: Potential, batch: StructureBatch) -> Prediction:
    """As computed, not rounded to the precision in which predictions are stored."""
    return sound_prediction(potential.compute(batch), batch, potential.traits.model_id)
