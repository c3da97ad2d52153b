"""Reads the training declarations of the members of a method before any member is loaded.

A small file can then refuse an evaluation at once, not after hours of computation.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builders.core.errors import DataError, ModelError, UsageError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.tasks.regions import TaskName
from harness.core.training_record import MAX_BYTES, read_training_record
from harness.method.source import Member
from harness.models.detection import CONFIG_NAME
from harness.models.training_declaration import Statement
from harness.trust.pickles import sha256_of


@dataclass(frozen=True, slots=True)
class Claim:
    """The training declaration of a member; `None` for undeclared fields.

    Attributes:
        place: File of the declaration.
        task: Task of the training set.
        protocol: Trained from scratch or fine-tuned.
        level_of_theory: Level of theory of the training labels.
        edition: Edition of the data set.
        content_hash: Hash of the training and validation files.
    """

    place: str
    task: TaskName | None = None
    protocol: str | None = None
    level_of_theory: str | None = None
    edition: str | None = None
    content_hash: str | None = None


def require_claims(members: Sequence[Member], statement: Statement | None) -> None:
    """Checks that members or command line declare the training of all members, in agreement with their folders.

    Args:
        members: The members.
        statement: Statement of the command line; its task is ignored.

    Raises:
        UsageError: If neither a member nor the command line declares its training.
        MlipOodError: As `require_consistent_claims` does.
    """
    require_consistent_claims(members)
    require_distinct(members)
    for member in members:
        if statement is None and member.source.path is not None and claim_of(member) is None:
            raise UsageError(
                f"{member.place} of the method, {member.source.model_id}, does not declare how it was trained. If it "
                f"was trained only on {member.task}, put the mlip-ood.json of its export beside it, or state the "
                "protocol with --protocol from-scratch, or --protocol fine-tuned --base MODEL"
            )


def require_consistent_claims(members: Sequence[Member]) -> None:
    """Checks the training declarations of the members against their folders and against each other.

    Raises:
        UsageError: If a member was trained on another task than its folder names.
        DataError: If two members were trained at different levels, by different protocols or on different data.
        ModelError: If a declaration cannot be read.
    """
    claims = [(member, claim_of(member)) for member in members]
    for member, claim in claims:
        if claim is not None and claim.task is not None and claim.task != member.task:
            raise UsageError(
                f"{member.place} of the method is {member.source.model_id}, but {claim.place} states that it was "
                f"trained on {claim.task}, not on {member.task}; move it to the folder of that task. A model of a "
                "method is tested on the task that it was trained on"
            )
    known = [(member, claim) for member, claim in claims if claim is not None]
    for (one, first), (other, second) in itertools.pairwise(known):
        _require_same_kind(one, first, other, second)
    _require_same_data(known)


def require_distinct(members: Sequence[Member]) -> None:
    """Checks that no model counts twice: as two seeds, whose spread would be zero, or for two tasks.

    Raises:
        UsageError: If a model counts twice.
    """
    seen: dict[str, Member] = {}
    for member in members:
        for file in member.files():
            if file.suffix == ".json":
                continue
            sha256 = sha256_of(file)
            other = seen.setdefault(sha256, member)
            if other is not member:
                raise same_weights(other.place, member.place, sha256)


def same_weights(place: str, other: str, sha256: str) -> UsageError:
    """Message for two members that are the same model."""
    return UsageError(
        f"{place} and {other} of the method have the same weights (sha256 {sha256[:SHORT_HASH]}); expected a separate "
        "model for each task, and a separate training for each seed"
    )


def claim_of(member: Member) -> Claim | None:
    """The training declaration of a member; `None` if there is none.

    Raises:
        DataError: If the file of the declaration is invalid.
        ModelError: If its config cannot be read.
    """
    source = member.source
    if source.record is not None:
        record = read_training_record(source.record)
        return Claim(
            str(source.record),
            record.task,
            record.protocol,
            record.level_of_theory,
            record.dataset.edition,
            record.dataset.content_hash,
        )
    if not source.family.in_config or source.path is None:
        return None
    path = source.path / CONFIG_NAME
    config = _config(path)
    training = config.get("training")
    said = training if isinstance(training, dict) else {}
    return Claim(
        str(path),
        _text(config.get("trained_on")),
        _text(config.get("protocol")),
        _text(config.get("level_of_theory")),
        _text(said.get("edition")),
        _text(said.get("data_hash")),
    )


def _require_same_kind(one: Member, first: Claim, other: Member, second: Claim) -> None:
    pairs = [
        ("protocol", first.protocol, second.protocol),
        ("level of theory", first.level_of_theory, second.level_of_theory),
        ("edition of the training data", first.edition, second.edition),
    ]
    for what, own, others in pairs:
        if own is not None and others is not None and own != others:
            raise DataError(
                f"the {what} of {one.place} is {own} ({first.place}), that of {other.place} is {others} "
                f"({second.place}); all members of a method must be trained in the same way. Evaluate them as separate "
                "methods"
            )


def _require_same_data(known: Sequence[tuple[Member, Claim]]) -> None:
    """Checks that the seeds of a task were trained on the same frames."""
    first: dict[TaskName, tuple[Member, Claim]] = {}
    for member, claim in known:
        if claim.content_hash is None:
            continue
        one, own = first.setdefault(member.task, (member, claim))
        if own.content_hash is not None and own.content_hash != claim.content_hash:
            raise DataError(
                f"{one.place} was trained on data of content {own.content_hash[:SHORT_HASH]} ({own.place}), and "
                f"{member.place} on {claim.content_hash[:SHORT_HASH]} ({claim.place}); seeds of a task may differ only "
                "in their random numbers. Train them on the same data"
            )


def _config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ModelError(f"{path} is longer than {MAX_BYTES:,} bytes; copy the checkpoint again")
        config = json.loads(content)
    except (OSError, ValueError, RecursionError) as cause:
        raise ModelError(f"cannot read {path}: {cause}; expected a JSON object") from cause
    if not isinstance(config, dict):
        raise ModelError(f"{path} contains a {type(config).__name__}; expected a JSON object")
    return config


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
