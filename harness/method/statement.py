"""The statement of a method on the training of all its models, in `mlip-ood.json` at its root.

This file is either the record of a training, like one beside a model, or a short statement of how all models were
trained, each on the task of its folder:

    {"schema": "mlip-ood-method/1", "protocol": "fine-tuned", "base": "org/model"}
"""

import json
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.tasks.regions import TASKS
from dataset_builders.tasks.task_document import first_problem
from harness.core.potential import TrainingProtocol
from harness.core.training_record import MAX_BYTES
from harness.models.training_declaration import Statement, statement_of

_EXPECTED: Final = "does not state how the models of a method were trained; expected schema, protocol and base"
_ANY_TASK: Final = next(iter(TASKS))
"""Placeholder in a statement whose task is given by the folder of each model."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Annotated[Literal["mlip-ood-method/1"], Field(alias="schema")]
    protocol: TrainingProtocol
    base: str | None = None


def statement_for_all(protocol: TrainingProtocol | None, base: str | None) -> Statement | None:
    """The statement on the training of all models of a method; `None` if nothing is stated.

    Args:
        protocol: Trained from scratch or fine-tuned.
        base: Base model of a fine-tuning.

    Raises:
        UsageError: If the two contradict each other.
    """
    return None if protocol is None and base is None else statement_of(_ANY_TASK, protocol, base)


def read_statement(path: Path) -> Statement | None:
    """Reads the file at the root of a method; `None` if it is the record of a training.

    Raises:
        DataError: If it cannot be read, or names the schema of a statement but violates it.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as cause:
        raise DataError(f"cannot read {path}: {cause}; expected a readable file, or no file") from cause
    if len(content) > MAX_BYTES or not _is_statement(content):
        return None
    try:
        document = _Document.model_validate_json(content)
        return statement_for_all(document.protocol, document.base)
    except ValidationError as cause:
        raise DataError(f"{path} {_EXPECTED}; {first_problem(cause)}") from cause
    except UsageError as cause:
        raise DataError(f"{path} {_EXPECTED}; {cause}") from cause


def agreed(of_method: Statement | None, of_user: Statement | None) -> Statement | None:
    """Combines the statements of a method and of the command line.

    Raises:
        UsageError: If they contradict each other.
    """
    if of_method is None or of_user is None:
        return of_user or of_method
    own, said = of_method.whole, of_user.whole
    for option, value, other in (("--protocol", said.protocol, own.protocol), ("--base", said.base, own.base)):
        if value != other:
            raise UsageError(
                f"{option} {value or 'not given'}, but the mlip-ood.json of the method states {other or 'none'}; omit "
                "the options, or correct the file, which is published with the models"
            )
    return of_method


def _is_statement(content: bytes) -> bool:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and str(document.get("schema", "")).startswith("mlip-ood-method/")
