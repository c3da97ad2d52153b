"""What is measured of a model before its run, and recorded in the manifest."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError
from harness.data.dataset import PinnedDataset
from harness.evaluation.lowered_precision import Lowering, lowered_precision
from harness.inference.batching import Plan
from harness.inference.force_consistency import cautions_about, two_molecules
from harness.inference.windows import read_windows
from harness.results.manifest import Manifest
from harness.results.result import ModelRecord

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Examination:
    """What is measured of a model before its run.

    Attributes:
        lowering: The model, and how it is loaded in the precision of its checkpoint.
        is_known: Whether an adapter of this project computes; otherwise forces are compared with energies.
    """

    lowering: Lowering
    is_known: bool


def examined(
    manifest: Manifest, directory: Path, examination: Examination, dataset: PinnedDataset, plan: Plan
) -> Manifest:
    """A manifest with what was measured of the model; a resumed run keeps what was measured at first.

    Args:
        manifest: Of the run.
        directory: Folder of the run.
        examination: What to measure.
        dataset: The data set of the run.
        plan: The plan of the run.

    Raises:
        MlipOodError: If the data set can no longer be read, or the model cannot compute at all.
    """
    earlier = _earlier(manifest, directory)
    found: dict[str, object] = {}
    if not examination.is_known:
        cautions = (
            cautions_about(examination.lowering.potential, two_molecules(next(read_windows(dataset, plan))))
            if earlier is None
            else earlier.cautions
        )
        for caution in cautions:
            _LOG.warning("%s", caution)
        found["cautions"] = cautions
    lowered = None if earlier is None else earlier.lowered_precision
    if lowered is None or not lowered.is_measured:
        lowered = lowered_precision(examination.lowering, dataset, plan)
    model = manifest.model.model_copy(update={**found, "lowered_precision": lowered})
    return manifest.model_copy(update={"model": model})


def _earlier(manifest: Manifest, directory: Path) -> ModelRecord | None:
    """The model as the same run recorded it before, if it was begun before."""
    try:
        earlier = Manifest.load(directory)
    except DataError:
        return None
    return earlier.model if earlier.identity == manifest.identity else None
