"""The work folder of a build: finished units, and a record of what they were made from.

Several processes, shards and machines work in one folder at the same time. Files take their place
whole, and no unit is made in a folder whose record differs from what the worker would make.
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from dataset_builders.chemistry.labels import label_metadata
from dataset_builders.chemistry.levels import GFN2
from dataset_builders.chemistry.sampling import RECIPE
from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.folder.schema import SCHEMA_VERSION

RECORD_NAME: Final = "build.json"
_PROGRAMS: Final = ("ase", "numpy", "rdkit", "tblite")


def frame_basis(seed: int) -> dict[str, Any]:
    """What the frames depend on, whichever edition they are for."""
    return {
        "level_of_theory": label_metadata(GFN2),
        "recipe": RECIPE.as_dict(),
        "seed": seed,
        "versions": {name: version(name) for name in _PROGRAMS},
    }


def claim_work_dir(work_dir: Path, seed: int) -> None:
    """Makes the work folder, or checks that its frames were made from the same seed, recipe and programs.

    Raises:
        UsageError: If they were not.
    """
    path = work_dir / RECORD_NAME
    if not path.exists():
        write_text_whole(path, json.dumps(_record(seed), indent=2, sort_keys=True) + "\n")
    check_claim(work_dir, seed)


def check_claim(work_dir: Path, seed: int) -> None:
    """Checks that the frames in a work folder were made as this process would make them; an absent folder has none.

    Raises:
        UsageError: If they were not.
    """
    path = work_dir / RECORD_NAME
    if not path.exists():
        return
    key, found, wanted = _difference(path, seed)
    if key:
        raise UsageError(
            f"the work folder {work_dir} holds frames made with {key} = {found}; this build asks for {wanted}. "
            "Choose another --work folder, or delete this one"
        )


def check_worker(work_dir: Path, seed: int) -> None:
    """Checks, in a worker, that it sees the work folder of the build and makes the same frames.

    Raises:
        SetupError: If the worker sees another file system, or has other programs than the folder's record.
    """
    path = work_dir / RECORD_NAME
    if not path.exists():
        raise SetupError(
            f"the worker on {platform.node()} does not see the work folder {work_dir}; expected a folder that all "
            "workers share. Name one with --work"
        )
    key, found, wanted = _difference(path, seed)
    if key:
        raise SetupError(
            f"the worker on {platform.node()} would make frames with {key} = {wanted}; the work folder {work_dir} "
            f"holds frames made with {found}. Give all workers the same packages, on the same kind of machine"
        )


def _difference(path: Path, seed: int) -> tuple[str, Any, Any]:
    """First key in which a record differs from what this process would write, with both values; empty if none."""
    wanted, found = _record(seed), json.loads(path.read_text(encoding="utf-8"))
    different = sorted(key for key in wanted | found if wanted.get(key) != found.get(key))
    key = different[0] if different else ""
    return key, found.get(key), wanted.get(key)


def _record(seed: int) -> dict[str, Any]:
    return frame_basis(seed) | {"schema_version": SCHEMA_VERSION, "machine": platform.machine()}
