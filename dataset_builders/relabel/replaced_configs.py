"""Refuses a relabelling whose configurations would replace others and lose labels of these.

A configuration is written as a whole and replaces one of the same name. Labels of a density functional take hours, so
none may vanish because a command names fewer frames than an earlier one.
"""

from pathlib import Path

import numpy as np

from dataset_builders.certify.row_checks import method_of, usable_metadata
from dataset_builders.core.errors import UsageError
from dataset_builders.relabel.frames_to_label import (
    GEOMETRY,
    NAME,
    RelabelSettings,
    chosen_rows,
    keys_of,
    sound_schema,
    tables_of,
)
from dataset_builders.relabel.label_store import KEY_BYTES, KeyArray, found_in
from dataset_builders.tasks.editions import SPLITS, SplitName
from dataset_builders.tasks.regions import Task


def require_nothing_lost(settings: RelabelSettings, method: str) -> None:
    """Checks that each new configuration contains all frames of the one that it replaces, if there is one.

    A frame is identified by its split and its exact geometry, to which its label belongs.

    Args:
        settings: Relabelling settings.
        method: Method of the new labels, as in the metadata of a configuration.

    Raises:
        UsageError: If an existing configuration has frames that the new one would lack, or labels of another method.
        DataError: If a file cannot be read.
    """
    for task in settings.tasks:
        folder = settings.out / settings.level.config(task.name)
        if any(folder.glob("*.parquet")):
            _require_same_method(folder, method)
            _require_all_frames(settings, task, folder)


def _require_same_method(folder: Path, method: str) -> None:
    for path in sorted(folder.glob("*.parquet")):
        found = method_of(usable_metadata(sound_schema(path)))
        if found and found != method:
            raise UsageError(
                f"{folder} has labels of {found}, which new ones of {method} would replace; expected a folder without "
                f"{folder.name}. Name another one with --out"
            )


def _require_all_frames(settings: RelabelSettings, task: Task, folder: Path) -> None:
    n_old = n_new = n_lost = 0
    first = ""
    for split in SPLITS:
        new = _new_keys(settings, task, split)
        n_new += len(new)
        for path in sorted(folder.glob(f"{split}-*.parquet")):
            for table in tables_of(path, (*NAME, *GEOMETRY)):
                lost = np.flatnonzero(~found_in(new, keys_of(table)))
                if len(lost) and not n_lost:
                    first = " ".join(str(table[name][int(lost[0])]) for name in NAME) + f" of {split}"
                n_old += table.num_rows
                n_lost += len(lost)
    if n_lost:
        raise UsageError(
            f"{folder} has {n_old:,} frames, and the {folder.name} that would replace it {n_new:,}, without {n_lost:,} "
            f"of the former (the first: {first}); expected all of them. Name another folder with --out, or frames that "
            "include those of the existing configuration with --subset or --from"
        )


def _new_keys(settings: RelabelSettings, task: Task, split: SplitName) -> KeyArray:
    """Sorted keys of the frames of a split of the new configuration."""
    tables = chosen_rows(settings, task, split).tables(("frame", *GEOMETRY))
    return np.sort(np.concatenate([np.empty(0, f"S{KEY_BYTES}"), *map(keys_of, tables)]))
