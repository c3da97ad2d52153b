"""The checkpoint format of this project: a folder with `config.json` and `model.safetensors`.

Neither file can run code: one is JSON, the other holds nothing but named tensors.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from dataset_builders.core.errors import ModelError
from dataset_builders.core.whole_file import whole_file, write_text_whole
from harness.core.potential import DtypeName, ProtocolName

if TYPE_CHECKING:
    from torch import Tensor

FORMAT: Final = "mlip-ood-checkpoint"
FORMAT_VERSION: Final = 2
READABLE_VERSIONS: Final = (1, 2)
"""Version 1 had neither a baseline nor networks that start from a foundation model."""
CONFIG_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "model.safetensors"

Architecture = Literal["PaiNN", "SchNet", "TensorNet", "NequIP", "MACE", "DimeNet++", "ViSNet"]
"""Networks that are trained from scratch; a checkpoint may name no class beside these and `Foundation`."""

Foundation = Literal["ANI", "MACE-torch"]
"""Networks of other projects (TorchANI, mace-torch), which are trained further here."""

FamilyName = Literal["graph-pes", "pyg", "torchani-tuned", "mace-tuned"]

BaselineName = Literal["gfn1-xtb", "mmff94"]
"""Physics methods that a network may be trained on top of."""

ARCHITECTURES: Final[tuple[Architecture, ...]] = get_args(Architecture)
FOUNDATIONS: Final[tuple[Foundation, ...]] = get_args(Foundation)
BASELINES: Final[tuple[BaselineName, ...]] = get_args(BaselineName)

FAMILIES: Final[Mapping[str, FamilyName]] = MappingProxyType(
    {
        "PaiNN": "graph-pes",
        "SchNet": "graph-pes",
        "TensorNet": "graph-pes",
        "NequIP": "graph-pes",
        "MACE": "graph-pes",
        "DimeNet++": "pyg",
        "ViSNet": "pyg",
        "ANI": "torchani-tuned",
        "MACE-torch": "mace-tuned",
    }
)
"""Which family of potentials reads a network, by architecture; it is named after the library."""

PACKAGES: Final[Mapping[FamilyName, tuple[str, ...]]] = MappingProxyType(
    {
        "graph-pes": ("graph-pes", "e3nn", "torch", "safetensors"),
        "pyg": ("torch-geometric", "torch", "safetensors"),
        "torchani-tuned": ("torchani", "torch", "safetensors"),
        "mace-tuned": ("mace-torch", "e3nn", "torch", "safetensors"),
    }
)
"""Python packages that compute a network, by family."""

HOPS_OF_EMBEDDING: Final[Mapping[str, int]] = MappingProxyType({"TensorNet": 1, "DimeNet++": 1, "ViSNet": 1})
"""Cutoffs that the first embedding of an atom reaches, before any round of message passing; 0 elsewhere."""

_Choice = TypeVar("_Choice", bound=str)


@dataclass(frozen=True, slots=True)
class NetworkArguments:
    """What determines the shape of a network.

    Attributes:
        channels: Features of an atom.
        radial_features: Functions that a distance is expanded in.
        layers: Rounds of message passing.
        cutoff: Distance within which atoms are neighbours, Å.
    """

    channels: int
    radial_features: int
    layers: int
    cutoff: float


@dataclass(frozen=True, slots=True)
class CheckpointConfig:
    """What `config.json` says.

    Attributes:
        architecture: Kind of network.
        arguments: Its shape; what a foundation model is put together from is a JSON object.
        elements: Atomic numbers that it was trained on, ascending.
        reference_energies: Energy that an atom adds to that of the network, eV, by element symbol.
        dtype: Precision that the tensors are stored in.
        trained_on: Data-set configuration it was trained on, such as `task2`.
        protocol: How it came to know the molecules of that task.
        level_of_theory: Level of its labels.
        training: How it was trained, for people and for the record: seed, data, settings, metrics, versions.
        baseline: Physics method whose energies and forces are added to those of the network.
        started_from: The model whose weights the training began with: id, revision, sha256 of its files, family,
            protocol, level of theory and the task that it was trained on.
    """

    architecture: Architecture | Foundation
    arguments: NetworkArguments | Mapping[str, Any]
    elements: tuple[int, ...]
    reference_energies: Mapping[str, float]
    dtype: DtypeName
    trained_on: str
    protocol: ProtocolName
    level_of_theory: str
    training: Mapping[str, Any]
    baseline: BaselineName | None = None
    started_from: Mapping[str, Any] | None = None

    @property
    def family(self) -> FamilyName:
        """The family of potentials that reads it."""
        return FAMILIES[self.architecture]

    @property
    def cutoff(self) -> float:
        """Distance within which the network looks for neighbours, Å."""
        arguments = self.arguments
        return float(arguments.cutoff if isinstance(arguments, NetworkArguments) else arguments["cutoff"])

    @property
    def receptive_field(self) -> float:
        """Distance beyond which the energy that the network gives an atom depends on no other atom, Å."""
        return receptive_field(self.architecture, self.arguments)

    def as_document(self) -> dict[str, Any]:
        """The config as it stands in the file."""
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "family": self.family}
        # `asdict` puts nested records into plain dictionaries and keeps the order of the fields.
        return {**head, **asdict(self), "receptive_field": self.receptive_field}


def receptive_field(architecture: str, arguments: NetworkArguments | Mapping[str, Any]) -> float:
    """Distance beyond which the energy that a network gives an atom depends on no other atom, Å."""
    if isinstance(arguments, NetworkArguments):
        return (HOPS_OF_EMBEDDING.get(architecture, 0) + arguments.layers) * arguments.cutoff
    return float(arguments["layers"]) * float(arguments["cutoff"])


def symbol_of(atomic_number: int) -> str:
    """Element symbol of an atomic number from 1 to 118."""
    from ase.data import chemical_symbols

    return str(chemical_symbols[atomic_number])


def write_checkpoint(directory: Path, config: CheckpointConfig, tensors: "Mapping[str, Tensor]") -> None:
    """Writes a checkpoint folder, replacing one that is there.

    Args:
        directory: Folder; made if absent.
        config: What the network is and how it was trained.
        tensors: Tensors of the network by name, as `network_tensors` gives them.
    """
    from safetensors.torch import save_file

    with whole_file(directory / WEIGHTS_FILE) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)
    write_config(directory, config)


def write_config(directory: Path, config: CheckpointConfig) -> None:
    """Writes `config.json` alone, replacing one that is there."""
    write_text_whole(directory / CONFIG_FILE, json.dumps(config.as_document(), indent=2, ensure_ascii=False) + "\n")


def read_config(directory: Path) -> CheckpointConfig:
    """Reads and checks `config.json`.

    Raises:
        ModelError: If the file is absent, is not JSON, or holds a value that this version does not know.
    """
    path = directory / CONFIG_FILE
    if not path.is_file():
        raise ModelError(
            f"{directory} holds no {CONFIG_FILE}; expected a checkpoint folder with {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as cause:
        raise ModelError(f"{path} is not JSON ({cause}); copy the checkpoint again") from cause
    if not isinstance(document, dict):
        raise ModelError(f"{path} holds a {type(document).__name__}; expected a JSON object")
    return _Reader(path, document).config()


def read_tensors(directory: Path, expected: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Reads `model.safetensors`, which must hold exactly the expected tensors.

    Args:
        directory: Checkpoint folder.
        expected: Tensors of the network by name; their names, shapes and types are compared.

    Raises:
        ModelError: If the file is absent or corrupt, or a tensor is missing, unexpected, of another
            shape or type, or not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = directory / WEIGHTS_FILE
    if not path.is_file():
        raise ModelError(f"{directory} holds no {WEIGHTS_FILE}; copy the whole checkpoint folder")
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as cause:
        raise ModelError(f"{path} cannot be read as safetensors ({cause}); copy the checkpoint again") from cause
    _require_same_tensors(path, found, expected)
    return found


def file_hashes(directory: Path) -> dict[str, str]:
    """sha256 of the two files of a checkpoint, by file name.

    Raises:
        ModelError: If a file is absent.
    """
    hashes = {}
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        path = directory / name
        if not path.is_file():
            raise ModelError(f"{directory} holds no {name}; copy the whole checkpoint folder")
        with path.open("rb") as stream:
            hashes[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return hashes


def _require_same_tensors(path: Path, found: "Mapping[str, Tensor]", expected: "Mapping[str, Tensor]") -> None:
    remedy = f"the tensors must be those of the network in {CONFIG_FILE}; copy the checkpoint again"
    missing = sorted(expected.keys() - found.keys())
    if missing:
        raise ModelError(f"{path} lacks the tensor {missing[0]!r} ({len(missing)} missing in all); {remedy}")
    unexpected = sorted(found.keys() - expected.keys())
    if unexpected:
        raise ModelError(f"{path} holds the unexpected tensor {unexpected[0]!r} ({len(unexpected)} in all); {remedy}")
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            raise ModelError(
                f"tensor {name!r} of {path} has shape {tuple(found[name].shape)}; expected {tuple(tensor.shape)}; "
                + remedy
            )
        if found[name].dtype != tensor.dtype:
            raise ModelError(f"tensor {name!r} of {path} is {found[name].dtype}; expected {tensor.dtype}; {remedy}")
        if not bool(found[name].isfinite().all()):
            raise ModelError(f"tensor {name!r} of {path} holds numbers that are not finite; train the model again")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes checked values out of the JSON object of a config."""

    path: Path
    document: Mapping[str, Any]

    def config(self) -> CheckpointConfig:
        """The whole config."""
        architecture = self._architecture()
        elements = self._elements()
        return CheckpointConfig(
            architecture=architecture,
            arguments=self._foundation_arguments() if architecture in FOUNDATIONS else self._arguments(),
            elements=elements,
            reference_energies=self._reference_energies(elements),
            dtype=self._one_of("dtype", get_args(DtypeName)),
            trained_on=self._text("trained_on"),
            protocol=self._one_of("protocol", get_args(ProtocolName)),
            level_of_theory=self._text("level_of_theory"),
            training=self._object("training"),
            baseline=self._one_of("baseline", BASELINES) if self.document.get("baseline") is not None else None,
            started_from=self._object("started_from") if self.document.get("started_from") is not None else None,
        )

    def _architecture(self) -> Architecture | Foundation:
        newer = "; a newer release of this package may read it"
        self._one_of("format", (FORMAT,), newer)
        version = self._value("format_version")
        if version not in READABLE_VERSIONS or isinstance(version, bool):
            raise self._error("format_version", version, f"one of {READABLE_VERSIONS}{newer}")
        self._one_of("family", tuple(PACKAGES), newer)
        architecture: Architecture | Foundation = self._one_of("architecture", (*ARCHITECTURES, *FOUNDATIONS))
        self._one_of("family", (FAMILIES[architecture],))
        return architecture

    def _error(self, key: str, found: object, expected: str) -> ModelError:
        return ModelError(f"{self.path}: {key} is {found!r}; expected {expected}")

    def _value(self, key: str) -> Any:
        if key not in self.document:
            raise ModelError(f"{self.path} has no {key!r}; expected a checkpoint written by `python -m harness train`")
        return self.document[key]

    def _text(self, key: str) -> str:
        found = self._value(key)
        if not isinstance(found, str) or not found:
            raise self._error(key, found, "a text")
        return found

    def _object(self, key: str) -> dict[str, Any]:
        found = self._value(key)
        if not isinstance(found, dict):
            raise self._error(key, found, "a JSON object")
        return found

    def _one_of(self, key: str, choices: tuple[_Choice, ...], remedy: str = "") -> _Choice:
        found = self._value(key)
        for choice in choices:
            if found == choice:
                return choice
        raise self._error(key, found, f"{'one of ' if len(choices) > 1 else ''}{' '.join(choices)}{remedy}")

    def _arguments(self) -> NetworkArguments:
        found = self._object("arguments")
        names = [field.name for field in fields(NetworkArguments)]
        if sorted(found) != sorted(names):
            raise self._error("arguments", sorted(found), f"exactly {' '.join(names)}")
        self._require_sizes(found, "channels", "radial_features", "layers")
        return NetworkArguments(**{**found, "cutoff": float(found["cutoff"])})

    def _foundation_arguments(self) -> dict[str, Any]:
        found = self._object("arguments")
        self._require_sizes({"layers": None, "cutoff": None, **found}, "layers")
        return found

    def _require_sizes(self, found: Mapping[str, Any], *whole_numbers: str) -> None:
        for name in whole_numbers:
            if not isinstance(found[name], int) or isinstance(found[name], bool) or found[name] < 1:
                raise self._error(f"arguments.{name}", found[name], "a whole number of 1 or more")
        if not _is_finite(found["cutoff"]) or found["cutoff"] <= 0.0:
            raise self._error("arguments.cutoff", found["cutoff"], "a length in Å above 0")

    def _elements(self) -> tuple[int, ...]:
        found = self._value("elements")
        ok = isinstance(found, list) and all(isinstance(number, int) and 1 <= number <= 118 for number in found)
        if not ok or not found or found != sorted(set(found)):
            raise self._error("elements", found, "ascending atomic numbers from 1 to 118")
        return tuple(found)

    def _reference_energies(self, elements: tuple[int, ...]) -> dict[str, float]:
        found = self._object("reference_energies")
        symbols = [symbol_of(number) for number in elements]
        if sorted(found) != sorted(symbols) or not all(_is_finite(energy) for energy in found.values()):
            raise self._error("reference_energies", found, f"one energy in eV for each of {' '.join(symbols)}")
        return {symbol: float(found[symbol]) for symbol in symbols}


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
