"""Finds the potential for a name or a path, and loads it.

A family is one adapter file, which exports its record. Nothing heavy is imported before `load_potential` knows which
family it needs.
"""

import functools
import importlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from dataset_builders.core.errors import MissingPackageError, ModelError, SetupError, UsageError
from harness.compute.device import does_not_fit, is_out_of_memory
from harness.compute.hardware import peak_resident_of
from harness.compute.meter import Meter, meter_of
from harness.compute.staging import staged
from harness.core.batch import Prediction, StructureBatch
from harness.core.family import Family
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.models.detection import WHOLE, Files, find_checkpoint, find_record
from harness.models.families import own_families
from harness.trust.standard_output import printing_on_standard_error
from harness.trust.surroundings import Surroundings, inside

PLUGINS: Final = "mlip_ood.families"
"""Group of entry points through which installed packages add families; each names a `Family`."""

REFERENCE: Final = "reference"
REFERENCE_DIRECTORY: Final = Path(__file__).resolve().parent.parent / "networks" / "reference"
"""The checkpoint that comes with the package."""

MOST_FILES: Final = 10_000
"""Maximum number of files in a folder that is searched."""

_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The model that a model string denotes.

    Attributes:
        model_id: Name of the model in results: a name or path as the user wrote it, or a Hub id without its
            revision.
        family: The family that reads it.
        path: The local checkpoint, or `None` for a method without one.
        revision: Commit on the Hub, if it came from there.
        record: The local training record; see `harness.core.training_record`.
    """

    model_id: str
    family: Family
    path: Path | None
    revision: str | None = None
    record: Path | None = None


def families() -> tuple[Family, ...]:
    """All families: those of this package, and those added by installed packages."""
    return own_families() + _added_families()


@functools.cache
def _added_families() -> tuple[Family, ...]:
    added: list[Family] = []
    for entry in entry_points(group=PLUGINS):
        place = f"the entry point {entry.name!r} of {entry.dist.name if entry.dist else entry.value}"
        # Whatever another package raises on import, the error must name that package.
        try:
            with printing_on_standard_error(), inside(Surroundings(place)):
                family = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as cause:
            raise SetupError(
                f"{place} cannot be loaded ({type(cause).__name__}: {cause}); correct or uninstall that package"
            ) from cause
        if not isinstance(family, Family):
            raise SetupError(f"{place} is a {type(family).__name__}; expected a harness.core.family.Family")
        if any(
            family.name == known.name or set(family.methods) & {*known.methods} for known in (*own_families(), *added)
        ):
            raise SetupError(
                f"{place} adds the family {family.name}, but another family has the same name or methods; rename it "
                "there, or uninstall that package"
            )
        added.append(family)
    return tuple(added)


def known_names() -> tuple[str, ...]:
    """The names that denote a potential without a path."""
    return (*(method for family in families() for method in family.methods), REFERENCE)


def readers() -> dict[str, Family]:
    """The families that read checkpoints, by name."""
    return {family.name: family for family in families() if family.needs or family.is_open}


def find_family(name: str) -> Family:
    """The family with a name given by the user.

    Raises:
        UsageError: If there is no such family, or it reads no checkpoints.
    """
    known = readers()
    if name not in known:
        raise UsageError(f"no family {name!r} reads checkpoints; families that do: {' '.join(known)}")
    return known[name]


def is_local(model: str) -> bool:
    """Whether a model string is a known name or an existing path.

    Raises:
        UsageError: If it is too long for a path.
    """
    if model in known_names():
        return True
    try:
        return bool(model) and Path(model).exists()
    except OSError as cause:
        raise UsageError(f"cannot look for {model!r}: {cause}; give the path of a checkpoint") from cause


def identify(model: str, family: str | None = None) -> ModelSource:
    """Finds the family of a known name or a local checkpoint, without importing it.

    A known name takes precedence over a file of that name in the working directory; write `./zero` for the file.

    Args:
        model: A known name, or the path of a checkpoint.
        family: The family of the checkpoint, if its files do not identify it; a known name has its own.

    Raises:
        UsageError: If the string is neither a known name nor an existing path, or there is no such family.
        ModelError: If the path contains no checkpoint of a known family, or more than one.
    """
    named = None if family is None else find_family(family)
    for known in families():
        if model in known.methods:
            return ModelSource(model, known, None)
    if model == REFERENCE:
        if not REFERENCE_DIRECTORY.is_dir():
            raise ModelError(f"this installation lacks the reference checkpoint at {REFERENCE_DIRECTORY}; reinstall it")
        return _source(model, REFERENCE_DIRECTORY, _files_below(REFERENCE_DIRECTORY))
    if named is not None and named.is_open:
        return _source_of_any(model, named)
    if not is_local(model):
        raise _absent(model)
    path = Path(model)
    if path.is_dir():
        return _source(model, path, _files_below(path), named)
    return _source(model, path.parent, _files_beside(path), named, path.name)


def load_potential(model: str | ModelSource, options: LoadOptions) -> Potential:
    """Loads a potential.

    Args:
        model: A known name or the path of a checkpoint, or the result of `harness.models.resolve.resolve_model`.
        options: Device, precision, trust and threads.

    Returns:
        The potential, whose traits have the model id and the revision of the source.

    Raises:
        UsageError: If the model is unknown, or does not support the options.
        ModelError: If the checkpoint cannot be loaded.
        SetupError: If it does not fit on the device.
        MissingPackageError: If the package of its family is not installed.
    """
    source = identify(model) if isinstance(model, str) else model
    family = source.family
    if family.extra is not None and importlib.util.find_spec(family.package) is None:
        raise MissingPackageError(family.package, family.extra, f"loading {source.model_id} (family {family.name})")
    adapter: Any = importlib.import_module(family.module)
    try:
        potential: Potential = adapter.load(source.path or source.model_id, options)
    except Exception as cause:
        if is_out_of_memory(cause):
            raise does_not_fit(source.model_id, options, cause) from cause
        raise
    return named_as(potential, source)


def named_as(potential: Potential, source: ModelSource) -> Potential:
    """A potential whose traits have the model id and the revision of its source."""
    return with_traits(potential, replace(potential.traits, model_id=source.model_id, revision=source.revision))


def with_traits(potential: Potential, traits: PotentialTraits) -> Potential:
    """A potential with other traits."""
    return potential if potential.traits == traits else _Renamed(potential, traits)


@dataclass(frozen=True, slots=True)
class _Renamed:
    """A potential under the name that the user gave it (`reference`, not the path of an installation)."""

    potential: Potential
    traits: PotentialTraits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Computes the batch with the potential."""
        return self.potential.compute(batch)

    @property
    def overlaps(self) -> bool:
        """Whether the steps of the potential overlap."""
        return staged(self.potential).overlaps

    def prepare(self, batch: StructureBatch) -> Any:
        """First step of the potential; see `staging`."""
        return staged(self.potential).prepare(batch)

    def launch(self, prepared: Any) -> Any:
        """Second step of the potential."""
        return staged(self.potential).launch(prepared)

    def collect(self, launched: Any) -> Prediction:
        """Third step of the potential."""
        return staged(self.potential).collect(launched)

    def meter(self) -> Meter | None:
        """The meter of the potential; see `meter`."""
        return meter_of(self.potential)

    def peak_resident(self) -> int | None:
        """Peak memory of the process that computes; see `hardware`."""
        return peak_resident_of(self.potential)


def _source(
    model: str, directory: Path, files: Files, family: Family | None = None, picked: str = WHOLE
) -> ModelSource:
    checkpoint = find_checkpoint(files, families(), family, picked)
    record = find_record(frozenset(files.names), checkpoint)
    for name in (*checkpoint.names, *([] if record is None else [record])):
        _require_content(directory / name)
    return ModelSource(
        model_id=model,
        family=checkpoint.family,
        path=directory / checkpoint.path,
        record=None if record is None else directory / record,
    )


def _source_of_any(model: str, family: Family) -> ModelSource:
    """The model for a path, or a name that is not a known one, in a family that accepts any."""
    from harness.core.training_record import RECORD_NAME, record_place  # see `find_record`

    if not is_local(model):
        return ModelSource(model, family, None)
    path = Path(model)
    places = [path / RECORD_NAME] if path.is_dir() else [record_place(path), path.with_name(RECORD_NAME)]
    return ModelSource(model, family, path, record=next((place for place in places if place.is_file()), None))


def _require_content(path: Path) -> None:
    """Checks that a file is not the pointer that Git leaves if Git LFS is not installed."""
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_LFS_POINTER))
    except OSError as cause:
        raise ModelError(f"cannot read the checkpoint {path}: {cause}") from cause
    if start == _LFS_POINTER:
        raise ModelError(f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder")


def _files_below(directory: Path) -> Files:
    names = []
    for name in _names_below(directory):
        names.append(name)
        if len(names) > MOST_FILES:
            raise ModelError(
                f"{directory} contains more than {MOST_FILES} files; give the path of the checkpoint itself"
            )
    return Files(str(directory), tuple(sorted(names)), directory.joinpath)


def _names_below(directory: Path) -> Iterator[str]:
    """Files in a folder and its subfolders, except hidden ones such as `.git`."""

    def refuse(cause: OSError) -> None:
        raise ModelError(
            f"cannot read the folder {cause.filename}: {cause.strerror}; give the path of the checkpoint itself"
        )

    for place, folders, names in os.walk(directory, onerror=refuse):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        for name in names:
            yield (Path(place) / name).relative_to(directory).as_posix()


def _files_beside(path: Path) -> Files:
    try:
        names = tuple(sorted(entry.name for entry in path.parent.iterdir() if entry.is_file()))
    except OSError as cause:
        raise ModelError(
            f"cannot read the folder {path.parent}: {cause.strerror}; copy the checkpoint elsewhere"
        ) from cause
    return Files(str(path.parent), names, path.parent.joinpath)


def _absent(model: str) -> UsageError:
    if "/" in model or Path(model).suffix:
        return UsageError(f"there is no file or directory {model!r}; give the path of a checkpoint that exists")
    return UsageError(
        f"unknown model {model!r}; known names: {' '.join(known_names())}, the path of a checkpoint, "
        "or a Hub id org/name"
    )
