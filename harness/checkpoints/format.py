"""The checkpoint format of this project: a folder with `config.json` and `model.safetensors`.

Neither file can run code: one is JSON, the other holds nothing but named tensors.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from dataset_builders.errors import ModelError
from dataset_builders.whole_file import whole_file, write_text_whole
from harness.potentials.base import DtypeName, ProtocolName

if TYPE_CHECKING:
    from torch import Tensor

FORMAT: Final = "mlip-ood-checkpoint"
FORMAT_VERSION: Final = 1
FAMILY: Final = "graph-pes"
CONFIG_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "model.safetensors"

Architecture = Literal["PaiNN", "SchNet", "NequIP", "MACE"]
"""Networks of graph-pes that a checkpoint may name; no other class is ever looked up."""

ARCHITECTURES: Final[tuple[Architecture, ...]] = get_args(Architecture)

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
        architecture: Class of the network in `graph_pes.models`.
        arguments: Its shape.
        elements: Atomic numbers that it was trained on, ascending.
        reference_energies: Energy that an atom adds to that of the network, eV, by element symbol.
        dtype: Precision that the tensors are stored in.
        trained_on: Data-set configuration it was trained on, such as `task2`.
        protocol: How it came to know the molecules of that task.
        level_of_theory: Level of its labels.
        training: How it was trained, for people and for the record: seed, data, settings, metrics, versions.
    """

    architecture: Architecture
    arguments: NetworkArguments
    elements: tuple[int, ...]
    reference_energies: Mapping[str, float]
    dtype: DtypeName
    trained_on: str
    protocol: ProtocolName
    level_of_theory: str
    training: Mapping[str, Any]

    def as_document(self) -> dict[str, Any]:
        """The config as it stands in the file."""
        # `asdict` puts nested records into plain dictionaries and keeps the order of the fields.
        return {"format": FORMAT, "format_version": FORMAT_VERSION, "family": FAMILY, **asdict(self)}


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
        for key, expected in (("format", FORMAT), ("format_version", FORMAT_VERSION), ("family", FAMILY)):
            found = self._value(key)
            if found != expected or isinstance(found, bool):
                raise self._error(key, found, f"{expected!r}; a newer release of this package may read it")
        elements = self._elements()
        return CheckpointConfig(
            architecture=self._one_of("architecture", ARCHITECTURES),
            arguments=self._arguments(),
            elements=elements,
            reference_energies=self._reference_energies(elements),
            dtype=self._one_of("dtype", get_args(DtypeName)),
            trained_on=self._text("trained_on"),
            protocol=self._one_of("protocol", get_args(ProtocolName)),
            level_of_theory=self._text("level_of_theory"),
            training=self._object("training"),
        )

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

    def _one_of(self, key: str, choices: tuple[_Choice, ...]) -> _Choice:
        found = self._value(key)
        for choice in choices:
            if found == choice:
                return choice
        raise self._error(key, found, f"one of {' '.join(choices)}")

    def _arguments(self) -> NetworkArguments:
        found = self._object("arguments")
        names = [field.name for field in fields(NetworkArguments)]
        if sorted(found) != sorted(names):
            raise self._error("arguments", sorted(found), f"exactly {' '.join(names)}")
        for name in ("channels", "radial_features", "layers"):
            if not isinstance(found[name], int) or isinstance(found[name], bool) or found[name] < 1:
                raise self._error(f"arguments.{name}", found[name], "a whole number of 1 or more")
        if not _is_finite(found["cutoff"]) or found["cutoff"] <= 0.0:
            raise self._error("arguments.cutoff", found["cutoff"], "a length in Å above 0")
        return NetworkArguments(**{**found, "cutoff": float(found["cutoff"])})

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
