"""The model card of a checkpoint in the format of this project."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from dataset_builders.card.task_picture import picture_of, picture_text
from dataset_builders.chemistry.levels import GFN2, level_of_method
from dataset_builders.core.errors import ModelError, UsageError
from dataset_builders.core.hashes import SHORT_HASH, file_sha256
from dataset_builders.core.hub.names import DATASET_ID
from dataset_builders.core.markdown import code, plain
from dataset_builders.core.place_names import place_name
from dataset_builders.core.shown import shown
from dataset_builders.core.whole_file import whole_file, write_text_whole
from dataset_builders.tasks.editions import edition_note
from dataset_builders.tasks.regions import DECLARATION, Task
from dataset_builders.tasks.task_document import task_of_checkpoint
from harness.core.known_checkpoints import KnownCheckpoint, recognise
from harness.networks.architecture import NetworkArguments
from harness.networks.architectures import FOUNDATIONS, IN_ENVIRONMENTS, PACKAGES
from harness.networks.arguments import plain as plain_arguments
from harness.networks.checkpoint_format import (
    WEIGHTS_FILE,
    CheckpointConfig,
    read_config,
    symbol_of,
)
from harness.networks.control_checkpoints import ControlArchitecture, ControlConfig, control_of, read_control
from harness.networks.finished import follows_the_clock, training_progress
from harness.potentials.xtb import METHODS
from harness.report.control_gaps import control_tasks
from harness.results.one_dataset import require_one_dataset
from harness.results.result import RunResult
from model_cards.cards.gap_picture import Panel, gap_picture, gap_text, pair_text, panels_of
from model_cards.cards.result_tables import results_table
from model_cards.text.front_matter import CARD_PATH

CARD_PICTURE: Final = "mlip-ood-checkpoint.png"
"""The picture at the head of the card; its name is one that no file of others is likely to have."""

CURVE_FILES: Final = ("validation_curve.csv", "validation_curve.png")

_CONTROLS: Final[Mapping[ControlArchitecture, tuple[str, str, str]]] = MappingProxyType(
    {
        "additive": (
            "A sum of bonds, angles and torsions",
            "a force field of terms of at most four consecutive atoms, fitted by ridge regression: compositional by "
            "construction",
            "the derivative of the energy",
        ),
        "knn": (
            "A memoriser",
            "kernel regression over the nearest atomic environments of training (AEV descriptors of ANI-2x)",
            "predicted directly, not the derivative of the energy",
        ),
    }
)
"""Title, description and type of forces of each control."""


def render_card(checkpoint: Path, results: Sequence[RunResult], model_id: str | None = None) -> str:
    """The card: the model, its training, its results and the commands that reproduce them.

    Args:
        checkpoint: Folder with `config.json` and `model.safetensors`.
        results: Evaluations of this checkpoint, and of others for comparison, on one data set; empty
            for a card to which results are added later.
        model_id: Id of the model in the commands and the table of the card; by default the id in its own result,
            else the folder.

    Returns:
        Markdown with YAML front matter.

    Raises:
        ModelError: If the folder is not a checkpoint.
        UsageError: If there are results, but none for this checkpoint.
        DataError: If the results are on different data sets.
    """
    import jinja2

    if results:
        results = _for_readers(checkpoint, results, model_id)
    control = control_of(checkpoint)
    about = _network_context(checkpoint) if control is None else _control_context(control, checkpoint)
    head = _head_context(about["task"], _panels(checkpoint, results))
    # As keywords, since Python refuses a name that two of them use.
    context = dict(**about, **_results_context(checkpoint, results), **head)
    context["model_id"] = model_id or context["model_id"]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("model_cards"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )
    environment.filters |= {"plain": plain, "code": code}
    template = environment.get_template("checkpoint.md.jinja" if control is None else "control.md.jinja")
    return template.render(context)


def card_picture(checkpoint: Path, results: Sequence[RunResult]) -> bytes:
    """The picture of the card as PNG: the gap of the model beside GFN1-xTB; without results, its task.

    Raises:
        As `render_card`.
    """
    panels = _panels(checkpoint, results)
    return gap_picture(panels) if panels else picture_of([_task_of(checkpoint)])


def write_card(checkpoint: Path, results: Sequence[RunResult] = (), model_id: str | None = None) -> Path:
    """Writes the card of a checkpoint as its `README.md`, with its picture, and returns the path.

    Arguments and errors are those of `render_card`.
    """
    path = checkpoint / CARD_PATH
    text = render_card(checkpoint, results, model_id)
    with whole_file(checkpoint / CARD_PICTURE) as partial:
        partial.write_bytes(card_picture(checkpoint, results))
    write_text_whole(path, text)
    return path


def _head_context(task: Task, panels: Sequence[Panel]) -> dict[str, Any]:
    """What the first lines say: the gap, or that it is not known yet; and the picture."""
    first = panels[0] if panels else None
    return {
        "picture": CARD_PICTURE,
        "picture_text": gap_text(panels) if panels else picture_text([task]),
        "measured_on": "" if first is None else first.title,
        "measured": {} if first is None else {pair.label: pair_text(pair) for pair in first.pairs},
    }


def _panels(checkpoint: Path, results: Sequence[RunResult]) -> tuple[Panel, ...]:
    """The panels of the picture; the task of the training comes first."""
    if not results:
        return ()
    own = _own(checkpoint, results)[0]
    name = _task_of(checkpoint).name
    panels = panels_of(own, control_tasks(own.dataset.content_hash, results))
    return tuple(sorted(panels, key=lambda panel: not panel.title.startswith(own.dataset.config(name))))


def _task_of(checkpoint: Path) -> Task:
    control = control_of(checkpoint)
    config = read_config(checkpoint) if control is None else read_control(checkpoint, control)[0]
    return task_of_checkpoint(config.trained_on, config.training.get(DECLARATION), str(checkpoint))


def _network_context(checkpoint: Path) -> dict[str, Any]:
    config = read_config(checkpoint)
    if config.started_from is not None:
        # Of a checkpoint that an earlier version wrote.
        config = replace(config, started_from={**config.started_from, "id": place_name(str(config.started_from["id"]))})
    return _shared_context(config, checkpoint) | {
        "title": _title(config),
        "unfinished": training_progress(checkpoint, config.training),
        "by_the_clock": follows_the_clock(config.training),
        "network": _network(config),
        "own_environment": IN_ENVIRONMENTS.get(config.architecture),
        "base_model": _base_model(config),
        "is_derived": config.architecture in FOUNDATIONS,
        "derived_from": _published(config),
        "baseline": METHODS.get(config.baseline, "MMFF94") if config.baseline else None,
    }


def _control_context(control: ControlArchitecture, checkpoint: Path) -> dict[str, Any]:
    title, description, forces = _CONTROLS[control]
    config, _ = read_control(checkpoint, control)
    return _shared_context(config, checkpoint) | {
        "title": title,
        "description": description,
        "forces": forces,
        "is_derived": False,
    }


def _shared_context(config: CheckpointConfig | ControlConfig, checkpoint: Path) -> dict[str, Any]:
    task = task_of_checkpoint(config.trained_on, config.training.get(DECLARATION), str(checkpoint))
    level = level_of_method(config.level_of_theory)
    return {
        # Empty for the default of `--labels`.
        "labels": level.name if level is not None and level is not GFN2 else "",
        "config": config,
        "task": task,
        "n_molecules": config.training.get("n_molecules", len(task.train_words())),
        "n_parameters": count_parameters(checkpoint),
        "elements": " ".join(symbol_of(number) for number in config.elements),
        "training": _training(config.training),
        "weights_hash": _weights_hash(checkpoint),
        "has_curve": all((checkpoint / name).is_file() for name in CURVE_FILES),
        "dataset_id": DATASET_ID,
    }


def _training(training: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a training, without folders of the machine that an earlier version wrote."""
    dataset = training.get("dataset")
    return {**training, "dataset": place_name(dataset)} if isinstance(dataset, str) else dict(training)


def _title(config: CheckpointConfig) -> str:
    """The type of model, in a few words."""
    known = _published(config)
    start = config.started_from
    if start is None:
        title = config.architecture
    else:
        title = f"{known.name if known is not None and start['revision'] is None else start['id']}, fine-tuned"
    return title if config.baseline is None else f"{title} on top of {METHODS.get(config.baseline, 'MMFF94')}"


def _network(config: CheckpointConfig) -> str:
    """The network, its library and its hyperparameters."""
    arguments = config.arguments
    if config.plugin is not None:
        shape = ", ".join(f"{name} {value}" for name, value in plain_arguments(arguments).items())
        return f"{config.architecture} (plug-in {config.plugin.package} {config.plugin.version}), {shape}"
    library = PACKAGES[config.family][0]
    if isinstance(arguments, NetworkArguments):
        shape = f"{arguments.channels} channels, {arguments.layers} layer{'' if arguments.layers == 1 else 's'}"
        return f"{config.architecture} ({library}), {shape}, cutoff {arguments.cutoff} Å"
    cutoff = f"cutoff {arguments['cutoff']:g} Å"
    if "ensemble" in arguments:
        return f"{config.architecture} ({library}), {arguments['ensemble']}, {cutoff}"
    if config.architecture == "SO3LR":
        of_messages = arguments["model"]["r_max"]
        cutoff = f"cutoff {of_messages:g} Å of messages, {arguments['cutoff']:g} Å of electrostatics and dispersion"
    return f"{config.architecture} ({library}), {arguments['layers']} layers, {cutoff}"


def _base_model(config: CheckpointConfig) -> str | None:
    """The Hub repo of the checkpoint that was fine-tuned, if there was one."""
    start = config.started_from
    return None if start is None or start["revision"] is None else "/".join(str(start["id"]).split("/")[:2])


def _published(config: CheckpointConfig) -> KnownCheckpoint | None:
    """The published checkpoint that was fine-tuned, if its bytes are known."""
    found = None if config.started_from is None else recognise(config.started_from["files"])
    return None if found is None or found.by != "sha256" else found.checkpoint


def _results_context(checkpoint: Path, results: Sequence[RunResult]) -> dict[str, Any]:
    if not results:
        return {"table": "", "model_id": str(checkpoint)}
    own = _own(checkpoint, results)
    require_one_dataset(results, "the table of a card")
    return {
        "table": results_table(results),
        "model_id": own[0].model.id,
        "models": " ".join(f"--model {result.model.id}" for result in results),
        "dataset": own[0].dataset,
        "edition_note": edition_note(own[0].dataset.edition),
        "environment": own[0].environment,
        "device": own[0].model.device,
    }


def _for_readers(checkpoint: Path, results: Sequence[RunResult], model_id: str | None) -> list[RunResult]:
    """The results under the names that models and data sets have for readers, without folders of this machine."""
    own = [id(result) for result in _own(checkpoint, results)]
    named = []
    for result in results:
        name = (model_id or result.model.id) if id(result) in own else place_name(result.model.id)
        model = result.model.model_copy(update={"id": name})
        dataset = result.dataset.model_copy(update={"id": place_name(result.dataset.id)})
        named.append(result.model_copy(update={"model": model, "dataset": dataset}))
    return named


def _own(checkpoint: Path, results: Sequence[RunResult]) -> list[RunResult]:
    """The results of this checkpoint, of which there is at least one."""
    weights_hash = _weights_hash(checkpoint)
    own = [result for result in results if weights_hash in result.model.files.values()]
    if not own:
        seen = ", ".join(result.model.id for result in results)
        raise UsageError(
            f"none of the results belongs to the weights in {checkpoint} (sha256 {weights_hash[:SHORT_HASH]}); results "
            f"given: {seen}. Evaluate the checkpoint first: python -m harness --model {checkpoint}"
        )
    return own


def count_parameters(checkpoint: Path) -> int:
    """Number of values in the floating-point tensors of a checkpoint, from the header of its file.

    Raises:
        ModelError: If the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    path = checkpoint / WEIGHTS_FILE
    try:
        with safe_open(path, framework="numpy") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 (not a mapping, despite its name)
            return sum(math.prod(each.get_shape()) for each in slices if each.get_dtype().startswith("F"))
    except (OSError, SafetensorError) as cause:
        raise ModelError(
            f"{path} cannot be read as safetensors ({shown(str(cause), 300)}); copy the checkpoint again"
        ) from cause


def _weights_hash(checkpoint: Path) -> str:
    return file_sha256(checkpoint / WEIGHTS_FILE)
