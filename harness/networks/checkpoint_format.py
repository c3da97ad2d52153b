"""The checkpoint format of this project: a folder with `config.json` and `model.safetensors`.

Neither file can execute code: one is JSON, the other contains only named tensors.
"""

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from dataset_builders.core.errors import ModelError
from dataset_builders.core.parsed_text import json_file
from dataset_builders.core.shown import quoted, shown
from dataset_builders.core.whole_file import whole_file, write_text_whole
from harness.core.potential import DtypeName, ProtocolName
from harness.networks.added import find_architecture
from harness.networks.architecture import PLUGIN_FAMILY, NetworkArguments
from harness.networks.architectures import ARCHITECTURES, FAMILIES, FOUNDATIONS, PACKAGES
from harness.networks.arguments import LARGEST, plain
from harness.networks.tensor_file import system_errors

if TYPE_CHECKING:
    from torch import Tensor

FORMAT: Final = "mlip-ood-checkpoint"
FORMAT_VERSION: Final = 2
READABLE_VERSIONS: Final = (1, 2)
"""Version 1 had neither baselines nor networks trained from a foundation model."""
CONFIG_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "model.safetensors"

BaselineName = Literal["gfn1-xtb", "mmff94"]
"""Physics methods that can serve as the baseline of a network."""

BASELINES: Final[tuple[BaselineName, ...]] = get_args(BaselineName)

_HEADER: Final = "mlip-ood"
"""Key in the header of a plug-in's weights, which identifies their network."""

_PACKAGE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", flags=re.ASCII)
_VERSION: Final = re.compile(r"[A-Za-z0-9.+!_-]{1,100}", flags=re.ASCII)

_Choice = TypeVar("_Choice", bound=str)


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """A checkpoint's record of the plug-in that provides its architecture.

    Attributes:
        package: Name of the package.
        version: Its version at training.
        receptive_field: Distance beyond which the energy of an atom depends on no other, Å; `None` without a limit.
    """

    package: str
    version: str
    receptive_field: float | None


@dataclass(frozen=True, slots=True)
class CheckpointConfig:
    """The contents of `config.json`.

    Attributes:
        architecture: Kind of network.
        arguments: Its shape; for a foundation model or a plug-in, a JSON object.
        elements: Atomic numbers that it was trained on, ascending.
        reference_energies: Energy added for each atom, eV, by element symbol.
        dtype: Precision of the stored tensors.
        trained_on: Data-set configuration it was trained on, such as `task2`.
        protocol: How the model was trained on the molecules of that task.
        level_of_theory: Level of theory of the training labels.
        training: Details of the training, for information: seed, data, settings, metrics, versions.
        baseline: Physics method whose energies and forces are added to those of the network.
        started_from: The model whose weights were the initial weights: id, revision, sha256 of its files, family,
            protocol, level of theory and training task.
        plugin: The package that provides the architecture; `None` for architectures of this project.
    """

    architecture: str
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
    plugin: PluginRecord | None = None

    @property
    def family(self) -> str:
        """The family of potentials that reads this checkpoint."""
        return FAMILIES[self.architecture] if self.plugin is None else PLUGIN_FAMILY

    @property
    def cutoff(self) -> float:
        """The neighbour cutoff of the network, Å."""
        arguments = self.arguments
        return float(arguments.cutoff if isinstance(arguments, NetworkArguments) else arguments["cutoff"])

    @property
    def receptive_field(self) -> float | None:
        """Distance beyond which the network energy of an atom depends on no other, Å; `None` without a limit."""
        if self.plugin is not None:
            return self.plugin.receptive_field
        return receptive_field(self.architecture, self.arguments)

    def as_document(self) -> dict[str, Any]:
        """The config as the JSON object of the file."""
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "family": self.family}
        # `asdict` converts nested records to plain dictionaries and keeps the order of the fields.
        document = {**head, **asdict(self), "receptive_field": self.receptive_field}
        if self.plugin is None:
            del document["plugin"]
        else:
            del document["plugin"]["receptive_field"]
        return document


def receptive_field(architecture: str, arguments: NetworkArguments | Mapping[str, Any]) -> float | None:
    """Distance beyond which the network energy of an atom depends on no other, Å; `None` without a limit."""
    values = plain(arguments)
    return find_architecture(architecture).receptive_field(float(values["cutoff"]), int(values.get("layers", 0)))


def symbol_of(atomic_number: int) -> str:
    """Element symbol of an atomic number from 1 to 118."""
    from ase.data import chemical_symbols

    return str(chemical_symbols[atomic_number])


def write_checkpoint(directory: Path, config: CheckpointConfig, tensors: "Mapping[str, Tensor]") -> None:
    """Writes a checkpoint folder, replacing an existing one.

    Args:
        directory: Folder; created if absent.
        config: Description of the network and its training.
        tensors: Tensors of the network by name, from `network_tensors`.
    """
    from safetensors.torch import save_file

    with whole_file(directory / WEIGHTS_FILE) as partial, system_errors():
        # Copies, since the format rejects tensors that share memory, such as tied weights of a plug-in.
        save_file(
            {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()},
            partial,
            _header(config),
        )
    write_config(directory, config)


def write_config(directory: Path, config: CheckpointConfig) -> None:
    """Writes `config.json` alone, replacing an existing one."""
    write_text_whole(directory / CONFIG_FILE, json.dumps(config.as_document(), indent=2, ensure_ascii=False) + "\n")


def read_config(directory: Path) -> CheckpointConfig:
    """Reads and validates `config.json`.

    Raises:
        ModelError: If the file is absent, is not JSON, or contains a value that this version does not support.
    """
    path = directory / CONFIG_FILE
    if not path.is_file():
        raise ModelError(
            f"{directory} has no {CONFIG_FILE}; expected a checkpoint folder with {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    try:
        document = json_file(path)
    except (OSError, ValueError) as cause:
        raise ModelError(f"{path} is not JSON ({cause}); copy the checkpoint again") from cause
    if not isinstance(document, dict):
        raise ModelError(f"{path} contains a {type(document).__name__}; expected a JSON object")
    return _Reader(path, document).config()


def require_own_weights(directory: Path, config: CheckpointConfig) -> None:
    """Checks that the weights of a plug-in's network belong to the network that `config.json` describes.

    Raises:
        ModelError: If the file is absent or corrupt, or belongs to another network.
    """
    from safetensors import SafetensorError, safe_open

    path = directory / WEIGHTS_FILE
    if not path.is_file():
        raise ModelError(f"{directory} has no {WEIGHTS_FILE}; copy the whole checkpoint folder")
    try:
        with safe_open(path, framework="numpy") as file:
            found = file.metadata()
    except (SafetensorError, OSError) as cause:
        raise ModelError(
            f"{path} cannot be read as safetensors ({shown(str(cause), 300)}); copy the checkpoint again"
        ) from cause
    expected = _header(config)
    if expected is not None and found != expected:
        raise ModelError(
            f"{path} belongs to {(found or {}).get(_HEADER, 'an unnamed network')[:200]}; expected "
            f"{expected[_HEADER]}, as in {CONFIG_FILE}; copy the whole checkpoint folder"
        )


def _header(config: CheckpointConfig) -> dict[str, str] | None:
    """The header that identifies the weights of a plug-in's network; weights of this project's networks have none."""
    if config.plugin is None:
        return None
    network = {
        "architecture": config.architecture,
        "package": config.plugin.package,
        "version": config.plugin.version,
        "arguments": plain(config.arguments),
    }
    return {_HEADER: json.dumps(network, sort_keys=True)}


def read_tensors(directory: Path, expected: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Reads `model.safetensors`, which must contain exactly the expected tensors.

    Args:
        directory: Checkpoint folder.
        expected: Tensors of the network by name; names, shapes and types are compared.

    Raises:
        ModelError: If the file is absent or corrupt, or a tensor is missing, unexpected, not finite, or has another
            shape or type.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = directory / WEIGHTS_FILE
    if not path.is_file():
        raise ModelError(f"{directory} has no {WEIGHTS_FILE}; copy the whole checkpoint folder")
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as cause:
        raise ModelError(
            f"{path} cannot be read as safetensors ({shown(str(cause), 300)}); copy the checkpoint again"
        ) from cause
    _require_same_tensors(path, found, expected)
    return found


def file_hashes(directory: Path) -> dict[str, str]:
    """sha256 of the two checkpoint files, by file name.

    Raises:
        ModelError: If a file is absent.
    """
    hashes = {}
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        path = directory / name
        if not path.is_file():
            raise ModelError(f"{directory} has no {name}; copy the whole checkpoint folder")
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
        raise ModelError(
            f"{path} contains the unexpected tensor {unexpected[0]!r} ({len(unexpected)} in all); {remedy}"
        )
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            raise ModelError(
                f"tensor {name!r} of {path} has shape {tuple(found[name].shape)}; expected {tuple(tensor.shape)}; "
                + remedy
            )
        if found[name].dtype != tensor.dtype:
            raise ModelError(f"tensor {name!r} of {path} is {found[name].dtype}; expected {tensor.dtype}; {remedy}")
        if not bool(found[name].isfinite().all()):
            raise ModelError(f"tensor {name!r} of {path} contains numbers that are not finite; train the model again")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Extracts validated values from the JSON object of a config."""

    path: Path
    document: Mapping[str, Any]

    def config(self) -> CheckpointConfig:
        """The complete config."""
        architecture = self._architecture()
        elements = self._elements()
        plugin = self._plugin()
        return CheckpointConfig(
            architecture=architecture,
            arguments=self._arguments() if architecture in ARCHITECTURES else self._other_arguments(plugin),
            elements=elements,
            reference_energies=self._reference_energies(elements),
            dtype=self._one_of("dtype", get_args(DtypeName)),
            trained_on=self._text("trained_on"),
            protocol=self._one_of("protocol", get_args(ProtocolName)),
            level_of_theory=self._text("level_of_theory"),
            training=self._object("training"),
            baseline=self._one_of("baseline", BASELINES) if self.document.get("baseline") is not None else None,
            started_from=self._object("started_from") if self.document.get("started_from") is not None else None,
            plugin=plugin,
        )

    def _architecture(self) -> str:
        newer = "; a newer release of this package may read it"
        self._one_of("format", (FORMAT,), newer)
        version = self._value("format_version")
        if version not in READABLE_VERSIONS or isinstance(version, bool):
            raise self._error("format_version", version, f"one of {READABLE_VERSIONS}{newer}")
        if self._one_of("family", (*PACKAGES, PLUGIN_FAMILY), newer) == PLUGIN_FAMILY:
            return self._text("architecture")
        architecture = self._one_of("architecture", (*ARCHITECTURES, *FOUNDATIONS))
        self._one_of("family", (FAMILIES[architecture],))
        return architecture

    def _plugin(self) -> PluginRecord | None:
        if self.document["family"] != PLUGIN_FAMILY:
            return None
        found = self._object("plugin")
        patterns = {"package": _PACKAGE, "version": _VERSION}
        if found.keys() != patterns.keys() or not all(
            isinstance(found[key], str) and pattern.fullmatch(found[key]) for key, pattern in patterns.items()
        ):
            raise self._error("plugin", found, "the package of the architecture and the version of the package")
        field = self._value("receptive_field")
        if field is not None and (not _is_finite(field) or field <= 0.0):
            raise self._error("receptive_field", field, "a length in Å above 0, or null")
        return PluginRecord(found["package"], found["version"], None if field is None else float(field))

    def _error(self, key: str, found: object, expected: str) -> ModelError:
        return ModelError(f"{self.path}: {key} is {quoted(found)}; expected {expected}")

    def _value(self, key: str) -> Any:
        if key not in self.document:
            raise ModelError(f"{self.path} has no {key!r}; expected a checkpoint written by `python -m harness train`")
        return self.document[key]

    def _text(self, key: str) -> str:
        found = self._value(key)
        if not isinstance(found, str) or not found:
            raise self._error(key, found, "a non-empty string")
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

    def _other_arguments(self, plugin: PluginRecord | None) -> dict[str, Any]:
        """The arguments of a foundation model, or of a plug-in, which validates them when it builds the network."""
        found = self._object("arguments")
        self._require_sizes({"layers": None, "cutoff": None, **found}, *(() if plugin else ("layers",)))
        return found

    def _require_sizes(self, found: Mapping[str, Any], *whole_numbers: str) -> None:
        for name in whole_numbers:
            if not isinstance(found[name], int) or isinstance(found[name], bool) or found[name] < 1:
                raise self._error(f"arguments.{name}", found[name], "a whole number of 1 or more")
        for name, largest in LARGEST.items():
            if isinstance(found.get(name), int) and found[name] > largest:
                raise self._error(f"arguments.{name}", found[name], f"a whole number from 1 to {largest:,}")
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
    # Python's whole numbers may exceed every floating-point number.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
