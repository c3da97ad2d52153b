"""Energy errors under three ways to align the energy zeros of model and labels.

A total energy depends on the choice of its zero as well as on the molecule. One constant shift for all molecules
leaves the differences between the element reference energies in the error. They grow with the size of the molecule
and are no error of the potential. One shift per element removes them. Both are fitted on training molecules only.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from dataset_builders.tasks.drawn import Drawn
from harness.scoring.clusters import clusters_of
from harness.scoring.influences import sum_by_molecule
from harness.scoring.intervals import IntervalSettings, ratio_interval
from harness.scoring.metric_terms import Float64Array, Ratio
from harness.scoring.paired_frames import FrameIndex, SplitFrames, TaskFrames, TrainFrames
from harness.scoring.reference_shift import composition_of, fit_reference_shift
from harness.study.run_record import EnergyError, Number, ReferenceName, TestSplitName

_NO_FRAMES: Final = "there are no frames"
_OPEN: Final = "the training compositions do not determine the energies of elements for a molecule of this split"


def energy_errors(
    frames: TaskFrames, drawn: Drawn, settings: IntervalSettings | None = None
) -> dict[TestSplitName, dict[ReferenceName, EnergyError]]:
    """Energy errors of both test splits under each alignment of the zeros.

    Args:
        frames: Predictions with labels; at least one training frame.
        drawn: Clusters of each molecule.
        settings: The confidence level; the default if `None`. The shifts are fixed in the intervals.

    Returns:
        By split and alignment; no error for energies per element that training does not determine for a test molecule.

    Raises:
        DataError: If there are no training frames.
    """
    shifts = _shifts(frames.train)
    parts: Mapping[TestSplitName, SplitFrames] = {"test_id": frames.test_id, "test_ood": frames.test_ood}
    return {
        split: {name: _error(part, shift(part.index), drawn, settings) for name, shift in shifts.items()}
        for split, part in parts.items()
    }


def mean_shift(train: TrainFrames) -> float:
    """The mean of label minus prediction over the training frames, eV."""
    return float(np.mean(train.reference_energy - train.predicted_energy))


def _shifts(train: TrainFrames) -> dict[ReferenceName, Callable[[FrameIndex], Float64Array | None]]:
    """Shift of each alignment for the predicted energy of each frame, eV; `None` if training does not determine it."""
    mean, by_element = mean_shift(train), fit_reference_shift(train)

    def shift_by_element(index: FrameIndex) -> Float64Array | None:
        if by_element.leaves_open(np.unique(composition_of(index.atomic_numbers, index.n_atoms), axis=0)).any():
            return None
        return by_element.apply(index.atomic_numbers, index.n_atoms)

    return {
        "none": lambda index: np.zeros(index.n_frames),
        "mean": lambda index: np.full(index.n_frames, mean),
        "elements": shift_by_element,
    }


def _error(
    frames: SplitFrames, shift: Float64Array | None, drawn: Drawn, settings: IntervalSettings | None
) -> EnergyError:
    if shift is None:
        return EnergyError(total=Number(reason=_OPEN), per_atom=Number(reason=_OPEN))
    index, n_molecules = frames.index, len(frames.index.molecules)
    error = np.abs(frames.predicted.energy + shift - frames.reference.energy)
    clusters = clusters_of(index.split, [each.molecule_id for each in index.molecules], drawn)
    total, per_atom = (
        ratio_interval(
            sum_by_molecule(Ratio(terms, np.ones(len(terms)), _NO_FRAMES), index.molecule_idx, n_molecules),
            clusters,
            "log",
            settings,
        )
        for terms in (error, error / index.n_atoms)
    )
    return EnergyError(total=Number.of(total), per_atom=Number.of(per_atom))
