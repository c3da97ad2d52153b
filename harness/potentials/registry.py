"""Which potential a name or a path stands for, and how to load it.

A family is one adapter file and one line in `FAMILIES`. Nothing heavy is imported before `load_potential`
knows which family it needs.
"""

import importlib
import importlib.util
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from dataset_builders.errors import MissingPackageError, ModelError, UsageError
from harness.potentials.base import LoadOptions, Potential, PotentialTraits
from harness.structures import Prediction, StructureBatch


@dataclass(frozen=True, slots=True)
class Family:
    """A family of potentials.

    Attributes:
        name: Of the family; what `family` says in the config.json of a checkpoint of ours.
        module: The adapter, which has `load(source, options) -> Potential`; `source` is one of `methods`,
            or the path of a checkpoint.
        package: What the adapter imports and cannot do without.
        extra: The extra that installs the package, where a plain installation lacks it.
        methods: Names that need no checkpoint.
        suffixes: Endings of the family's own checkpoint files.
        in_config: Whether it reads directories of our own format.
    """

    name: str
    module: str
    package: str
    extra: str | None = None
    methods: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    in_config: bool = False


FAMILIES: Final = (
    Family("xtb", "harness.potentials.xtb", "tblite", methods=("gfn2-xtb", "gfn1-xtb")),
    Family("mmff94", "harness.potentials.mmff94", "rdkit", methods=("mmff94",)),
    Family("zero", "harness.potentials.zero", "numpy", methods=("zero",)),
    Family("mace", "harness.potentials.mace", "mace", extra="mace", suffixes=(".model",)),
    Family("graph-pes", "harness.potentials.graph_pes", "graph_pes", extra="graph-pes", in_config=True),
)

REFERENCE: Final = "reference"
REFERENCE_DIRECTORY: Final = Path(__file__).resolve().parent.parent / "checkpoints" / "reference"
"""The checkpoint that comes with the package."""

CHECKPOINT_FORMAT: Final = "mlip-ood-checkpoint"
CONFIG_NAME: Final = "config.json"
_CHECKPOINT_SUFFIXES: Final = (".json", ".safetensors")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a model string stands for.

    Attributes:
        model: The string, as the user wrote it.
        family: The family that reads it.
        path: The checkpoint, or `None` for a method without one.
    """

    model: str
    family: Family
    path: Path | None


def known_names() -> tuple[str, ...]:
    """The names that stand for a potential without a path."""
    return (*(method for family in FAMILIES for method in family.methods), REFERENCE)


def identify(model: str) -> Identity:
    """Finds the family of a model, without importing it.

    A known name comes before a file of that name in the working directory; write `./zero` for the file.

    Args:
        model: A known name, or the path of a checkpoint.

    Raises:
        UsageError: If the string is neither a known name nor an existing path.
        ModelError: If the path is no checkpoint of a known family.
    """
    for family in FAMILIES:
        if model in family.methods:
            return Identity(model, family, None)
    if model == REFERENCE:
        if not REFERENCE_DIRECTORY.is_dir():
            raise ModelError(f"this installation lacks the reference checkpoint at {REFERENCE_DIRECTORY}; reinstall it")
        return Identity(model, _family_of_directory(REFERENCE_DIRECTORY), REFERENCE_DIRECTORY)
    path = Path(model)
    try:
        is_there = bool(model) and path.exists()
    except OSError as cause:
        raise UsageError(f"cannot look for {model!r}: {cause}; give the path of a checkpoint") from cause
    if not is_there:
        raise _absent(model)
    if path.is_dir():
        return Identity(model, _family_of_directory(path), path)
    for family in FAMILIES:
        if path.suffix in family.suffixes:
            return Identity(model, family, path)
    if path.suffix in _CHECKPOINT_SUFFIXES:
        return Identity(model, _family_of_directory(path.parent), path.parent)
    suffixes = " ".join(suffix for family in FAMILIES for suffix in family.suffixes)
    ending = f"ends in {path.suffix!r}" if path.suffix else "has no suffix"
    raise ModelError(
        f"{model} {ending}, which is no known checkpoint; "
        f"expected a file ending in {suffixes}, or a directory with a {CONFIG_NAME}"
    )


def load_potential(model: str, options: LoadOptions) -> Potential:
    """Loads the potential that a name or path stands for.

    Args:
        model: A known name, or the path of a checkpoint.
        options: Device, precision, trust and threads.

    Returns:
        The potential, whose `traits.model_id` is `model`.

    Raises:
        UsageError: If the model is unknown, or does not offer what the options ask for.
        ModelError: If the checkpoint cannot be loaded.
        MissingPackageError: If the package of its family is not installed.
    """
    identity = identify(model)
    family = identity.family
    if family.extra is not None and importlib.util.find_spec(family.package) is None:
        raise MissingPackageError(family.package, family.extra, f"loading {model} (family {family.name})")
    adapter: Any = importlib.import_module(family.module)
    potential: Potential = adapter.load(identity.path or model, options)
    if potential.traits.model_id == model:
        return potential
    return _Renamed(potential, replace(potential.traits, model_id=model))


@dataclass(frozen=True, slots=True)
class _Renamed:
    """A potential under the name that the user gave it (`reference`, not the path of an installation)."""

    potential: Potential
    traits: PotentialTraits

    def compute(self, batch: StructureBatch) -> Prediction:
        """What the potential computes."""
        return self.potential.compute(batch)


def _family_of_directory(directory: Path) -> Family:
    config_path = directory / CONFIG_NAME
    if not config_path.is_file():
        raise ModelError(f"{directory} has no {CONFIG_NAME}; expected a checkpoint written by this project")
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise ModelError(f"cannot read {config_path}: {cause}; expected a JSON object") from cause
    fields: dict[str, Any] = config if isinstance(config, dict) else {}
    if fields.get("format") != CHECKPOINT_FORMAT:
        raise ModelError(
            f"{config_path} has format {fields.get('format')!r}; expected {CHECKPOINT_FORMAT!r}. "
            "Give a checkpoint written by this project, or the model file itself"
        )
    readable = {family.name: family for family in FAMILIES if family.in_config}
    named = fields.get("family")
    if not isinstance(named, str) or named not in readable:
        raise ModelError(
            f"{config_path} has family {named!r}; expected one of: {' '.join(readable)}. "
            "A newer version of this package may know it"
        )
    return readable[named]


def _absent(model: str) -> UsageError:
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", model, flags=re.ASCII):
        return UsageError(
            f"there is no file or directory {model!r}, and loading a model by its Hub id is not yet part of this "
            "version: download the checkpoint and give its path"
        )
    if "/" in model or Path(model).suffix:
        return UsageError(f"there is no file or directory {model!r}; give the path of a checkpoint that exists")
    return UsageError(f"unknown model {model!r}; known names: {' '.join(known_names())}, or the path of a checkpoint")
