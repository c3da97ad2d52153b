"""Files `mlip-ood.json` for tests: what an export of a task would say."""

import json
from pathlib import Path
from typing import Any

from dataset_builders.chemistry.levels import GFN2, Level
from harness.core.training_record import RECORD_SCHEMA
from harness.train.data_source import TRAINING_SPLITS
from harness.train.task_data import pin_training_files, read_training_split


def record_of(directory: Path, task: str, level: Level = GFN2, **changes: Any) -> dict[str, Any]:
    """The document that says: trained from scratch on `train` of a task of this folder."""
    pinned = pin_training_files(directory, task, level)
    rows = {split: read_training_split(pinned, task, split) for split in TRAINING_SPLITS}
    sizes = {split: {"n_frames": len(each), "n_molecules": len(set(each.molecule_id))} for split, each in rows.items()}
    return {
        "schema": RECORD_SCHEMA,
        "protocol": "from-scratch",
        "base": None,
        "task": task,
        "task_declaration": None,
        "level_of_theory": pinned.level_of_theory,
        "suffix": level.suffix,
        "dataset": {
            "id": directory.name,
            "revision": None,
            "edition": pinned.edition,
            "content_hash": pinned.content_hash,
        },
        "splits": sizes,
        "molecules": sorted({str(name) for each in rows.values() for name in each.molecule_id}),
        **changes,
    }


def write_record(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
