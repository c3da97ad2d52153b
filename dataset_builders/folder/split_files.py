"""What a valid folder of a split is, for those who write it and those who read it alike.

A split lies in files `SPLIT-NNNNN-of-MMMMM.parquet`, numbered from 0 to M - 1, none missing and none beyond. A copy
that lacks one, or has one of an older copy beside it, is noticed by the names alone.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from dataset_builders.tasks.editions import SplitName

_PART: Final = re.compile(r"-([0-9]+)-of-([0-9]+)\.parquet")


def parts_problem(names: Iterable[str], split: SplitName) -> str | None:
    """What is wrong with the names of the files of a split; `None` where they are all of one whole.

    Args:
        names: Of the files `SPLIT-*.parquet` of a configuration; at least one.
        split: The split.
    """
    found = {name: _PART.fullmatch(name.removeprefix(split)) for name in sorted(names)}
    for name, part in found.items():
        if part is None:
            return f"{name} is there; expected names such as {split}-00000-of-00001.parquet"
    parts = {name: (int(part[1]), int(part[2])) for name, part in found.items() if part is not None}
    totals = sorted({total for _, total in parts.values()})
    if len(totals) > 1:
        first = {total: next(name for name, part in parts.items() if part[1] == total) for total in totals}
        return f"{' and '.join(first.values())} are there; expected files that agree on how many there are"
    if len(parts) != totals[0]:
        return f"{len(parts)} files are there and their names say {totals[0]}"
    numbers = sorted(number for number, _ in parts.values())
    if numbers != list(range(totals[0])):
        seen = ", ".join(map(str, numbers))
        return f"the files are numbered {seen}; expected 0 to {totals[0] - 1}, each once"
    return None


def in_part_order(names: Sequence[str]) -> list[str]:
    """The names of the files of a split whose names are those of a whole, in their order."""
    return sorted(names, key=lambda name: int(name.split("-")[1]))


def stated_level(metadata: Mapping[str, Any]) -> str:
    """Method, and basis if it stands apart, of the labels of a file, as its metadata have it; empty where it is not."""
    level = metadata.get("level_of_theory")
    if not isinstance(level, dict):
        return ""
    return "/".join(str(level[key]) for key in ("method", "basis") if level.get(key))
