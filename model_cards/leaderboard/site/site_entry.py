"""An entry of the leaderboard page: one model or method on one data set, wherever its numbers come from.

Energies are in eV and forces in eV/Å.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.markdown import printable
from dataset_builders.tasks.regions import TASKS, TaskName
from harness.results.estimate import Estimate

EntryKind = Literal["model", "community", "control"]
"""`model` is ranked. `community` is in an open pull request, which anyone may write, and is ranked apart. `control` has
no training set and is not ranked."""

NO_INTERVAL_OF_MEAN: Final = "no interval: none is computed for the mean of the four tasks, which share molecules"
_MOST_CHARACTERS: Final = 2_000
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Number:
    """A number with its uncertainty.

    Attributes:
        value: `None` where it is undefined.
        low: Lower end of its 95 % interval; `None` where there is none.
        high: Upper end.
        deviation: Sample standard deviation between seeds; `None` for one seed.
        reason: Why the number or its interval is missing; `None` where neither is.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    deviation: float | None = None
    reason: str | None = None

    @classmethod
    def of(cls, estimate: Estimate, deviation: float | None = None) -> "Number":
        """An estimate of a result."""
        return cls(estimate.value, estimate.low, estimate.high, deviation, estimate.reason)


NumberName = Literal[
    "score",
    "id_force_mae",
    "ood_force_mae",
    "gap",
    "near_force_mae",
    "far_force_mae",
    "id_energy_mae",
    "ood_energy_mae",
    "expected_gap",
]
"""Numbers of a task; `expected_gap` is the composition-matched gap."""


@dataclass(frozen=True, slots=True)
class TaskNumbers:
    """What was measured on one task.

    Attributes:
        numbers: By name; those that are not recorded are absent.
        n_seeds: Number of trainings that the numbers average; 0 for a single model, or if it is not stated.
        seeds: The seeds, where they are known, as text.
        anatomy: Factors that multiply to the gap, by name; empty where they are not recorded.
        n_failed: Structures that failed; such a task has neither gap nor score.
        title: Title that the data set declares, for a task other than the four.
    """

    numbers: Mapping[NumberName, Number]
    n_seeds: int = 0
    seeds: str = ""
    anatomy: Mapping[str, Number] = field(default_factory=dict)
    n_failed: int = 0
    title: str | None = None


@dataclass(frozen=True, slots=True)
class DataOf:
    """The data of an entry; entries with different data are never ranked together.

    Attributes:
        edition: Name of the edition.
        labels: Level of theory of the labels, such as `GFN2-xTB`.
        content: First digits of the content hash.
    """

    edition: str
    labels: str
    content: str


@dataclass(frozen=True, slots=True)
class Speed:
    """What an evaluation cost.

    Attributes:
        rate: Structures per second; `None` if it is not known.
        text: The rate as its source writes it, with the unit, or why it is missing.
        hardware: Processor, threads and processes; empty if not known.
        memory: Peak memory; empty if not known.
        rounding: What a precision lower than that of the checkpoint changes; empty if it is not lower, or not known.
    """

    rate: float | None = None
    text: str = "not recorded"
    hardware: str = ""
    memory: str = ""
    rounding: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an entry comes from.

    Attributes:
        kind: `Hub`, `results` (a folder of results) or `study` (records of the study).
        text: The source in words.
        address: Page of the model, an https address; `None` if there is none.
    """

    kind: Literal["Hub", "results", "study"]
    text: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One model or method on one data set.

    Attributes:
        name: Its name, which anybody may have written.
        kind: Ranked, in an open pull request, or a control.
        data: Its data.
        protocol: Zero-shot, fine-tuned, from-scratch or control; strangers may write others.
        evidence: `proved`, `stated`, `not stated`, or empty where nothing was trained on the task.
        proof: What proves or states the protocol, in a sentence.
        family: Family of its code; empty if not known.
        level_of_theory: Level of theory of its training labels, or of a control; empty if not known.
        dtype: Floating-point precision; empty if not known.
        tasks: By name.
        origin: Where it comes from.
        overall: Mean score of the four tasks; `None` unless all four have one.
        speed: What its evaluation cost.
        facts: Provenance: a name and its value, each text of strangers.
        commands: Commands that reproduce it.
        cautions: What a reader needs to know.
    """

    name: str
    kind: EntryKind
    data: DataOf
    protocol: str
    evidence: str
    proof: str
    family: str
    level_of_theory: str
    dtype: str
    tasks: Mapping[TaskName, TaskNumbers]
    origin: Origin
    overall: Number | None = None
    speed: Speed = Speed()
    facts: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or result that the page does not show as an entry.

    Attributes:
        place: File, model or pull request.
        cause: The reason.
    """

    place: str
    cause: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read from a source.

    Attributes:
        entries: Its entries.
        left_out: What could not be shown, with reasons.
    """

    entries: tuple[Entry, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def gathered(parts: Sequence[Gathered]) -> Gathered:
    """What was read from several sources; each fault once."""
    return Gathered(
        tuple(entry for part in parts for entry in part.entries),
        tuple(dict.fromkeys(fault for part in parts for fault in part.left_out)),
    )


def mean_of_four(tasks: Mapping[TaskName, TaskNumbers]) -> Number | None:
    """The mean score of the four tasks, without the spread of seeds; `None` unless all four have a score."""
    scores = [tasks[name].numbers["score"].value for name in TASKS if name in tasks and "score" in tasks[name].numbers]
    known = [score for score in scores if score is not None]
    return Number(sum(known) / len(known), reason=NO_INTERVAL_OF_MEAN) if len(known) == len(TASKS) else None


def data_of(edition: str, labels: str, content_hash: str) -> DataOf:
    """The data of an entry, from the full content hash or its first digits."""
    return DataOf(one_line(edition), one_line(labels), content_hash[:SHORT_HASH])


def one_line(text: str, length: int = _MOST_CHARACTERS) -> str:
    """Text of strangers on one line, printable, and cut if it is longer than people write."""
    line = printable(text)
    return line if len(line) <= length else f"{line[:length]}…"


def shown_name(model_id: str) -> str:
    """The name of a model as the page shows it: of a path from the root of a machine, the last two parts."""
    name = one_line(model_id, _LONGEST_NAME)
    is_absolute = name.startswith(("/", "\\", "~")) or name[1:3] in (":/", ":\\")
    parts = [part for part in name.replace("\\", "/").split("/") if part]
    return "/".join(parts[-2:]) if is_absolute and parts else name


def https_address(text: str | None) -> str | None:
    """The text if it is a plain https address, which a page may link to; else `None`."""
    if text is None or len(text) > _MOST_CHARACTERS or not text.isascii() or not text.isprintable():
        return None
    try:
        parts = urlsplit(text)
        is_plain = bool(parts.hostname) and "@" not in parts.netloc and (parts.port or 443) > 0
    except ValueError:
        return None
    has_odd = any(character in text for character in " \"'<>\\`{}|^")
    return text if parts.scheme == "https" and is_plain and not has_odd else None
