"""The map file, which describes trajectories: their task, labels, units, source and licence."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataset_builders.chemistry.charge_and_spin import SpinMeaning
from dataset_builders.chemistry.levels import LEVELS, Level, LevelName, find_level, other_level
from dataset_builders.core.errors import UsageError
from dataset_builders.core.parsed_text import parse_toml
from dataset_builders.core.shown import quoted
from dataset_builders.core.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL, MILLI
from dataset_builders.folder.provenance import FirstFrames, Line
from dataset_builders.importing.presets import Preset, find_preset
from dataset_builders.tasks.editions import FRAMES_PER_BURST, TRAJECTORIES, TrajectoryName
from dataset_builders.tasks.regions import TASKS, Task, find_task
from dataset_builders.tasks.task_document import first_problem, parse_task, read_task_file

EnergyUnit = Literal["eV", "meV", "hartree", "kcal/mol", "kJ/mol"]
LengthUnit = Literal["angstrom", "bohr", "nm"]

_ENERGY: Final[Mapping[EnergyUnit, float]] = {
    "eV": 1.0,
    "meV": MILLI,
    "hartree": HARTREE,
    "kcal/mol": KCAL_PER_MOL,
    "kJ/mol": KJ_PER_MOL,
}
_LENGTH: Final[Mapping[LengthUnit, float]] = {"angstrom": 1.0, "bohr": BOHR, "nm": 10.0}
_FORCE: Final = {f"{energy}/{length}": _ENERGY[energy] / _LENGTH[length] for energy in _ENERGY for length in _LENGTH}

_SHORT_NAMES: Final[Mapping[LevelName, tuple[str, ...]]] = {"gfn2-xtb": ("gfn2",)}

_Text = Annotated[str, Field(min_length=1, max_length=500)]
_Patterns = Annotated[list[_Text], Field(min_length=1)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LabelsDocument(_Document):
    """The labels: their level of theory, units and keys in the files.

    Attributes:
        level: A named level of theory, such as `pbe-d3bj`.
        method: Method and basis of any other level.
        computed: Program and settings of the calculation.
        energy_unit: Unit of the energies.
        length_unit: Unit of the positions.
        force_unit: Unit of the forces; by default the energy unit over the length unit.
        energy_key: Key of the energy in ASE's `info`; by default the energy that ASE recognises.
        forces_key: Key of the forces in ASE's `arrays`; by default the forces that ASE recognises.
        gradients_key: Instead of `forces_key`: key of the energy gradient, which has the opposite sign.
        gradient_unit: Instead of `force_unit`: unit of the gradient; by default the energy unit over the length unit.
        spin: Meaning of the key `spin` in the files.
        ignored_keys: Keys that look like charge or spin of the molecule, or like convergence, but are not.
        temperature: Temperature of the molecular dynamics, K; used by the check of outlying energies.
    """

    level: str | None = None
    method: Line | None = None
    computed: Line = "not stated"
    energy_unit: EnergyUnit = "eV"
    length_unit: LengthUnit = "angstrom"
    force_unit: str | None = None
    energy_key: _Text | None = None
    forces_key: _Text | None = None
    gradients_key: _Text | None = None
    gradient_unit: str | None = None
    spin: SpinMeaning | None = None
    ignored_keys: list[_Text] = []
    temperature: Annotated[float, Field(gt=0.0, le=5000.0)] = 300.0


class MapDocument(_Document):
    """Content of a map file.

    Attributes:
        task: The task: one of the four by name, or a declaration of one.
        task_file: A file that declares the task, relative to the map; instead of `task`.
        primary: Glob patterns of the files for `train` and `test_ood`.
        secondary: Glob patterns of the files for `validation` and `test_id`.
        ignored: Glob patterns of files in folders and repos that are not read.
        stride: Interval between imported frames; 1 for every frame.
        first_frames: Numbers of secondary frames in `validation` and `test_id`, if they are the first ones and those
            after them; by default every fifth block of five frames is `validation`.
        source: Source of the data.
        licence: Licence of the data.
        labels: The labels.
    """

    task: str | dict[str, Any] | None = None
    task_file: _Text | None = None
    primary: _Patterns
    secondary: _Patterns
    ignored: list[_Text] = []
    stride: Annotated[int, Field(ge=1)] = 1
    first_frames: FirstFrames | None = None
    source: Line
    licence: Line
    labels: LabelsDocument


@dataclass(frozen=True, slots=True)
class ImportMap:
    """Description of the trajectories.

    Attributes:
        task: The task.
        level: Level of theory of the labels.
        computed: Program and settings of their calculation.
        temperature: Temperature of the molecular dynamics, K.
        patterns: Glob patterns of the files of each trajectory.
        ignored: Glob patterns of files in folders and repos that are not read.
        naming_hint: What is known of the names of the files, for messages; empty without a preset.
        stride: Interval between imported frames; 1 for every frame.
        first_frames: Numbers of secondary frames in `validation` and `test_id`; `None` for alternating blocks.
        source: Source of the data.
        licence: Licence of the data.
        energy_key: Key of the energy in ASE's `info`; `None` for the energy that ASE recognises.
        forces_key: Key of the forces in ASE's `arrays`, likewise.
        gradients_key: Key of the gradient in ASE's `arrays`, if forces are computed from it.
        energy_factor: Conversion factor from the energy unit of the files to eV.
        length_factor: Conversion factor to Å.
        force_factor: Conversion factor to eV/Å, including the sign of a gradient.
        spin: Meaning of the key `spin` in the files; `None` if not stated.
        ignored_keys: Keys that look like charge or spin of the molecule, or like convergence, but are not.
    """

    task: Task
    level: Level
    computed: str
    temperature: float
    patterns: Mapping[TrajectoryName, tuple[str, ...]]
    ignored: tuple[str, ...]
    naming_hint: str
    stride: int
    first_frames: FirstFrames | None
    source: str
    licence: str
    energy_key: str | None
    forces_key: str | None
    gradients_key: str | None
    energy_factor: float
    length_factor: float
    force_factor: float
    spin: SpinMeaning | None
    ignored_keys: tuple[str, ...]

    @property
    def config(self) -> str:
        """Name of the configuration."""
        return self.level.config(self.task.name)

    @property
    def n_validation(self) -> int | None:
        """Number of first secondary frames that are validation, after the stride; `None` for alternating blocks."""
        return None if self.first_frames is None else self.first_frames.n_validation(self.stride)

    @property
    def n_secondary(self) -> int | None:
        """Number of frames of each secondary trajectory, after the stride; `None` if it is not fixed."""
        return None if self.first_frames is None else self.first_frames.n_frames(self.stride)

    def is_ignored(self, name: str) -> bool:
        """Whether a file of a folder or repo is not to be read."""
        return _matches(name, self.ignored)

    def matches(self, name: str) -> bool:
        """Whether a pattern of either trajectory matches a file."""
        return any(_matches(name, self.patterns[trajectory]) for trajectory in TRAJECTORIES)

    def trajectory_of(self, name: str) -> TrajectoryName:
        """The trajectory of a file.

        Args:
            name: Its path, with slashes; patterns apply to the path and to its last part.

        Raises:
            UsageError: If no pattern, or patterns of both trajectories, match.
        """
        found = [trajectory for trajectory in TRAJECTORIES if _matches(name, self.patterns[trajectory])]
        if len(found) != 1:
            seen = "both" if found else "none"
            raise UsageError(
                f"of the patterns primary {list(self.patterns['primary'])} and secondary "
                f"{list(self.patterns['secondary'])}, {seen} match {name}; expected one of the two to match each file"
                f"{self.naming_hint}"
            )
        return found[0]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    texts = (name, name.rpartition("/")[2])
    return any(fnmatchcase(text, pattern) for text in texts for pattern in patterns)


def read_import_map(path: Path) -> ImportMap:
    """Reads a map file.

    Raises:
        UsageError: If it cannot be read, is not TOML, or is not a valid map.
    """
    try:
        content = parse_toml(path.read_text(encoding="utf-8"))
        preset = find_preset(content.pop("preset")) if "preset" in content else None
        document = MapDocument.model_validate(content if preset is None else preset.completed(content))
    except (OSError, UnicodeDecodeError) as cause:
        raise UsageError(f"cannot read the map {path}: {cause}") from cause
    except TOMLDecodeError as cause:
        raise UsageError(f"{path} is not TOML: {cause}") from cause
    except ValidationError as cause:
        raise UsageError(f"{path} is not a valid map: {first_problem(cause)}; see docs/import.md") from cause
    _require_whole_blocks(document, path)
    return _import_map(document, preset, path)


def _import_map(document: MapDocument, preset: Preset | None, path: Path) -> ImportMap:
    labels = document.labels
    return ImportMap(
        task=_task(document, path),
        level=_level(labels, path),
        computed=labels.computed,
        temperature=labels.temperature,
        patterns={"primary": tuple(document.primary), "secondary": tuple(document.secondary)},
        ignored=tuple(document.ignored),
        naming_hint="" if preset is None else preset.naming_hint,
        stride=document.stride,
        first_frames=document.first_frames,
        source=document.source,
        licence=document.licence,
        energy_key=labels.energy_key,
        forces_key=labels.forces_key,
        gradients_key=labels.gradients_key,
        energy_factor=_ENERGY[labels.energy_unit],
        length_factor=_LENGTH[labels.length_unit],
        force_factor=_force_factor(labels, path),
        spin=labels.spin,
        ignored_keys=tuple(labels.ignored_keys),
    )


def _require_whole_blocks(document: MapDocument, path: Path) -> None:
    """A block of frames is never in two splits, as `certify` requires."""
    if document.first_frames is None:
        return
    first, stride = document.first_frames, document.stride
    n_validation = first.n_validation(stride)
    if n_validation % FRAMES_PER_BURST:
        raise UsageError(
            f"{path}: first_frames.validation = {first.validation} with stride = {stride} gives {n_validation} frames; "
            f"expected a multiple of {FRAMES_PER_BURST}, since blocks of {FRAMES_PER_BURST} frames stay in one split"
        )


def _task(document: MapDocument, path: Path) -> Task:
    if (document.task is None) == (document.task_file is None):
        raise UsageError(f"{path}: expected either task or task_file")
    if document.task_file is not None:
        return read_task_file(path.parent / document.task_file)
    if isinstance(document.task, str):
        if document.task not in TASKS:
            raise UsageError(
                f"{path}: task = {quoted(document.task)}; expected one of {' '.join(TASKS)}, a table [task], or "
                "task_file"
            )
        return find_task(document.task)
    return parse_task(document.task, f"{path}, task,")


def _level(labels: LabelsDocument, path: Path) -> Level:
    if (labels.level is None) == (labels.method is None):
        raise UsageError(
            f"{path}: expected either labels.level, one of {' '.join(LEVELS)}, or labels.method, the name of another"
        )
    if labels.level is not None:
        return find_level(labels.level)
    method = str(labels.method).strip()
    for level in LEVELS.values():
        if _plain(method) in (_plain(level.name), _plain(level.method), *_SHORT_NAMES.get(level.name, ())):
            raise UsageError(f"{path}: labels.method = {method!r} is a named level; write level = {level.name!r}")
    if not method:
        raise UsageError(f"{path}: labels.method is blank; expected method and basis, such as 'PBE0/def2-SVP'")
    return other_level(method, labels.computed)


def _plain(method: str) -> str:
    """A method without what spellings of it differ in: case, white space, hyphens and parentheses."""
    text = method.lower().replace("ω", "w").replace("*", "(d)")
    return "".join(each for each in text if each.isalnum() or each == "+")


def _force_factor(labels: LabelsDocument, path: Path) -> float:
    """Conversion factor from the values in the files to forces in eV/Å, with the sign of a gradient reversed."""
    if labels.gradients_key is None:
        if labels.gradient_unit is not None:
            raise UsageError(f"{path}: labels.gradient_unit without labels.gradients_key; expected force_unit, or both")
        return _factor("force_unit", labels.force_unit, labels, path)
    for name in ("forces_key", "force_unit"):
        if getattr(labels, name) is not None:
            raise UsageError(
                f"{path}: labels.gradients_key with labels.{name}; expected either forces, with forces_key and "
                "force_unit, or a gradient, with gradients_key and gradient_unit"
            )
    return -_factor("gradient_unit", labels.gradient_unit, labels, path)


def _factor(key: str, stated: str | None, labels: LabelsDocument, path: Path) -> float:
    unit = stated or f"{labels.energy_unit}/{labels.length_unit}"
    if unit not in _FORCE:
        raise UsageError(
            f"{path}: labels.{key} = {quoted(unit)}; expected one of {', '.join(get_args(EnergyUnit))} over one of "
            f"{', '.join(get_args(LengthUnit))}, such as 'kcal/mol/angstrom'"
        )
    return _FORCE[unit]
