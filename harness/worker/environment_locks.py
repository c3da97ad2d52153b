"""The exact packages of each family's environment, with the hashes of their files: `environment_locks.json`.

The file is written by `python -m tests.locks`. It leaves out PyTorch and the libraries of CUDA, which PyTorch requires:
which of their builds is installed depends on the machine.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from dataset_builders.core.errors import SetupError

LOCKS: Final = Path(__file__).with_suffix(".json")
"""For each package and version the sha256 of its files, once for all environments, and the packages of each one."""


def locked_requirements(family: str) -> str:
    """The packages of an environment in pip's format, each with the hashes of its files.

    Args:
        family: One of `ENVIRONMENTS`.

    Raises:
        SetupError: If the file of the locks is damaged or lacks the family.
    """
    locks = _locks()
    try:
        hashes: Mapping[str, list[str]] = locks["hashes"]
        return "".join(
            " ".join([requirement, *(f"--hash=sha256:{each}" for each in hashes[pin_of(requirement)])]) + "\n"
            for requirement in locks["environments"][family]
        )
    except (KeyError, TypeError) as cause:
        raise SetupError(
            f"{LOCKS} has no complete list of packages for {family} ({cause!r}); install mlip-ood again"
        ) from cause


def pin_of(requirement: str) -> str:
    """Name and version of a requirement without its marker: `numpy==2.4.6` of `numpy==2.4.6 ; python_version < '3'`."""
    return requirement.partition(";")[0].strip()


@cache
def _locks() -> Any:
    try:
        return json.loads(LOCKS.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise SetupError(f"cannot read {LOCKS}: {cause}; install mlip-ood again") from cause
