"""The settings and the environment of a run, saved beside its predictions.

Together with the predictions, the manifest is all that metrics, tables and the result need. They can be
recomputed without the model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dataset_builders.core.errors import DataError
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.tasks.regions import TaskName
from dataset_builders.tasks.task_document import first_problem
from harness.results.identity import model_slug
from harness.results.result import DatasetRecord, EnvironmentRecord, ModelRecord

MANIFEST_NAME: Final = "run.json"
_VERSION: Final = "1.0"


def _each_once(tasks: tuple[TaskName, ...]) -> tuple[TaskName, ...]:
    if not tasks or len(set(tasks)) != len(tasks):
        raise ValueError("expected one or more tasks, each once")
    return tasks


class Manifest(BaseModel):
    """The settings and the environment of a run.

    Attributes:
        version: Of this file's schema.
        identity: What the predictions depend on; see `harness.results.identity`.
        model: The model.
        dataset: The data set.
        dataset_directory: Folder that contained its files.
        environment: Software and hardware of the run.
        tasks: Tasks of the run, in order; one or more, each once.
        batch_atoms: Maximum number of atoms in a batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal["1.0"] = _VERSION
    identity: dict[str, str]
    model: ModelRecord
    dataset: DatasetRecord
    dataset_directory: str
    environment: EnvironmentRecord
    tasks: Annotated[tuple[TaskName, ...], AfterValidator(_each_once)]
    batch_atoms: Annotated[int, Field(ge=1)]

    def save(self, directory: Path) -> None:
        """Writes the manifest into a run folder, atomically.

        Raises:
            OSError: If the folder cannot be written to.
        """
        write_text_whole(directory / MANIFEST_NAME, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> "Manifest":
        """Reads the manifest of a run.

        Raises:
            DataError: If this is not a run folder.
        """
        path = directory / MANIFEST_NAME
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as cause:
            raise DataError(
                f"{directory} is not the folder of a run ({MANIFEST_NAME} cannot be read: {cause}); expected "
                "OUTPUT/<model>/<run>, as `python -m harness` names it when it ends"
            ) from cause
        except ValidationError as cause:
            raise DataError(
                f"{path} is damaged or from another version ({first_problem(cause)}); run the evaluation again"
            ) from cause


def earlier_batch_atoms(output: Path, model_id: str, identity: Mapping[str, str]) -> int | None:
    """The batch limit of an earlier run that is otherwise identical; of several, the last by name.

    Args:
        output: Folder that contains the run folders.
        model_id: The model.
        identity: Of the new run; its batch limit is ignored.
    """
    found = None
    for path in sorted((output / model_slug(model_id)).glob(f"*/{MANIFEST_NAME}")):
        try:
            manifest = Manifest.load(path.parent)
        except DataError:
            continue
        if manifest.identity | {"batch_atoms": ""} == {**identity, "batch_atoms": ""}:
            found = manifest.batch_atoms
    return found
