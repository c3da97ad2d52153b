"""The file `entry.json`: the runs of an entry, and the sha256 and size of each of its files.

An entry is a folder of a repo of results:

    NAME-ID/
      entry.json
      method.json                 if the runs are the members of one method
      runs/RUN/run.json           settings and environment of the run
               result.json        its numbers
               mlip-ood.json      training declaration of the model, if there is one
               predictions/*.parquet

`RUN` is the folder name of the run, and `ID` is a hash of these names, so that the same runs give the same entry for
every submitter. Predictions may be on the Hub instead.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import text_sha256
from dataset_builders.tasks.task_document import first_problem
from harness.core.training_record import MAX_BYTES, RECORD_NAME
from harness.results.manifest import MANIFEST_NAME
from harness.results.result import RESULT_NAME, Sha256
from harness.submission.strict_json import strict_json

ENTRY_NAME: Final = "entry.json"
METHOD_NAME: Final = "method.json"
RUNS_NAME: Final = "runs"
PREDICTIONS_NAME: Final = "predictions"
ENTRY_SCHEMA: Final = "mlip-ood-entry/1"

MAX_ENTRY_BYTES: Final = 2**22
MAX_CARRIED_BYTES: Final = 64 * 2**20
"""Maximum size of an entry in a repo: four tasks of `standard` with twelve seeds; `full` needs 75 MB per seed."""
MAX_REFERENCED_BYTES: Final = 4 * 2**30
MAX_RUNS: Final = 64

ID_LENGTH: Final = 12

_MAX_BYTES: Final[Mapping[str, int]] = {
    RESULT_NAME: 4 * 2**20,
    MANIFEST_NAME: 2**20,
    RECORD_NAME: MAX_BYTES,
    METHOD_NAME: 4 * 2**20,
}
_MAX_SHARD_BYTES: Final = 64 * 2**20

_NAME: Final = r"[a-z0-9]+(?:[._-][a-z0-9]+)*"
_SLUG: Final = re.compile(_NAME)

Slug = Annotated[str, Field(max_length=60, pattern=f"^{_NAME}$")]
RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
_ShardName = Annotated[str, Field(pattern=r"^[0-9a-f]{16}\.parquet$")]
_RunFile = Literal["run.json", "result.json", "mlip-ood.json"]
_Text = Annotated[str, Field(min_length=1, max_length=200)]
_RepoId = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$")]
_Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
_Folder = Annotated[
    str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$")
]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileRecord(_Record):
    """Size and hash of a file."""

    sha256: Sha256
    n_bytes: Annotated[int, Field(ge=1, le=MAX_REFERENCED_BYTES)]


class HubPlace(_Record):
    """A folder of a data-set repo on the Hub at a commit.

    Attributes:
        repo: `org/name`.
        revision: The full commit hash.
        folder: Folder in the repo; `None` for its root.
    """

    repo: _RepoId
    revision: _Commit
    folder: _Folder | None = None

    def path(self, name: str) -> str:
        """Path in the repo of a file in the folder."""
        return name if self.folder is None else f"{self.folder}/{name}"

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" + (f"/{self.folder}" if self.folder else "")


class EntryRun(_Record):
    """A run of an entry.

    Attributes:
        files: Its documents, by name.
        predictions: Its predictions, by name.
        predictions_at: Location of the predictions; `None` if they are in the entry.
    """

    files: dict[_RunFile, FileRecord]
    predictions: Annotated[dict[_ShardName, FileRecord], Field(min_length=1)]
    predictions_at: HubPlace | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for name in (MANIFEST_NAME, RESULT_NAME):
            if name not in self.files:
                raise ValueError(f"a run without {name}")
        for name, file in self.files.items():
            _require_size(name, file.n_bytes, _MAX_BYTES[name])
        for name, file in self.predictions.items():
            _require_size(name, file.n_bytes, _MAX_SHARD_BYTES)
        return self


class EntryDocument(_Record):
    """The content of an entry.

    Attributes:
        schema_version: Version of this document; `schema` in the file.
        name: Name of the entry, chosen by the submitter; the folder is `NAME-ID`.
        checkpoint: Where to obtain the weights, in one line; `None` if not stated.
        runs: Runs by folder name.
        method: The file `method.json`; `None` if the runs are not members of a method.
    """

    schema_version: Annotated[Literal["mlip-ood-entry/1"], Field(alias="schema")] = ENTRY_SCHEMA
    name: Slug
    checkpoint: _Text | None = None
    runs: Annotated[dict[RunId, EntryRun], Field(min_length=1, max_length=MAX_RUNS)]
    method: FileRecord | None = None

    @model_validator(mode="after")
    def _is_of_a_size(self) -> Self:
        if self.method is not None:
            _require_size(METHOD_NAME, self.method.n_bytes, _MAX_BYTES[METHOD_NAME])
        _require_size(
            "all that the entry carries", sum(file.n_bytes for file in self.carried().values()), MAX_CARRIED_BYTES
        )
        elsewhere = [run for run in self.runs.values() if run.predictions_at is not None]
        n_bytes = sum(file.n_bytes for run in elsewhere for file in run.predictions.values())
        _require_size("the predictions on the Hub", n_bytes, MAX_REFERENCED_BYTES)
        return self

    @property
    def entry_id(self) -> str:
        """Hash of the runs."""
        return entry_id(self.runs)

    @property
    def folder(self) -> str:
        """Name of the folder of the entry."""
        return f"{self.name}-{self.entry_id}"

    def carried(self) -> dict[str, FileRecord]:
        """The files of the entry, without `entry.json`, by relative path."""
        found = {} if self.method is None else {METHOD_NAME: self.method}
        for run_id, run in self.runs.items():
            folder = f"{RUNS_NAME}/{run_id}"
            found |= {f"{folder}/{name}": file for name, file in run.files.items()}
            if run.predictions_at is None:
                found |= {f"{folder}/{PREDICTIONS_NAME}/{name}": file for name, file in run.predictions.items()}
        return found

    def text(self) -> str:
        """The text of the file."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"


def entry_id(runs: Iterable[str]) -> str:
    """Order-independent hash of runs: the first hexadecimal digits of a sha256 over their names."""
    return text_sha256("\n".join(sorted(runs)))[:ID_LENGTH]


def slug_of(text: str) -> str:
    """Converts any text to a name of an entry; empty if no valid character is left."""
    words = re.findall("[a-z0-9]+", text.lower())
    return "-".join(words)[:60].strip("-")


def is_slug(text: str) -> bool:
    """Whether a text is a valid name of an entry."""
    return len(text) <= 60 and _SLUG.fullmatch(text) is not None


def parse_entry(content: bytes, place: str) -> EntryDocument:
    """Parses the content of the file `entry.json`.

    Raises:
        DataError: If it is invalid.
    """
    strict_json(content, place)
    try:
        return EntryDocument.model_validate_json(content)
    except ValidationError as cause:
        raise DataError(
            f"{place} is not a document of schema {ENTRY_SCHEMA}: {first_problem(cause)}; write the entry with `python "
            "-m harness submit`"
        ) from None


def _require_size(name: str, n_bytes: int, most: int) -> None:
    if n_bytes > most:
        raise ValueError(f"{name} has {n_bytes:,} bytes; expected at most {most:,}")
