"""File names of a split, shared by writers and readers.

A split consists of files `SPLIT-NNNNN-of-MMMMM.parquet`, numbered from 0 to M - 1, complete and without others. So the
names alone reveal a missing file or a file of an older copy.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from dataset_builders.tasks.editions import SplitName

_PART: Final = re.compile(r"-([0-9]+)-of-([0-9]+)\.parquet")


def parts_problem(names: Iterable[str], split: SplitName) -> str | None:
    """Problem with the file names of a split; `None` if they form one complete set.

    Args:
        names: Names of the files `SPLIT-*.parquet` of a configuration; at least one.
        split: The split.
    """
    found = {name: _PART.fullmatch(name.removeprefix(split)) for name in sorted(names)}
    for name, part in found.items():
        if part is None:
            return f"found {name}; expected names such as {split}-00000-of-00001.parquet"
    parts = {name: (int(part[1]), int(part[2])) for name, part in found.items() if part is not None}
    totals = sorted({total for _, total in parts.values()})
    if len(totals) > 1:
        first = {total: next(name for name, part in parts.items() if part[1] == total) for total in totals}
        return f"found {' and '.join(first.values())}; expected names with the same total number of files"
    if len(parts) != totals[0]:
        return f"found {len(parts)} files; expected {totals[0]}, as in their names"
    numbers = sorted(number for number, _ in parts.values())
    if numbers != list(range(totals[0])):
        seen = ", ".join(map(str, numbers))
        return f"the files are numbered {seen}; expected 0 to {totals[0] - 1}, each once"
    return None


def in_part_order(names: Sequence[str]) -> list[str]:
    """The file names of a complete split, in order."""
    return sorted(names, key=lambda name: int(name.split("-")[1]))


def stated_level(metadata: Mapping[str, Any]) -> str:
    """Method, and basis if it is separate, of the labels according to the metadata of a file; empty if not stated."""
    level = metadata.get("level_of_theory")
    if not isinstance(level, dict):
        return ""
    return "/".join(str(level[key]) for key in ("method", "basis") if level.get(key))
