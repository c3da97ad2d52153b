"""The work folder of a build: finished units, and a record of their provenance.

Several processes, shards and machines may use one folder at the same time. Files are written atomically, and no unit is
computed for a folder whose record differs from the provenance of the worker.
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from dataset_builders.build.work_units import has_units
from dataset_builders.chemistry.labels import label_metadata
from dataset_builders.chemistry.levels import GFN2
from dataset_builders.chemistry.sampling import RECIPE
from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.core.parsed_text import json_file
from dataset_builders.core.shown import shown
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.folder.schema import SCHEMA_VERSION

RECORD_NAME: Final = "build.json"
_PROGRAMS: Final = ("ase", "numpy", "rdkit", "tblite")
_REMEDY: Final = "Choose another --work folder, or delete this one"


def frame_basis(seed: int) -> dict[str, Any]:
    """Provenance of the frames, independent of the edition."""
    return {
        "level_of_theory": label_metadata(GFN2),
        "recipe": RECIPE.as_dict(),
        "seed": seed,
        "versions": {name: version(name) for name in _PROGRAMS},
    }


def claim_work_dir(work_dir: Path, seed: int) -> None:
    """Creates the work folder, or checks that its frames have the same seed, recipe and programs.

    Raises:
        UsageError: If they differ, the record cannot be read, or the folder contains units without a record.
    """
    path = work_dir / RECORD_NAME
    if not _is_recorded(work_dir):
        write_text_whole(path, json.dumps(_record(seed), indent=2, sort_keys=True) + "\n")
    check_claim(work_dir, seed)


def check_claim(work_dir: Path, seed: int) -> None:
    """Checks that the frames in a work folder have the provenance of this process; a missing folder passes.

    Raises:
        UsageError: If they differ, the record cannot be read, or the folder contains units without a record.
    """
    if not _is_recorded(work_dir):
        return
    key, found, wanted = _difference(work_dir, seed)
    if key:
        raise UsageError(
            f"the work folder {work_dir} contains frames with {key} = {found}; this build needs {wanted}. {_REMEDY}"
        )


def check_worker(work_dir: Path, seed: int) -> None:
    """Checks, in a worker, that it sees the work folder of the build and would compute the same frames.

    Raises:
        SetupError: If the worker sees another file system, or its programs differ from the folder's record.
        UsageError: If the record cannot be read.
    """
    if not (work_dir / RECORD_NAME).exists():
        raise SetupError(
            f"the worker on {platform.node()} does not see the work folder {work_dir}; expected a folder that all "
            "workers share. Name one with --work"
        )
    key, found, wanted = _difference(work_dir, seed)
    if key:
        raise SetupError(
            f"the worker on {platform.node()} would compute frames with {key} = {wanted}; the work folder {work_dir} "
            f"contains frames with {found}. Use the same packages and the same kind of machine for all workers"
        )


def _is_recorded(work_dir: Path) -> bool:
    """Whether the folder has a record; only a folder without units may have none."""
    # Before the record is looked for: another process may write it, and then a unit, in the meantime.
    holds_units = has_units(work_dir)
    if (work_dir / RECORD_NAME).exists():
        return True
    if holds_units:
        raise UsageError(
            f"the work folder {work_dir} contains units but no {RECORD_NAME}, the record of their seed, recipe and "
            f"programs; expected both. {_REMEDY}"
        )
    return False


def _read_record(work_dir: Path) -> dict[str, Any]:
    path = work_dir / RECORD_NAME
    try:
        found = json_file(path)
    except (OSError, ValueError) as cause:
        raise UsageError(
            f"the record {path} of the work folder cannot be read ({shown(str(cause))}); expected the JSON object that "
            f"a build writes. {_REMEDY}"
        ) from cause
    if not isinstance(found, dict):
        raise UsageError(
            f"the record {path} of the work folder is {shown(found)}; expected the JSON object that a build writes. "
            f"{_REMEDY}"
        )
    return found


def _difference(work_dir: Path, seed: int) -> tuple[str, Any, Any]:
    """First key in which a record differs from that of this process, with both values; empty if none."""
    wanted, found = _record(seed), _read_record(work_dir)
    different = sorted(key for key in wanted | found if wanted.get(key) != found.get(key))
    key = different[0] if different else ""
    return key, found.get(key), wanted.get(key)


def _record(seed: int) -> dict[str, Any]:
    return frame_basis(seed) | {"schema_version": SCHEMA_VERSION, "machine": platform.machine()}
