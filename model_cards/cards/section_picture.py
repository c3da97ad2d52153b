"""The picture in the section of a card that shows published numbers, drawn from the entries, as the section is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.units import MILLI
from dataset_builders.folder.configs import task_of_config
from dataset_builders.tasks.regions import TaskName, in_order
from harness.report.control_gaps import control_tasks
from harness.report.error_pairs import ErrorPair
from harness.results.result import TaskResult
from model_cards.cards.gap_picture import CONTROL_LABEL, MODEL, MOST_PANELS, PICTURE_MARK, Panel, mark_of, pair_of
from model_cards.cards.result_tables import task_text
from model_cards.entries.entries import config_and_number
from model_cards.entries.notes import EDITION, parse_notes

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry

SECTION_PICTURE: Final = "mlip-ood-gap.png"
"""Its file in a model repo, whose name no other file is likely to have."""

_INTERVAL: Final = re.compile(r"(-?\d+(?:\.\d+)?) to (-?\d+(?:\.\d+)?)", re.ASCII)
_CONTENT: Final = re.compile(rf"[0-9a-f]{{{SHORT_HASH},64}}")


@dataclass(frozen=True, slots=True)
class _Number:
    """A published number with its interval, in the units of this project."""

    value: float
    low: float | None
    high: float | None


def section_panels(entries: Sequence["EvalResultEntry"]) -> tuple[Panel, ...]:
    """The panels of the picture: the tasks of one data set and edition, that of the first entry.

    Args:
        entries: The entries of the section, in its order; the edition that ranks comes first.
    """
    if not entries:
        return ()
    first = _group_of(entries[0])
    by_config: dict[str, dict[str, EvalResultEntry]] = {}
    for entry in (each for each in entries if _group_of(each) == first):
        config, number = config_and_number(entry)
        by_config.setdefault(config, {})[number.name] = entry
    panels = (_panel(config, by_config[config], first[1]) for config in in_order(by_config))
    return tuple(panel for panel in panels if panel is not None)[:MOST_PANELS]


def is_picture_of_ours(content: bytes) -> bool:
    """Whether a file was drawn by this project, so that it may be replaced or removed."""
    return PICTURE_MARK.encode() in content


def shows(content: bytes, panels: Sequence[Panel]) -> bool:
    """Whether a file is the picture of these panels, by whatever version of Matplotlib it was drawn."""
    return mark_of(panels).encode() in content


def _group_of(entry: "EvalResultEntry") -> tuple[str, str]:
    return entry.dataset_id, parse_notes(entry.notes).get(EDITION, "")


def _panel(config: str, numbers: Mapping[str, "EvalResultEntry"], edition: str) -> Panel | None:
    known, unseen, gap = (numbers.get(name) for name in ("id_force_mae", "ood_force_mae", "gap"))
    if known is None or unseen is None or gap is None:
        return None
    own = ErrorPair(MODEL, _number(known, MILLI), _number(unseen, MILLI), _number(gap, 1.0))
    if not own.can_be_drawn:
        return None
    control = _controls(parse_notes(known.notes).get("content", "")).get(task_of_config(config))
    beside = None if control is None else pair_of(CONTROL_LABEL, control, is_control=True)
    title = task_text(config) + (f", edition {edition}" if edition else "")
    return Panel(title, tuple(pair for pair in (own, beside) if pair is not None))


def _controls(content: str) -> Mapping[TaskName, TaskResult]:
    """Results of GFN1-xTB on the data with this content hash, of which entries state the first digits."""
    return control_tasks(content, []) if _CONTENT.fullmatch(content) else {}


def _number(entry: "EvalResultEntry", unit: float) -> _Number:
    ends = _INTERVAL.fullmatch(parse_notes(entry.notes).get("interval", ""))
    low, high = (None, None) if ends is None else (float(ends[1]) * unit, float(ends[2]) * unit)
    return _Number(float(entry.value) * unit, low, high)
