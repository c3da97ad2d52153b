"""The section of a card that shows the published numbers. It is written from the entries, so the two always agree."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from dataset_builders.chemistry.levels import GFN2
from dataset_builders.core.errors import DataError
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.markdown import Markdown, code, plain, printable
from dataset_builders.folder.configs import level_of_config, task_of_config
from dataset_builders.tasks.editions import edition_note
from dataset_builders.tasks.regions import TASKS, in_order
from harness.models.registry import readers
from harness.results.result import USER
from model_cards.cards.gap_picture import Panel, gap_text
from model_cards.cards.result_tables import UNDEFINED, Row, protocol_text, rows_table, task_text
from model_cards.cards.section_picture import SECTION_PICTURE
from model_cards.entries.entries import METHOD, config_and_number
from model_cards.entries.notes import EDITION, FACTORS, OF_ONE_NUMBER, ROUNDING, has_former_interval, parse_notes
from model_cards.entries.scores import DIGITS
from model_cards.text.front_matter import CARD_PATH, Card
from model_cards.text.yaml_text import newline_of

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry

BEGIN: Final = "<!-- mlip-ood:begin -->"
END: Final = "<!-- mlip-ood:end -->"

_BEGIN_LINE: Final = re.compile(rf"^{re.escape(BEGIN)}[ \t]*$", re.MULTILINE)
_END_LINE: Final = re.compile(rf"^{re.escape(END)}", re.MULTILINE)
_LINE_BREAK: Final = re.compile(r"[\r\n]")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_LAST_LINE_END: Final = re.compile(r"(?:\r\n|\r|\n)\Z")
_MOST_LINE_ENDS: Final = 2
_COMMIT: Final = re.compile(r"@[0-9a-f]{40}")
_INTERVAL: Final = re.compile(r"(-?\d+(?:\.\d+)?) to (-?\d+(?:\.\d+)?)", re.ASCII)
_DEVIATION: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_URL: Final = ":/@%"
"""Characters allowed in the address of a repo at a revision."""
_WEB: Final = re.compile(r"https?://[\w.:-]+(?:/[\w.@%-]+)*/?", re.ASCII)
"""Addresses that a card links to: no user name, no query, no other scheme."""
_STATED: Final = {"trained on": "--trained-on", "protocol": "--protocol", "base": "--base"}
"""Options that state how a model was trained, by the note that records their value."""
_EVIDENCE: Final = {"proved": "proved by its checkpoint", "not stated": "its training not stated"}
_OF_ONE_TASK: Final = frozenset({"trained on", "seeds"})
"""Notes of a method that differ between tasks."""
_METHOD_LAW: Final = (
    "Numbers of a method are means over the seeds of a task, ± the sample standard deviation over seeds. "
)

_TITLE: Final = "## Compositional generalisation (mlip-ood)"
_COLUMNS: Final = (
    "ID are new frames of the training molecules, OOD are unseen combinations of parts that occur in training. The "
    "gap is the ratio of the two force errors; read it together with the ID error, since a model that learned little "
    "has a gap near 1. The score is the percentage of the decades between a zero-force guess and 1 meV/Å that the "
    "model covers on OOD: higher is better. "
)


@dataclass(frozen=True, slots=True)
class _Run:
    """The common properties of the entries of one evaluation.

    Attributes:
        dataset_id: Data set.
        revision: Its commit.
        date: Date of the evaluation.
        notes: The notes, without those that concern a single number.
        trace: Address of the predictions and the whole record; `None` if they are not published.
    """

    dataset_id: str
    revision: str | None
    date: str | None
    notes: tuple[tuple[str, str], ...]
    trace: str | None = None


def section_text(entries: Sequence["EvalResultEntry"], picture: Sequence[Panel] = ()) -> str:
    """The section without its markers: for each evaluation a table, its basis and the command that repeats it.

    Args:
        entries: All benchmark entries that the repo publishes.
        picture: Panels of the picture that the repo holds; none if it holds no picture.

    Returns:
        Markdown that ends with a line ending.
    """
    runs: dict[_Run, list[EvalResultEntry]] = {}
    for entry in entries:
        runs.setdefault(_run_of(entry), []).append(entry)
    blocks = [block for run, of_run in runs.items() for block in _run_blocks(run, of_run)]
    means = _METHOD_LAW if any(METHOD in _notes_of(entry) for entry in entries) else ""
    shown = [f"![{plain(gap_text(picture))}]({SECTION_PICTURE})"] if picture else []
    return "\n\n".join([_TITLE, *shown, *blocks, (_COLUMNS + means + _intervals(entries)).rstrip()]) + "\n"


def _intervals(entries: Sequence["EvalResultEntry"]) -> str:
    """Explains the brackets: intervals of the current kind, of the former kind, or both."""
    of_both = [(notes["confidence"], notes) for entry in entries if "confidence" in (notes := _notes_of(entry))]
    parts = [
        (sorted({share for share, notes in of_both if has_former_interval(notes) is is_former}), words)
        for is_former, words in (
            (False, "intervals for other fragments and molecules drawn like these, at the same spacers"),
            (True, "intervals of an earlier kind (bootstrap over molecules), which are too narrow"),
        )
    ]
    said = [f"{' and '.join(map(plain, shares))} {words}" for shares, words in parts if shares]
    return f"Brackets contain {', and '.join(said)}." if said else ""


def with_section(card: Card, section: str) -> Card:
    """Puts the section between its markers, or at the end of a card without markers; the rest stays unchanged.

    Raises:
        DataError: If the card does not have exactly one pair of markers.
    """
    body = card.body
    newline = newline_of(body) if _LINE_BREAK.search(body) else newline_of(card.text)
    marked = newline.join([BEGIN, *section.splitlines(), END])
    place = place_of_section(card)
    if place is not None:
        return replace(card, body=body[: place.start] + marked + body[place.stop :])
    before = card.closing + body
    gap = "" if not before else newline * max(0, 2 - _line_ends(before))
    return replace(card, body=f"{body}{gap}{marked}{newline}")


def without_section(card: Card) -> Card:
    """Removes the section, its markers, and the blank line that a push puts before it; the rest stays unchanged.

    Raises:
        DataError: If the card does not have exactly one pair of markers.
    """
    place = place_of_section(card)
    if place is None:
        return card
    before, after = card.body[: place.start], card.body[place.stop :]
    line_end = _LINE_END.match(after)
    after = after[line_end.end() :] if line_end else after
    if _line_ends(before) == _MOST_LINE_ENDS:
        before = _LAST_LINE_END.sub("", before)
    return replace(card, body=before + after)


def place_of_section(card: Card) -> slice | None:
    """Position of the section in the body of a card, including both markers; `None` if there is none.

    Raises:
        DataError: If the card does not have exactly one pair of markers.
    """
    lines = card.body.replace("\r", "\n")
    begins = [found.start() for found in _BEGIN_LINE.finditer(lines)]
    ends = [found.end() for found in _END_LINE.finditer(lines)]
    if len(begins) == len(ends) == 1 and begins[0] < ends[0]:
        return slice(begins[0], ends[0])
    if begins or ends:
        raise DataError(
            f"{CARD_PATH} has {len(begins)} lines {BEGIN} and {len(ends)} lines {END}; expected one of each, in this "
            "order. Remove these lines, and the next push appends a new section"
        )
    return None


def shows_picture(card: Card) -> bool:
    """Whether the section of a card shows its picture.

    Raises:
        DataError: If the card does not have exactly one pair of markers.
    """
    place = place_of_section(card)
    return place is not None and f"]({SECTION_PICTURE})" in card.body[place]


def _line_ends(text: str) -> int:
    """Number of line endings at the end of a text, at most two."""
    found = re.search(r"(?:\r\n|\r|\n){0,2}\Z", text)
    return len(re.findall(r"\r\n|\r|\n", found[0])) if found else 0


def _run_of(entry: "EvalResultEntry") -> _Run:
    notes = _notes_of(entry)
    apart = OF_ONE_NUMBER | (_OF_ONE_TASK if METHOD in notes else frozenset())
    common = tuple((key, value) for key, value in notes.items() if key not in apart)
    date = None if entry.date is None else str(entry.date)
    # Without a trace, the source is the data set, which has a link of its own.
    has_trace = (entry.source_user or entry.source_org) and _WEB.fullmatch(entry.source_url or "")
    trace = entry.source_url if has_trace else None
    return _Run(entry.dataset_id, entry.dataset_revision, date, common, trace)


def _notes_of(entry: "EvalResultEntry") -> dict[str, str]:
    """The notes, each on one line."""
    return {key: printable(value) for key, value in parse_notes(entry.notes).items()}


def _run_blocks(run: _Run, entries: Iterable["EvalResultEntry"]) -> list[str]:
    by_config: dict[str, dict[str, EvalResultEntry]] = {}
    for entry in entries:
        config, number = config_and_number(entry)
        by_config.setdefault(config, {})[number.name] = entry
    notes = dict(run.notes)
    configs = in_order(by_config)
    table = rows_table(
        Row(
            task=task_text(config),
            model=code(_COMMIT.sub("", notes["model"])) if "model" in notes else UNDEFINED,
            protocol=protocol_text(notes.get("protocol", UNDEFINED), notes.get("training")),
            id_force_mae=_number_text(by_config[config].get("id_force_mae")),
            ood_force_mae=_number_text(by_config[config].get("ood_force_mae")),
            gap=_number_text(by_config[config].get("gap")),
            score=_number_text(by_config[config].get("score")),
        )
        for config in configs
    )
    found = [*_facts(run, notes), *_method_facts(notes, by_config), *_factor_facts(by_config)]
    facts = "\n".join(f"- {fact}" for fact in found)
    pinned = f"{run.dataset_id}@{run.revision}" if run.revision else None
    command = repeating_command(pinned, notes, configs)
    return [table, facts, *([f"To reproduce these numbers:\n\n    {command}"] if command else [])]


def _factor_facts(by_config: Mapping[str, Mapping[str, "EvalResultEntry"]]) -> list[str]:
    """What the gaps are made of, where the notes of a score say it."""
    found = {
        config: _notes_of(numbers["score"])[FACTORS]
        for config, numbers in by_config.items()
        if "score" in numbers and FACTORS in _notes_of(numbers["score"])
    }
    if not found:
        return []
    listed = "; ".join(f"{plain(config)}: {plain(found[config])}" for config in in_order(found))
    return [f"factors that multiply to the gap ({plain('>1, <1')}: the interval excludes 1): {listed}"]


def _method_facts(notes: Mapping[str, str], by_config: Mapping[str, Mapping[str, "EvalResultEntry"]]) -> list[str]:
    """The number of seeds of each task of a method, and the overall score if all four tasks are present."""
    if METHOD not in notes:
        return []
    counts = {
        config: next((found for entry in numbers.values() if (found := _notes_of(entry).get("seeds"))), UNDEFINED)
        for config, numbers in by_config.items()
    }
    listed = ", ".join(f"{task_of_config(config)} {count}" for config, count in counts.items())
    scores = {task_of_config(config): numbers.get("score") for config, numbers in by_config.items()}
    of_four = [entry.value for task in TASKS if (entry := scores.get(task)) is not None]
    if len(of_four) < len(TASKS):
        missing = [task for task in TASKS if scores.get(task) is None]
        overall = f"no overall score, which requires all four tasks: {' '.join(missing)} missing"
    else:
        overall = f"overall score {sum(of_four) / len(of_four):.{DIGITS}f}, the mean of the four tasks"
    return [f"a method, with one model for each task and seed; seeds: {plain(listed)}; {overall}"]


def _number_text(entry: "EvalResultEntry | None") -> str:
    """A number with its interval, with all published digits: rounding twice could give a wrong digit."""
    if entry is None:
        return UNDEFINED
    notes = _notes_of(entry)
    interval = _INTERVAL.fullmatch(notes.get("interval", ""))
    spread = _DEVIATION.fullmatch(notes.get("standard deviation", ""))
    value = f"{entry.value:.{DIGITS}f}" + (f" ± {spread[0]}" if spread else "")
    return value + (f" ({interval[1]}–{interval[2]})" if interval else "")


def _facts(run: _Run, notes: Mapping[str, str]) -> list[str]:
    dataset = Repo(run.dataset_id, "dataset")
    tree = f"{dataset.url}/tree/{run.revision}" if run.revision else dataset.url
    data = [
        f"data set [{code(run.dataset_id)}]({quote(tree, safe=_URL)})",
        *([f"commit {code(run.revision)}"] if run.revision else []),
        *_named(
            notes, {EDITION: ("edition ", plain), "content": ("content sha256 ", _cut), "labels": ("labels ", plain)}
        ),
    ]
    used = _named(notes, {"model": ("model ", code), "family": ("family ", plain)})
    protocol = _named(
        notes,
        {
            "protocol": ("protocol ", plain),
            "trained on": ("trained on ", code),
            "base": ("started from ", code),
            "training": ("", _training),
            "stated by": ("by ", plain),
            "training data": ("", plain),
            "dtype": ("precision ", plain),
            ROUNDING: ("", plain),
            "device": ("device ", plain),
        },
    )
    cost = _named(notes, {"speed": ("", plain), "hardware": ("on ", plain), "memory": ("peak ", plain)})
    versions = _named(
        notes,
        {
            "harness": ("mlip-ood ", plain),
            "code": ("code ", _cut),
            "python": ("Python ", plain),
            "packages": ("", plain),
        },
    )
    trace = [f"[predictions and whole record]({quote(run.trace, safe=_URL)})"] if run.trace else []
    lines = [data, used, protocol, cost, versions, [f"evaluated {plain(run.date)}"] if run.date else [], trace]
    note = edition_note(notes.get(EDITION, ""))
    facts = [*([plain(note)] if note else []), *(", ".join(line) for line in lines if line)]
    caution = _caution(notes)
    overlap = [f"tested on molecules that it was trained on: {plain(notes['overlap'])}"] if "overlap" in notes else []
    return [*facts, *([] if caution is None else [caution]), *overlap]


def _named(notes: Mapping[str, str], forms: Mapping[str, tuple[str, Callable[[str], Markdown]]]) -> list[str]:
    """The values of some notes, each after its label and in the given format."""
    return [f"{words}{form(notes[key])}" for key, (words, form) in forms.items() if key in notes]


def _cut(text: str) -> Markdown:
    """The first digits of a hash."""
    return code(f"{text}…")


def _training(text: str) -> Markdown:
    """The evidence for a protocol."""
    return plain(_EVIDENCE.get(text, text))


def _caution(notes: Mapping[str, str]) -> str | None:
    """What a difference between the levels of theory of model and labels means for the numbers."""
    shown = {key: plain(value) for key, value in notes.items()}
    labels, own = shown.get("labels"), shown.get("level of theory")
    if labels is None:
        return None
    distance = "every error includes the difference between the two levels, which hides the gap"
    if own is None:
        return f"the level of theory of the model is unknown; if it is not that of the labels, {labels}, {distance}"
    stated = f" (as stated by {shown['level stated by']})" if "level stated by" in shown else ""
    floor = f"; a model without any other error would have force errors of {shown['floor']}" if "floor" in shown else ""
    if own != labels:
        return f"the level of theory of the model is {own}{stated}, that of the labels {labels}: {distance}{floor}"
    return f"the level of theory of the model{stated} is that of the labels, {labels}"


def _stated_words(notes: Mapping[str, str]) -> list[str]:
    """The options that state what the model was trained on, if the user stated it and no file did."""
    if notes.get("stated by") != USER:
        return []
    return [word for key, option in _STATED.items() if key in notes for word in (option, notes[key])]


def repeating_command(dataset: str | None, notes: Mapping[str, str], configs: Sequence[str]) -> str | None:
    """The command that repeats an evaluation; `None` if it cannot be derived from the notes, which anyone may write.

    Args:
        dataset: The data set at its commit, `org/name@commit`; `None` if the commit is not known.
        notes: Notes of the entries of the evaluation.
        configs: Configurations that were evaluated.
    """
    levels = {level.name for level in map(level_of_config, configs) if level is not None}
    if "model" not in notes or dataset is None or len(levels) > 1:
        return None
    what = "--method" if METHOD in notes else "--model"
    words = ["python", "-m", "harness", what, notes["model"], "--dataset", dataset]
    words += ["--task", *(task_of_config(config) for config in configs)]
    # The default gives a model that names its level the labels of that level, or of the nearest.
    is_elsewhere = "level of theory" in notes and notes["level of theory"] != notes.get("labels")
    words += ["--labels", *levels] if levels != {GFN2.name} or is_elsewhere else []
    words += (
        ["--level-of-theory", notes["level of theory"]]
        if notes.get("level stated by") == USER and "level of theory" in notes
        else []
    )
    words += _stated_words(notes)
    known = ("family", "head", "dtype", "device", "batch atoms")
    options = [(key, f"--{key.replace(' ', '-')}") for key in known if not _is_several(key, notes)]
    words += [word for key, option in options if key in notes for word in (option, notes[key])]
    if any(
        notes[key].startswith("-") for key in ("model", "level of theory", *_STATED, *dict(options)) if key in notes
    ):
        return None  # It would be read as an option, not as the value of one.
    families = [readers().get(name) for name in notes.get("family", "").split(" + ")]
    is_pickled = any(family is not None and family.is_pickled for family in families)
    return shlex.join([*words, *(["--trust-checkpoint"] if is_pickled else [])])


def _is_several(key: str, notes: Mapping[str, str]) -> bool:
    """Whether the models of a method differ in a property, which is then listed for each model."""
    value = notes.get(key, "")
    return METHOD in notes and (" + " in value or value == "mixed")
