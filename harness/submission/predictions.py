"""The predictions of a run of an entry: complete, exactly those of its plan, and of plausible size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.core.errors import DataError
from dataset_builders.core.hub.explaining import explained, first_line
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import retried
from harness.inference.batching import Plan, Shard
from harness.inference.shards import SHARD_SCHEMA
from harness.submission.entry_document import FileRecord, HubPlace
from harness.submission.staging import require_content

_OVERHEAD: Final = 2**16
"""Generous bound on the bytes of a shard besides its numbers."""
_BYTES_A_NAME: Final = 1_000
_AT_ONCE: Final = 100


def shard_files(plan: Plan) -> dict[str, Shard]:
    """The shards of a plan by file name."""
    return {f"{shard.name}.parquet": shard for shard in plan.shards}


def require_predictions_of(plan: Plan, listed: Mapping[str, FileRecord]) -> None:
    """Checks that an entry lists exactly the predictions of all shards of its run, with plausible sizes.

    Raises:
        DataError: If it does not.
    """
    shards = shard_files(plan)
    absent, extra = sorted(shards.keys() - listed.keys()), sorted(listed.keys() - shards.keys())
    if absent or extra:
        first = f"{absent[0]} is absent" if absent else f"{extra[0]} is not one of them"
        raise DataError(
            f"its {len(listed)} prediction files are not the {len(shards)} of its tasks and batches: {first}. They "
            "belong to another run, data set or batch size; evaluate again, and write the entry again"
        )
    for name, shard in shards.items():
        most = _most_bytes(plan, shard)
        if listed[name].n_bytes > most:
            raise DataError(
                f"{name} has {listed[name].n_bytes:,} bytes; those of {len(shard)} structures have at most {most:,}"
            )


def fetch_predictions(place: HubPlace, listed: Mapping[str, FileRecord], directory: Path) -> None:
    """Downloads predictions from the Hub at one commit, none larger than stated in the entry.

    Args:
        place: Their location.
        listed: Their stated size and hash, by name.
        directory: Target folder, which is created.

    Raises:
        DataError: If they are absent or differ from the entry.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    repo = Repo(place.repo, "dataset")
    directory.mkdir(parents=True, exist_ok=True)
    with explained(repo, place.revision):
        _require_sizes(place, listed)
        for name, file in listed.items():
            content = _downloaded(place, name)
            require_content(f"{name} of {place}", content, file)
            (directory / name).write_bytes(content)


def _downloaded(place: HubPlace, name: str) -> bytes:
    from huggingface_hub import hf_hub_download

    path = place.path(name)
    found = retried(lambda: hf_hub_download(place.repo, path, repo_type="dataset", revision=place.revision))
    return Path(found).read_bytes()


def _require_sizes(place: HubPlace, listed: Mapping[str, FileRecord]) -> None:
    """Checks, before any download, that the files on the Hub have the stated sizes."""
    names = sorted(listed)
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        sizes = _sizes(place, [place.path(name) for name in some])
        for name in some:
            path = place.path(name)
            if sizes.get(path) != listed[name].n_bytes:
                raise DataError(
                    f"{path} of {place.repo}@{place.revision} has {sizes.get(path, 'no')} bytes; the entry states "
                    f"{listed[name].n_bytes}. Upload the predictions of the run, and name the commit that contains them"
                )


def _sizes(place: HubPlace, paths: list[str]) -> dict[str, int]:
    """Sizes of files on the Hub, by path; missing files are absent."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    answer = retried(lambda: HfApi().get_paths_info(place.repo, paths, revision=place.revision, repo_type="dataset"))
    return {found.path: found.size for found in answer if isinstance(found, RepoFile)}


def require_bounded(plan: Plan, directory: Path) -> None:
    """Checks the metadata of prediction files before their columns are read.

    A small file may expand to a huge number of values; the reader relies on the metadata checked here.

    Raises:
        DataError: If a file is not Parquet, has other columns or rows than its shard, or would need more memory than
            its numbers take.
    """
    for name, shard in shard_files(plan).items():
        try:
            with pq.ParquetFile(directory / name) as file:
                _require_shape(file, name, shard, plan)
        except (OSError, ValueError, pa.ArrowException) as cause:
            raise DataError(f"{name} cannot be read as Parquet ({first_line(cause)}); write the entry again") from cause


def _require_shape(file: pq.ParquetFile, name: str, shard: Shard, plan: Plan) -> None:
    metadata = file.metadata
    if not file.schema_arrow.equals(SHARD_SCHEMA):
        raise DataError(f"{name} does not have the columns of predictions; expected {SHARD_SCHEMA.names}")
    n_atoms = int(plan.n_atoms[shard.start : shard.stop].astype(np.int64).sum())
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    rows = sum(group.num_rows for group in groups)
    n_values = max((column.num_values for column in columns), default=0)
    n_bytes = sum(column.total_uncompressed_size for column in columns)
    if (
        metadata.num_rows != len(shard)
        or rows != len(shard)
        or n_values > 3 * n_atoms
        or n_bytes > _most_bytes(plan, shard)
    ):
        raise DataError(
            f"{name} declares {metadata.num_rows} rows and {n_bytes:,} bytes; expected {len(shard)} rows of {n_atoms} "
            "atoms"
        )


def _most_bytes(plan: Plan, shard: Shard) -> int:
    n_atoms = int(plan.n_atoms[shard.start : shard.stop].astype(np.int64).sum())
    return _OVERHEAD + 2 * (12 * n_atoms + _BYTES_A_NAME * len(shard))
