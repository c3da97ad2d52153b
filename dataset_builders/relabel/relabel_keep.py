"""Writes finished labels to a small file for version control, with identity and coordinates of each geometry."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dataset_builders.certify.row_checks import usable_metadata
from dataset_builders.core.errors import UsageError
from dataset_builders.relabel.frames_to_label import RelabelSettings, chosen_rows, frames_to_label, keys_of
from dataset_builders.relabel.kept_labels import KEPT_SCHEMA, kept_files, read_kept, write_kept
from dataset_builders.relabel.label_store import KEY_BYTES, LabelStore
from dataset_builders.relabel.relabelled_edition import all_labels, label_folder, recipe_of
from dataset_builders.tasks.editions import SPLITS


@dataclass(frozen=True, slots=True)
class Kept:
    """The outcome of `keep_labels`.

    Attributes:
        path: The new file; `None` if nothing was new.
        n_new: Number of labels in it.
        n_before: Number of earlier labels in the folder.
        n_wanted: Number of labels that the configurations need.
    """

    path: Path | None
    n_new: int
    n_before: int
    n_wanted: int

    def text(self) -> str:
        """Summary for the terminal."""
        if self.path is None:
            return f"no new labels: the folder contains {self.n_before:,} of {self.n_wanted:,}"
        size = self.path.stat().st_size
        return (
            f"kept {self.n_new:,} new labels in {self.path} ({size:,} bytes, {size / self.n_new:,.0f} a label); the "
            f"folder contains {self.n_before + self.n_new:,} of {self.n_wanted:,}. Reuse it in a later run with "
            "--labels-from"
        )


def keep_labels(settings: RelabelSettings, folder: Path) -> Kept:
    """Writes the finished labels that a folder of kept labels lacks to a new file in it.

    Other commands may compute labels at the same time: all complete labels are used.

    Args:
        settings: Relabelling settings.
        folder: Folder of kept labels.

    Raises:
        UsageError: If the configurations have no finished label, or the settings request data that do not exist.
        DataError: If the source, a file of labels or a kept file is damaged.
    """
    recipe = recipe_of(settings.level)
    frames = frames_to_label(settings)
    folder.mkdir(parents=True, exist_ok=True)
    before: set[bytes] = set()
    for path in kept_files([folder], recipe, others_may_be_there=True):
        before.update(read_kept(path, recipe)["key"].to_pylist())
    wanted = {bytes(key).ljust(KEY_BYTES, bytes(1)) for key in frames.keys}
    with all_labels(settings, frames.keys) as labels:
        if not labels.has(frames.keys).any():
            raise UsageError(
                f"--keep-labels: none of the {len(frames):,} labels is finished in {label_folder(settings)}; expected "
                "at least one. Use the --out or --work of the command that computes them"
            )
        parts = list(_rows(settings, labels, set(before)))
    table = pa.concat_tables(parts) if parts else KEPT_SCHEMA.empty_table()
    if not table.num_rows:
        return Kept(None, 0, len(wanted & before), len(frames))
    path = write_kept(table, folder, recipe, _source_level(settings))
    return Kept(path, table.num_rows, len(wanted & before), len(frames))


def _source_level(settings: RelabelSettings) -> dict[str, object]:
    rows = chosen_rows(settings, settings.tasks[0], "train")
    found = usable_metadata(rows.schema).get("level_of_theory", {})
    return dict(found) if isinstance(found, dict) else {"method": found}


def _rows(settings: RelabelSettings, labels: LabelStore, seen: set[bytes]) -> Iterator[pa.Table]:
    """Rows in `KEPT_SCHEMA` of finished labels, each geometry once; their keys are added to `seen`."""
    for task in settings.tasks:
        for split in SPLITS:
            for table in chosen_rows(settings, task, split).tables():
                keys = keys_of(table)
                fresh = []
                for key, finished in zip(keys, labels.has(keys), strict=True):
                    whole = bytes(key).ljust(KEY_BYTES, bytes(1))
                    fresh.append(bool(finished) and whole not in seen)
                    seen.update([whole] if finished else [])
                if any(fresh):
                    yield _kept_rows(table.filter(pa.array(fresh)), labels)


def _kept_rows(table: pa.Table, labels: LabelStore) -> pa.Table:
    keys = keys_of(table)
    found = labels.labels_of(keys)
    columns = {name: table[name] for name in KEPT_SCHEMA.names if name in table.schema.names}
    columns |= {
        "key": pa.array([bytes(key).ljust(KEY_BYTES, bytes(1)) for key in keys], pa.binary(KEY_BYTES)),
        "source_energy": table["energy"],
        "source_forces": table["forces"],
        "energy": pa.array([energy for energy, _ in found], pa.float64()),
        "forces": pa.array([forces.astype(np.float32).ravel() for _, forces in found], pa.list_(pa.float32())),
    }
    return pa.table({name: columns[name] for name in KEPT_SCHEMA.names}).cast(KEPT_SCHEMA)
