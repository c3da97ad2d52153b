"""Runs a potential over a plan and keeps what it says, shard by shard, where a killed run can go on.

A shard is written whole or not at all, and carries a digest of its content: one that is there and
verifies is never computed again, one that is damaged is.
"""

import hashlib
import json
import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.errors import DataError, SetupError
from dataset_builders.hub import first_line
from dataset_builders.structures import FloatArray
from dataset_builders.work import write_table
from harness.batching import Plan, Shard, WorkList
from harness.potentials.base import Potential
from harness.progress import OnStructures, no_progress
from harness.structures import Prediction, check_prediction

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
"""Columns of a shard: eV and eV/Å; `failure` is empty where the structure was computed."""

_METADATA_KEY: Final = b"mlip_ood_prediction"
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a potential says about a work list, in its order.

    Attributes:
        energy: Shape (n_frames,), float64, eV; NaN where the frame failed.
        forces: Shape (n_atoms_total, 3), float32, eV/Å; NaN where the frame failed.
        failures: Cause of each failure, by place in the work list.
    """

    energy: FloatArray
    forces: FloatArray
    failures: Mapping[int, str]


def predict(
    potential: Potential,
    plan: Plan,
    directory: Path,
    identity: Mapping[str, str],
    on_structures: OnStructures = no_progress,
) -> Predictions:
    """Computes the shards that are not there yet and returns all predictions as they are on disk.

    Raises:
        As `compute_shards` and `read_predictions`.
    """
    compute_shards(potential, plan, directory, identity, on_structures)
    return read_predictions(plan, directory, identity)


def compute_shards(
    potential: Potential,
    plan: Plan,
    directory: Path,
    identity: Mapping[str, str],
    on_structures: OnStructures = no_progress,
) -> None:
    """Computes the shards that are not there yet.

    Args:
        potential: What computes.
        plan: What is to be computed, in which batches; a share of it, where several processes compute.
        directory: Folder of the shards; made if need be.
        identity: What the predictions depend on (hashes of model, data set and code, precision);
            stands in each shard and must agree when one is read again.
        on_structures: Told of structures computed or found.

    Raises:
        SetupError: If one structure alone does not fit on the device, or the folder cannot be
            written.
        ShapeError: If the potential returns arrays that do not fit the batch.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise _unwritable(directory, cause) from cause
    for shard in plan.shards:
        work = plan.work.slice(shard.start, shard.stop)
        path = _shard_path(directory, shard)
        if _is_finished(path, work, identity):
            on_structures(len(work), "resumed")
        else:
            _write_shard(path, work, _predict_shard(potential, plan.work, shard, on_structures), identity)


def read_predictions(plan: Plan, directory: Path, identity: Mapping[str, str]) -> Predictions:
    """Reads the predictions of a finished run.

    Raises:
        DataError: If a shard is absent, damaged, or of another model, data set or code.
    """
    parts = []
    for shard in plan.shards:
        path = _shard_path(directory, shard)
        if not path.exists():
            raise DataError(
                f"{directory} lacks the predictions of {shard.stop - shard.start} structures ({path.name}); "
                "the run was not finished: start it again with the same options and it goes on"
            )
        parts.append(_read_shard(path, plan.work.slice(shard.start, shard.stop), identity))
    failures = {
        shard.start + number: cause
        for shard, part in zip(plan.shards, parts, strict=True)
        for number, cause in part.failures.items()
    }
    return Predictions(
        np.concatenate([part.energy for part in parts]), np.concatenate([part.forces for part in parts]), failures
    )


def _is_finished(path: Path, work: WorkList, identity: Mapping[str, str]) -> bool:
    if not path.exists():
        return False
    try:
        _read_shard(path, work, identity)
    except DataError as problem:
        _LOG.warning("%s; its %d structures are computed again", problem, len(work))
        return False
    return True


def _predict_shard(potential: Potential, work: WorkList, shard: Shard, on_structures: OnStructures) -> Prediction:
    parts = []
    for start, stop in pairwise(shard.bounds):
        parts.append(_predict_batch(potential, work.slice(start, stop)))
        on_structures(stop - start, "computed")
    return _joined(parts)


def _predict_batch(potential: Potential, work: WorkList) -> Prediction:
    batch = work.as_batch()
    try:
        return check_prediction(potential.compute(batch), batch, potential.traits.model_id)
    except _out_of_memory_errors() as cause:
        if len(work) == 1:
            raise SetupError(
                f"{work.molecule_id[0]} alone ({int(work.n_atoms[0])} atoms) does not fit in the memory of "
                f"{potential.traits.device}; free some of it, use --dtype float32 or another --device"
            ) from cause
        _LOG.warning(
            "a batch of %d structures (%d atoms) does not fit in the memory of %s; it is halved. "
            "A smaller --batch-atoms saves the failed attempts",
            len(work),
            int(work.n_atoms.sum()),
            potential.traits.device,
        )
    # Outside the handler: inside it the traceback would keep the tensors of the failed attempt alive.
    sys.modules["torch"].cuda.empty_cache()
    middle = len(work) // 2
    return _joined(
        [_predict_batch(potential, work.slice(0, middle)), _predict_batch(potential, work.slice(middle, len(work)))]
    )


def _out_of_memory_errors() -> tuple[type[Exception], ...]:
    # Only a potential that has imported torch can raise its error, and importing torch takes seconds.
    torch = sys.modules.get("torch")
    return (torch.OutOfMemoryError,) if torch else ()


def _joined(parts: list[Prediction]) -> Prediction:
    starts = np.cumsum([0, *(len(part.energy) for part in parts)])
    failures = {
        int(start) + number: cause
        for start, part in zip(starts, parts, strict=False)
        for number, cause in part.failures.items()
    }
    return Prediction(
        np.concatenate([part.energy for part in parts]), np.concatenate([part.forces for part in parts]), failures
    )


def _shard_path(directory: Path, shard: Shard) -> Path:
    return directory / f"{shard.name}.parquet"


def _write_shard(path: Path, work: WorkList, prediction: Prediction, identity: Mapping[str, str]) -> None:
    failed = np.isin(np.arange(len(work)), list(prediction.failures))
    energy = np.where(failed, np.nan, prediction.energy)
    forces = prediction.forces.astype(np.float32)
    forces[np.repeat(failed, work.n_atoms)] = np.nan
    causes = [
        "" if number not in prediction.failures else prediction.failures[number] or "no cause given"
        for number in range(len(work))
    ]
    columns = {
        "molecule_id": pa.array(work.molecule_id, pa.string()),
        "trajectory": pa.array(work.trajectory, pa.string()),
        "frame": pa.array(work.frame, pa.int32()),
        "energy": pa.array(energy, pa.float64(), from_pandas=False),
        "forces": pa.ListArray.from_arrays((3 * work.offsets).astype(np.int32), forces.ravel()),
        "failure": pa.array(causes, pa.string()),
    }
    metadata = {**identity, "content": _content_digest(energy, forces, causes)}
    schema = SHARD_SCHEMA.with_metadata({_METADATA_KEY: json.dumps(metadata, sort_keys=True)})
    try:
        write_table(pa.table(columns, schema=schema), path)
    except OSError as cause:
        raise _unwritable(path.parent, cause) from cause


def _read_shard(path: Path, work: WorkList, identity: Mapping[str, str]) -> Predictions:
    try:
        table = pq.read_table(path)
        metadata = json.loads((table.schema.metadata or {}).get(_METADATA_KEY, b"{}"))
    except (OSError, ValueError, pa.ArrowException) as cause:
        raise DataError(f"the predictions in {path} cannot be read ({first_line(cause)})") from cause
    if not table.schema.equals(SHARD_SCHEMA):
        raise DataError(f"the predictions in {path} have columns {table.schema.names}; expected {SHARD_SCHEMA.names}")
    table = table.combine_chunks()
    for name in ("molecule_id", "trajectory", "frame"):
        if not np.array_equal(table[name].to_numpy(), getattr(work, name)):
            raise DataError(f"the predictions in {path} are of other frames than its name says")
    lengths = pc.list_value_length(table["forces"]).to_numpy()
    if table["forces"].null_count or not np.array_equal(lengths, 3 * work.n_atoms):
        raise DataError(f"the predictions in {path} have forces of other lengths than 3 x n_atoms")
    energy = table["energy"].to_numpy()
    forces = pc.list_flatten(table["forces"]).to_numpy().reshape(-1, 3)
    causes = table["failure"].to_pylist()
    if metadata != {**identity, "content": _content_digest(energy, forces, causes)}:
        raise DataError(f"the predictions in {path} are damaged, or were made by another model, data set or code")
    return Predictions(energy, forces, {number: cause for number, cause in enumerate(causes) if cause})


def _content_digest(energy: FloatArray, forces: npt.NDArray[np.float32], causes: Iterable[str]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(energy).tobytes())
    digest.update(np.ascontiguousarray(forces).tobytes())
    digest.update(json.dumps(list(causes)).encode())
    return digest.hexdigest()


def _unwritable(directory: Path, cause: OSError) -> SetupError:
    return SetupError(
        f"cannot write predictions to {directory}: {cause.strerror or cause}; choose a folder with --output"
    )
