"""Detects the family of a checkpoint from file names and small files, before anything large is downloaded."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dataset_builders.core.errors import DataError, ModelError
from dataset_builders.core.hub.explaining import first_line
from dataset_builders.core.parsed_text import json_file
from dataset_builders.core.shown import quoted
from dataset_builders.core.yaml_bounds import bounded_yaml
from harness.core.family import Family

CHECKPOINT_FORMAT: Final = "mlip-ood-checkpoint"
CONFIG_NAME: Final = "config.json"
CARD_NAME: Final = "README.md"
WHOLE: Final = "."
"""The path that denotes all of the files."""

MAX_LISTED: Final = 10
"""Number of files that a message names."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a folder or repo in which to look for a checkpoint.

    Attributes:
        place: The folder or repo as the user named it.
        names: Their paths in it, ascending, with `/` between the parts.
        bring: Returns the local path of one of them, which it may have to download.
    """

    place: str
    names: tuple[str, ...]
    bring: Callable[[str], Path]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint among files.

    Attributes:
        family: The family that reads it.
        path: Argument of its adapter: the path of a file or folder, `WHOLE` for the place itself.
        names: The files of the checkpoint.
    """

    family: Family
    path: str
    names: tuple[str, ...]


def find_checkpoint(
    files: Files, families: Sequence[Family], family: Family | None = None, path: str = WHOLE
) -> Checkpoint:
    """Finds the one checkpoint among files.

    Its family is the one that the user named; otherwise that in a config.json of this project's format; otherwise
    that of the model card (`library_name`, then tags); otherwise the one whose patterns the files match.

    Args:
        files: Where to look.
        families: All known families.
        family: The family that the user named, if any.
        path: A file or folder that the user chose.

    Raises:
        ModelError: If there is no checkpoint of a known family, or more than one.
    """
    if path in files.names:
        return _checkpoint_of_file(files, path, families, family)
    if path != WHOLE:
        return _checkpoint_below(files, path, families, family)
    found = (
        family
        or _family_of_config(files, families)
        or _family_of_card(files, families)
        or _family_of_names(files, families)
    )
    return _only_checkpoint(files, found)


def find_record(names: Collection[str], checkpoint: Checkpoint) -> str | None:
    """The training record of a checkpoint: the file beside it, otherwise the nearest one in a parent folder.

    Args:
        names: Paths of all files in the place where the checkpoint was found.
        checkpoint: The checkpoint.
    """
    from harness.core.training_record import RECORD_NAME  # not in a worker, whose environment may lack pydantic

    is_file = checkpoint.path in checkpoint.names
    place = PurePosixPath(checkpoint.path)
    above = place.parents if is_file else (place, *place.parents)
    beside = [f"{checkpoint.path}.{RECORD_NAME}"] if is_file else []
    candidates = [*beside, *((folder / RECORD_NAME).as_posix() for folder in above)]
    return next((name for name in candidates if name in names), None)


def _checkpoint_of_file(files: Files, name: str, families: Sequence[Family], family: Family | None) -> Checkpoint:
    """The checkpoint that a chosen file is, or belongs to."""
    if family is not None and family.files:
        return Checkpoint(family, name, (name,))
    possible = families if family is None else (family,)
    readers = [reader for reader in possible if _matches(name, reader.files)]
    if readers:
        known = readers[0] if len(readers) == 1 else _family_of_card(files, readers)
        if known is None:
            raise _ambiguous(f"{files.place}/{name}", readers)
        return Checkpoint(known, name, (name,))
    if any(_matches(name, reader.folder) for reader in possible):
        return find_checkpoint(files, families, family, PurePosixPath(name).parent.as_posix())
    suffix = PurePosixPath(name).suffix
    raise ModelError(
        f"{files.place}/{name} {f'ends in {suffix!r}' if suffix else 'has no suffix'}, which is not a known "
        f"checkpoint; expected {_expected(possible)}. Name its family with --family if it is one of these under "
        "another name"
    )


def _checkpoint_below(files: Files, folder: str, families: Sequence[Family], family: Family | None) -> Checkpoint:
    """The checkpoint in a chosen folder."""
    start = f"{folder}/"
    inside = tuple(name.removeprefix(start) for name in files.names if name.startswith(start))
    if not inside:
        raise ModelError(f"{files.place} has no file or folder {folder!r}; {_its_files(files)}. Check the spelling")
    below = Files(f"{files.place}/{folder}", inside, lambda name: files.bring(start + name))
    found = find_checkpoint(below, families, family)
    path = folder if found.path == WHOLE else start + found.path
    return replace(found, path=path, names=tuple(start + name for name in found.names))


def _family_of_config(files: Files, families: Sequence[Family]) -> Family | None:
    """The family named in a config.json of this project's format."""
    config = _config(files)
    if config.get("format") != CHECKPOINT_FORMAT:
        return None
    readable = {family.name: family for family in families if family.in_config}
    named = config.get("family")
    if not isinstance(named, str) or named not in readable:
        raise ModelError(
            f"{files.place}/{CONFIG_NAME} has family {quoted(named)}; expected one of: {' '.join(readable)}. "
            "A newer version of this package may support it"
        )
    return readable[named]


def _config(files: Files) -> dict[str, Any]:
    if CONFIG_NAME not in files.names:
        return {}
    try:
        config = json_file(files.bring(CONFIG_NAME))
    except (OSError, ValueError) as cause:
        raise ModelError(f"cannot read {files.place}/{CONFIG_NAME}: {cause}; expected a JSON object") from cause
    return config if isinstance(config, dict) else {}


def _family_of_card(files: Files, families: Sequence[Family]) -> Family | None:
    """The family in `library_name` of the model card, or the only one of its tags whose files are present."""
    card = _card(files)
    library = str(card.get("library_name")).lower()
    for family in families:
        if library in family.library_names:
            return family
    listed = card.get("tags")
    tags = {str(tag).lower() for tag in listed} if isinstance(listed, list) else set()
    tagged = [family for family in families if tags & set(family.tags) and _checkpoints(files, family)]
    return tagged[0] if len(tagged) == 1 else None


def _card(files: Files) -> dict[str, Any]:
    """The metadata at the head of the model card; empty if there is none."""
    if CARD_NAME not in files.names:
        return {}
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    try:
        found = REGEX_YAML_BLOCK.search(files.bring(CARD_NAME).read_text(encoding="utf-8"))
        card = bounded_yaml(found[2], "its front matter") if found is not None else {}
        if not isinstance(card, dict | None):
            raise ValueError(f"its front matter is a {type(card).__name__}")
    except (OSError, ValueError, DataError) as cause:
        raise ModelError(
            f"cannot read the metadata of {files.place}/{CARD_NAME}: {first_line(cause)}; expected YAML. "
            "Name the family with --family, which needs no card"
        ) from cause
    return card or {}


def _family_of_names(files: Files, families: Sequence[Family]) -> Family:
    """The only family whose patterns the files match."""
    found = [family for family in families if not family.in_config and _checkpoints(files, family)]
    if len(found) > 1:
        raise _ambiguous(files.place, found)
    if found:
        return found[0]
    config = (
        f" (its {CONFIG_NAME} has format {quoted(_config(files).get('format'))}; expected {CHECKPOINT_FORMAT!r})"
        if CONFIG_NAME in files.names
        else ""
    )
    raise ModelError(
        f"{files.place} contains no checkpoint of a known family{config}; {_its_files(files)}; expected "
        f"{_expected(families)}. Name the family with --family, or give the path of the checkpoint itself"
    )


def _only_checkpoint(files: Files, family: Family) -> Checkpoint:
    found = _checkpoints(files, family)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ModelError(
            f"{files.place} lacks what the family {family.name} needs: {family.needs or 'it reads no checkpoints'}; "
            f"{_its_files(files)}. Name another family with --family, or give the path of the checkpoint itself"
        )
    raise ModelError(
        f"{files.place} contains {len(found)} checkpoints of the family {family.name}: "
        f"{_listed([checkpoint.path for checkpoint in found])}. Choose one: --model {files.place}/{found[0].path}"
    )


def _checkpoints(files: Files, family: Family) -> list[Checkpoint]:
    """All checkpoints of a family among files."""
    single = [Checkpoint(family, name, (name,)) for name in files.names if _matches(name, family.files)]
    if not family.folder:
        return single
    by_folder: dict[str, list[str]] = {}
    for name in files.names:
        if _matches(name, family.folder):
            by_folder.setdefault(PurePosixPath(name).parent.as_posix(), []).append(name)
    whole = {
        folder: Checkpoint(family, folder, tuple(names))
        for folder, names in by_folder.items()
        if all(any(_matches(name, (pattern,)) for name in names) for pattern in family.folder)
    }
    # If there is a checkpoint at the top, those in subfolders are its history, such as intermediate states of training.
    return [whole[WHOLE]] if WHOLE in whole else [*whole.values(), *single]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(PurePosixPath(name).name, pattern) for pattern in patterns)


def _ambiguous(place: str, families: Sequence[Family]) -> ModelError:
    names = [family.name for family in families]
    return ModelError(f"{place} may belong to the families {' and '.join(names)}; choose one with --family")


def _expected(families: Sequence[Family]) -> str:
    return "; ".join(f"{family.needs} (family {family.name})" for family in families if family.needs)


def _its_files(files: Files) -> str:
    return f"its files: {_listed(files.names)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_LISTED
    return (", ".join(names[:MAX_LISTED]) or "none") + (f" and {more} more" if more > 0 else "")
