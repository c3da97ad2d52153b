"""The declaration of a task as a document: a TOML file that people write, or JSON in the metadata of a Parquet file.

It defines a custom task completely: the document, or a data-set folder that includes it, is all that users need.
"""

from collections.abc import Mapping
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataset_builders.core.errors import DataError, MlipOodError, ModelError, UsageError
from dataset_builders.core.parsed_text import parse_toml
from dataset_builders.core.shown import shown
from dataset_builders.tasks.fragments import BUILT_IN, NAME_PATTERN, parse_fragment
from dataset_builders.tasks.regions import DECLARATION, RESERVED_NAME, TASK_PATTERN, TASKS, Region, Task, TaskName
from dataset_builders.tasks.skeleton import identity_of
from dataset_builders.tasks.words import Word

MAX_SPACER: Final = 40
"""Longest chain of a word, in CH2 groups."""

MAX_WORDS: Final = 20_000
"""Most words in all regions of a task. It bounds the work, since declarations may be untrusted."""

_MAX_PLACE: Final = 200
"""Longest place or problem in a message; keys and values are those of strangers."""

_Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\r\n]*$")]
_Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
_Smiles = Annotated[str, Field(min_length=1, max_length=200)]
_Spacer = Annotated[int, Field(ge=1, le=MAX_SPACER)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RegionDocument(_Document):
    """A set of words; see `Region`.

    Attributes:
        left: Fragments at the left end.
        spacers: Numbers of CH2 groups.
        right: The name of a fragment, `same` or `other`.
    """

    left: Annotated[list[_Name], Field(min_length=1, max_length=100)]
    spacers: Annotated[list[_Spacer], Field(min_length=1)]
    right: _Name


class TaskDocument(_Document):
    """The declaration of a task; see `Task`.

    Attributes:
        name: Name of its configuration.
        title: Display name.
        tests: Aspect of compositional generalisation that it tests.
        subsets: Whether its OOD molecules are split into `near` and `far`.
        origin: Who designed it.
        fragments: Custom fragments: SMILES with one attachment point `[*]`, by name.
        train: Regions of the training molecules.
        ood: Regions of the unseen combinations.
    """

    name: Annotated[str, Field(pattern=f"^{TASK_PATTERN}$")]
    title: _Text
    tests: _Text
    subsets: bool = False
    origin: _Text = "declared by its user"
    fragments: Annotated[dict[_Name, _Smiles], Field(max_length=100)] = {}
    train: Annotated[list[RegionDocument], Field(min_length=1)]
    ood: Annotated[list[RegionDocument], Field(min_length=1)]

    @classmethod
    def of(cls, task: Task) -> Self:
        """Converts a task into its declaration."""
        return cls(
            name=task.name,
            title=task.title,
            tests=task.tests,
            subsets=task.has_subsets,
            origin=task.origin,
            fragments={fragment.name: f"[*]{fragment.smiles}" for fragment in task.fragments},
            train=[_region_document(region) for region in task.train],
            ood=[_region_document(region) for region in task.ood],
        )

    def task(self) -> Task:
        """Converts the declaration into a task.

        Raises:
            UsageError: If the name is that of one of the four tasks or reserved, a fragment is invalid, or a region
                names an unknown fragment.
        """
        if self.name in TASKS:
            raise UsageError(f"name = {self.name!r}: the tasks {' '.join(TASKS)} are fixed; choose another name")
        if self.name == RESERVED_NAME:
            raise UsageError(f"name = {self.name!r}: it stands for the mean of the four tasks; choose another name")
        own = (parse_fragment(name, smiles) for name, smiles in sorted(self.fragments.items()))
        task = Task(
            name=self.name,
            title=self.title,
            tests=self.tests,
            train=tuple(_region(each) for each in self.train),
            ood=tuple(_region(each) for each in self.ood),
            has_subsets=self.subsets,
            origin=self.origin,
            fragments=tuple(fragment for fragment in own if fragment.name not in BUILT_IN),
        )
        _require_words(task)
        return task


def read_task_file(path: Path) -> Task:
    """Reads the declaration of a task from a TOML file.

    Raises:
        UsageError: If the file cannot be read, is not TOML, or does not declare a valid task.
    """
    try:
        document = parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as cause:
        raise UsageError(f"cannot read the task file {path}: {cause}") from cause
    except TOMLDecodeError as cause:
        raise UsageError(f"{path} is not TOML: {cause}") from cause
    return parse_task(document, str(path))


def parse_task(document: Any, place: str) -> Task:
    """Reads a task from a document.

    Args:
        document: Parsed TOML or JSON.
        place: Its source, for messages.

    Raises:
        UsageError: If it does not declare a valid task.
    """
    try:
        return TaskDocument.model_validate(document).task()
    except ValidationError as cause:
        raise UsageError(f"{place} does not declare a valid task: {first_problem(cause)}") from cause
    except MlipOodError as cause:
        raise UsageError(f"{place} does not declare a valid task: {cause}") from cause


def first_problem(cause: ValidationError) -> str:
    """The first problem that pydantic found, in one line: the key, the value, and what was expected."""
    first = cause.errors()[0]
    place = shown(".".join(str(part) for part in first["loc"]), _MAX_PLACE) or "the document"
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key"
    if first["type"] == "missing":
        return f"{place}: not given"
    return f"{place} = {shown(first['input'], 80)!r}: {shown(first['msg'], _MAX_PLACE)}"


def declaration_of(task: Task) -> dict[str, Any] | None:
    """The document that declares a task; `None` for the four built-in tasks."""
    return None if task.name in TASKS else TaskDocument.of(task).model_dump()


def task_metadata(task: Task) -> dict[str, Any]:
    """Metadata that declare a task in a Parquet file or checkpoint; empty for the four built-in tasks."""
    document = declaration_of(task)
    return {} if document is None else {DECLARATION: document}


def task_of_metadata(metadata: Mapping[str, Any], name: TaskName, place: str) -> Task:
    """The task of a file: one of the four, by its name, or one declared in the metadata.

    Args:
        metadata: Metadata of the file.
        name: Name of the task according to the folder.
        place: The file or folder, for messages.

    Raises:
        DataError: If the metadata declare no valid task, or one with another name.
    """
    document = metadata.get(DECLARATION)
    if name in TASKS and document is None:
        return TASKS[name]
    if document is None:
        raise DataError(
            f"{place} is a configuration of {name}, but its metadata declare no task of that name; expected one of "
            f"{' '.join(TASKS)}, or files that `python -m dataset_builders build --task-file` wrote"
        )
    try:
        task = parse_task(document, f"the metadata of {place}")
    except UsageError as cause:
        raise DataError(str(cause)) from cause
    if task.name != name:
        raise DataError(f"{place} is a configuration of {name}, but its metadata declare {task.name}; build it again")
    return task


def task_of_checkpoint(name: TaskName, document: Any, model: str) -> Task:
    """The task that a checkpoint was trained on.

    Args:
        name: Name of the task.
        document: Declaration in the checkpoint; ignored for the four built-in tasks.
        model: The checkpoint, for messages.

    Raises:
        ModelError: If it is not one of the four and the checkpoint does not declare it.
    """
    if name in TASKS:
        return TASKS[name]
    try:
        return parse_task(document, f"the config of {model}, which was trained on {name},")
    except UsageError as cause:
        raise ModelError(f"{cause}; the checkpoint was edited or written by another program; train it again") from cause


def _region(document: RegionDocument) -> Region:
    return Region(tuple(document.left), tuple(document.spacers), document.right)


def _region_document(region: Region) -> RegionDocument:
    return RegionDocument(left=list(region.left), spacers=list(region.spacers), right=region.right)


def _most_words(region: Region) -> int:
    """Upper bound of the number of words of a region, without creating them."""
    ends = len(region.left) if region.right == "other" else 1
    return len(region.left) * len(region.spacers) * ends


def _require_words(task: Task) -> None:
    """Checks that every region has words, and that no two words of the task are the same molecule."""
    n_words = sum(_most_words(region) for region in (*task.train, *task.ood))
    if n_words > MAX_WORDS:
        raise UsageError(f"the regions have up to {n_words:,} words; expected at most {MAX_WORDS:,}, so remove some")
    for kind, regions in (("train", task.train), ("ood", task.ood)):
        for number, region in enumerate(regions):
            if not region.words(task.vocabulary):
                raise UsageError(f"{kind}.{number} has no words: right = {region.right!r} needs at least two fragments")
    known: dict[str, Word] = {}
    for word in (*task.train_words(), *task.ood_words()):
        other = known.setdefault(identity_of(word.smiles), word)
        if other.molecule_id != word.molecule_id:
            raise UsageError(
                f"{other.molecule_id} and {word.molecule_id} are the same molecule "
                f"({', '.join(dict.fromkeys((other.smiles, word.smiles)))}); give each molecule one name, "
                "or rename or remove a fragment that can be read as a part of the chain"
            )
