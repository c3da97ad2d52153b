"""Checks the stated training of the model of an entry against the file mlip-ood.json, the task and the data set."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from dataset_builders.core.errors import MlipOodError
from dataset_builders.core.hashes import SHORT_HASH, file_sha256
from dataset_builders.core.shown import shown
from harness.core.family import Family
from harness.core.potential import TrainingProtocol
from harness.core.training_record import RECORD_NAME
from harness.data.dataset import PinnedDataset
from harness.models.registry import ModelSource, known_names
from harness.models.training_declaration import Declaration, declaration_for
from harness.results.manifest import Manifest
from harness.results.result import ModelRecord
from harness.submission.findings import Finding

_NO_FAMILY: Final = Family("", "", "")


def findings_of_training(
    manifest: Manifest, record: Path | None, dataset: PinnedDataset, run_id: str
) -> Iterator[Finding]:
    """Checks the stated training of the model of a run.

    Args:
        manifest: Manifest of the run.
        record: The file mlip-ood.json of the entry; `None` if it has none.
        dataset: The data set of the run.
        run_id: Name of the run.
    """
    model = manifest.model
    contradictions = list(_contradictions(model, manifest.tasks))
    if contradictions:
        yield from (Finding("fault", text, run_id) for text in contradictions)
        return
    listed = [name for name in model.files if name.endswith(RECORD_NAME)]
    if bool(listed) != (record is not None) or len(listed) > 1:
        held = "contains one" if record is not None else "contains none"
        yield Finding("fault", f"the model was loaded with {len(listed)} {RECORD_NAME}, but the entry {held}", run_id)
    elif record is not None:
        yield from _of_record(model, listed[0], record, dataset, run_id)
    else:
        yield _without_record(model, run_id)


def _contradictions(model: ModelRecord, tasks: tuple[str, ...]) -> Iterator[str]:
    """Contradictions within the stated training."""
    is_trained = model.protocol in get_args(TrainingProtocol)
    if is_trained != (model.trained_on is not None):
        yield f"protocol {model.protocol}, trained on {shown(model.trained_on)}: these contradict each other"
    if is_trained and tasks != (model.trained_on,):
        yield (
            f"trained on {model.trained_on}, and tested on {' '.join(tasks)}; a model is tested only on the task that "
            "it was trained on"
        )
    if model.base is not None and model.protocol != "fine-tuned":
        yield f"protocol {model.protocol} with base {shown(model.base)}; only a fine-tuned model has a base"
    if model.protocol == "fine-tuned" and model.training == "stated" and model.base is None:
        yield "fine-tuning is stated without the base model"
    if model.protocol == "control" and (model.files or model.id not in known_names()):
        yield f"{model.id} is not a control: controls are methods of the harness, without a checkpoint"
    if not is_trained and model.training is not None:
        yield f"protocol {model.protocol} with training {model.training}; expected none"


def _of_record(model: ModelRecord, name: str, record: Path, dataset: PinnedDataset, run_id: str) -> Iterator[Finding]:
    found = file_sha256(record)
    if found != model.files[name]:
        yield Finding(
            "fault",
            f"{RECORD_NAME} has the sha256 {found[:SHORT_HASH]}; the model was loaded with one of "
            f"{model.files[name][:SHORT_HASH]}",
            run_id,
        )
        return
    try:
        source = ModelSource(model.id, _NO_FAMILY, None, record=record)
        declaration = declaration_for(source, None, [dataset])
    except MlipOodError as cause:
        yield Finding("fault", str(cause).replace(str(record), RECORD_NAME), run_id)
        return
    assert declaration is not None
    wrong = list(_mismatches(model, declaration))
    yield from (Finding("fault", text, run_id) for text in wrong)
    if not wrong:
        yield _fitting(model, declaration, run_id)


def _mismatches(model: ModelRecord, declaration: Declaration) -> Iterator[str]:
    """Differences between a training record and the result of the model that was read with it."""
    said, record = declaration.statement, declaration.record
    assert record is not None
    pairs = {
        "task": (said.task, model.trained_on),
        "protocol": (said.protocol, model.protocol),
        "level of theory": (record.level_of_theory, model.level_of_theory),
    }
    if model.training != "proved":
        pairs["base"] = (said.base, model.base)
        pairs["what is unchecked"] = (declaration.unchecked, model.unchecked)
    for what, (declared, recorded) in pairs.items():
        if declared != recorded:
            yield f"{what}: {RECORD_NAME} states {shown(declared)}, the result {shown(recorded)}"


def _fitting(model: ModelRecord, declaration: Declaration, run_id: str) -> Finding:
    said = f"{RECORD_NAME} names {model.trained_on}, {model.protocol}" + (f" of {model.base}" if model.base else "")
    if declaration.unchecked:
        return Finding("look", f"{said}, but its frames were not compared: {declaration.unchecked}", run_id)
    return Finding(
        "proved",
        f"{said}, no test molecule, and the training frames of this data set. That the model was trained on these "
        "frames only is stated, not proved",
        run_id,
    )


def _without_record(model: ModelRecord, run_id: str) -> Finding:
    if model.protocol == "control":
        return Finding("stated", f"{model.id}, a method of the harness without a training set", run_id)
    if model.protocol == "zero-shot":
        asked = f"; {model.question}" if model.question else ""
        return Finding("look" if asked else "stated", f"zero-shot: no training on this benchmark{asked}", run_id)
    said = f"{model.protocol} on {model.trained_on}" + (f" of {model.base}" if model.base else "")
    if model.training == "stated":
        return Finding(
            "look", f"{said}, on the command line only: no file states which frames it was trained on", run_id
        )
    return Finding("stated", f"{said}, which the checkpoint proves; check it with --model", run_id)


def as_named(dataset: PinnedDataset, manifest: Manifest) -> PinnedDataset:
    """The data set under the id used by a run, so that messages are consistent."""
    return replace(dataset, id=manifest.dataset.id, revision=manifest.dataset.revision)
