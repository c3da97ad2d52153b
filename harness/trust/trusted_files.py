"""The user's list of checkpoints that may be loaded although loading them can run code."""

import os
import re
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import SetupError, UsageError

LIST_VARIABLE: Final = "MLIP_OOD_TRUSTED"
"""Environment variable with the path of the list, if not in the user's configuration folder."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def trusted_list() -> Path:
    """Path of the list: one sha256 per line, optionally followed by a remark."""
    named = os.environ.get(LIST_VARIABLE)
    if named:
        return Path(named)
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "mlip-ood" / "trusted"


def trusted_files() -> tuple[str, ...]:
    """The sha256 of the checkpoints on the list; empty if there is no list.

    Raises:
        UsageError: If a line is not a sha256.
        SetupError: If the file cannot be read.
    """
    path = trusted_list()
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as cause:
        raise SetupError(f"cannot read the list of trusted checkpoints {path}: {cause}") from cause
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if not _SHA256.fullmatch(words[0].lower()):
            raise UsageError(
                f"{path}, line {number} is {line!r}; expected a sha256 of 64 hexadecimal digits, then any comment"
            )
        found.append(words[0].lower())
    return tuple(found)
