"""Shards: the files with the predictions of a run.

A shard is written atomically and contains a digest of its content: a shard that exists and verifies is
never computed again; a damaged one is.
"""

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.build.work_units import write_table
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.arrow_arrays import array_of_numbers, array_of_texts, numpy_of
from dataset_builders.core.errors import DataError, SetupError
from dataset_builders.core.hub.explaining import first_line
from dataset_builders.core.parsed_text import parse_json
from harness.core.batch import STORED_FORCES, Prediction
from harness.inference.batching import ATOMS_PER_WINDOW, Plan, Shard, ragged_indices

SHARD_SCHEMA: Final = pa.schema(
    [
        pa.field("molecule_id", pa.string()),
        pa.field("trajectory", pa.string()),
        pa.field("frame", pa.int32()),
        pa.field("energy", pa.float64()),
        pa.field("forces", pa.list_(pa.float32())),
        pa.field("failure", pa.string()),
    ]
)
"""Columns of a shard, in eV and eV/Å; `failure` is empty if the structure was computed."""

NO_CAUSE: Final = "no cause given"
"""Cause of a failure that the model reports without one."""
_METADATA_KEY: Final = b"mlip_ood_prediction"
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions of a potential for some frames, in their order.

    Attributes:
        energy: Shape (n_frames,), float64, eV; NaN where the frame failed.
        forces: Shape (n_atoms_total, 3), float32, eV/Å; NaN where the frame failed.
        failures: Cause of each failure, by index of the frame.
    """

    energy: FloatArray
    forces: FloatArray
    failures: Mapping[int, str]


def _shard_path(directory: Path, shard: Shard) -> Path:
    return directory / f"{shard.name}.parquet"


def is_finished(plan: Plan, shard: Shard, directory: Path, identity: Mapping[str, str]) -> bool:
    """Whether the predictions of a shard exist and verify; logs a damaged shard and returns false."""
    if not _shard_path(directory, shard).exists():
        return False
    try:
        _read_shard(plan, shard, directory, identity)
    except DataError as problem:
        _LOG.warning("%s; its %d structures are computed again", problem, len(shard))
        return False
    return True


def write_shard(plan: Plan, shard: Shard, prediction: Prediction, directory: Path, identity: Mapping[str, str]) -> None:
    """Writes the predictions of a shard atomically.

    Raises:
        SetupError: If the folder cannot be written.
    """
    names, n_atoms = plan.names(shard.start, shard.stop), plan.n_atoms[shard.start : shard.stop]
    failed = np.isin(np.arange(len(shard)), list(prediction.failures))
    energy = np.where(failed, np.nan, prediction.energy)
    forces = prediction.forces.astype(STORED_FORCES)
    forces[np.repeat(failed, n_atoms)] = np.nan
    causes = [
        "" if number not in prediction.failures else prediction.failures[number] or NO_CAUSE
        for number in range(len(shard))
    ]
    offsets = np.concatenate([[0], np.cumsum(3 * n_atoms.astype(np.int64))])
    values = array_of_numbers(forces.ravel())
    columns = {
        "molecule_id": array_of_texts(names.molecule_id),
        "trajectory": array_of_texts(names.trajectory),
        "frame": array_of_numbers(names.frame.astype(np.int32)),
        "energy": array_of_numbers(energy.astype(np.float64, copy=False)),
        "forces": pa.ListArray.from_arrays(array_of_numbers(offsets.astype(np.int32)), values),
        "failure": array_of_texts(causes),
    }
    metadata = {**identity, "content": _content_digest(energy, forces, causes)}
    schema = SHARD_SCHEMA.with_metadata({_METADATA_KEY: json.dumps(metadata, sort_keys=True)})
    try:
        write_table(pa.table(columns, schema=schema), _shard_path(directory, shard))
    except OSError as cause:
        raise unwritable(directory, cause) from cause


def _read_shard(plan: Plan, shard: Shard, directory: Path, identity: Mapping[str, str]) -> Predictions:
    path = _shard_path(directory, shard)
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        table.validate(full=True)  # Among others that text is UTF-8, which Arrow reads without a look.
        metadata = parse_json((table.schema.metadata or {}).get(_METADATA_KEY, b"{}"))
    except (OSError, ValueError, pa.ArrowException) as cause:
        raise DataError(f"the predictions in {path} cannot be read ({first_line(cause)})") from cause
    if not table.schema.equals(SHARD_SCHEMA):
        raise DataError(f"the predictions in {path} have columns {table.schema.names}; expected {SHARD_SCHEMA.names}")
    columns = {name: table[name].combine_chunks() for name in SHARD_SCHEMA.names}
    names = plan.names(shard.start, shard.stop)
    is_of_plan = np.array_equal(numpy_of(columns["frame"]), names.frame) and all(
        columns[name].to_pylist() == getattr(names, name).tolist() for name in ("molecule_id", "trajectory")
    )
    if not is_of_plan:
        raise DataError(f"the predictions in {path} belong to other frames than its name states")
    lengths = numpy_of(pc.list_value_length(columns["forces"]))
    if columns["forces"].null_count or not np.array_equal(lengths, 3 * plan.n_atoms[shard.start : shard.stop]):
        raise DataError(f"the predictions in {path} have forces whose lengths differ from 3 x n_atoms")
    energy = numpy_of(columns["energy"])
    forces = numpy_of(columns["forces"].flatten()).reshape(-1, 3)
    causes = columns["failure"].to_pylist()
    if metadata != {**identity, "content": _content_digest(energy, forces, causes)}:
        raise DataError(f"the predictions in {path} are damaged, or belong to another model, data set or code")
    return Predictions(energy, forces, {number: cause for number, cause in enumerate(causes) if cause})


class PredictionReader:
    """The predictions of a finished run, read shard by shard on demand.

    Args:
        plan: Complete plan of the run.
        directory: Folder of the shards.
        identity: Identity of the run.
    """

    def __init__(self, plan: Plan, directory: Path, identity: Mapping[str, str]) -> None:
        self._plan, self._directory, self._identity = plan, directory, identity
        self._starts = np.array([shard.start for shard in plan.shards])
        self._kept: OrderedDict[int, Predictions] = OrderedDict()
        self._n_atoms_kept = 0

    def at(self, places: IntArray) -> Predictions:
        """The predictions of the frames at some places of the plan, shape (n_frames,), in that order.

        Raises:
            DataError: If a shard is absent, damaged, or belongs to another model, data set or code.
        """
        n_atoms = self._plan.n_atoms[places].astype(np.int64)
        energy = np.empty(len(places))
        forces = np.empty((int(n_atoms.sum()), 3), dtype=np.float32)
        first_atom = np.cumsum(n_atoms) - n_atoms
        failures: dict[int, str] = {}
        numbers = np.searchsorted(self._starts, places, side="right") - 1
        for number in np.unique(numbers):
            chosen = np.flatnonzero(numbers == number)
            part, shard = self._part(int(number)), self._plan.shards[number]
            within = places[chosen] - shard.start
            sizes = self._plan.n_atoms[shard.start : shard.stop].astype(np.int64)
            theirs = ragged_indices((np.cumsum(sizes) - sizes)[within], n_atoms[chosen])
            energy[chosen] = part.energy[within]
            forces[ragged_indices(first_atom[chosen], n_atoms[chosen])] = part.forces[theirs]
            if part.failures:
                failures |= {
                    int(row): part.failures[int(place)]
                    for row, place in zip(chosen, within, strict=True)
                    if int(place) in part.failures
                }
        return Predictions(energy, forces, failures)

    def _part(self, number: int) -> Predictions:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        shard = self._plan.shards[number]
        path = _shard_path(self._directory, shard)
        if not path.exists():
            raise DataError(
                f"{self._directory} lacks the predictions of {len(shard)} structures ({path.name}); "
                "the run is not finished: start it again with the same options to resume it"
            )
        try:
            part = _read_shard(self._plan, shard, self._directory, self._identity)
        except DataError as cause:
            raise DataError(
                f"{cause}; evaluate the model again with the same options, which computes these {len(shard)} "
                "structures again and keeps the others"
            ) from cause
        self._kept[number] = part
        self._n_atoms_kept += len(part.forces)
        # Rows of a split follow the windows of the plan, so only those of the last two are needed again soon.
        while self._n_atoms_kept > 2 * ATOMS_PER_WINDOW and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._n_atoms_kept -= len(oldest.forces)
        return part


def _content_digest(energy: FloatArray, forces: npt.NDArray[np.float32], causes: Iterable[str]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(energy).tobytes())
    digest.update(np.ascontiguousarray(forces).tobytes())
    digest.update(json.dumps(list(causes)).encode())
    return digest.hexdigest()


def unwritable(directory: Path, cause: OSError) -> SetupError:
    """The error for a folder to which predictions cannot be written."""
    return SetupError(
        f"cannot write predictions to {directory}: {cause.strerror or cause}; choose a folder with --output"
    )
