"""Stores labels in small Parquet files for version control, independent of the machine that computed them.

A folder of kept labels has a subfolder for each recipe, named by a hash of the level's settings and programs, as in a
work folder. Its files never change. Each is named after its content, so files from several machines can coexist.
A row contains the exact geometry, its identity, its label and the label of the source. Reading verifies recipe,
checksum, key of each geometry, shapes and ranges.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.whole_file import whole_file
from dataset_builders.folder.schema import METADATA_KEY, SCHEMA, read_metadata
from dataset_builders.relabel.frames_to_label import keys_of, readable
from dataset_builders.relabel.label_store import KEY_BYTES

FORMAT: Final = "kept labels 1"
MAX_FORCE: Final = 100.0
"""eV/Å, per component; dynamics at 300 K stays below 20."""

AGREEMENT: Final = 1e-3
"""eV and eV/Å, between two labels of one geometry by the same recipe on two machines."""

KEPT_SCHEMA: Final = pa.schema(
    [
        pa.field("key", pa.binary(KEY_BYTES)),
        *(field for field in SCHEMA if field.name != "subset"),
        pa.field("source_energy", pa.float64()),
        pa.field("source_forces", pa.list_(pa.float32())),
    ]
)
"""Columns of a split without `subset`, which is specific to a task, plus geometry key and label of the source."""

_REALS: Final = ("positions", "forces", "source_forces")
_REMEDY: Final = "restore it from version control, or delete it and recompute its labels"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The recipe of labels.

    Attributes:
        name: Level and hash of the recipe; name of the folder.
        level_of_theory: Method, programs and settings, as in the metadata of a configuration.
        net_force: Largest norm of the sum of the forces, eV/Å.
    """

    name: str
    level_of_theory: Mapping[str, Any]
    net_force: float


def kept_files(folders: Sequence[Path], recipe: Recipe, *, others_may_be_there: bool = False) -> list[Path]:
    """Files of kept labels of a recipe, ordered by name.

    Args:
        folders: Folders of kept labels.
        recipe: The recipe.
        others_may_be_there: Whether a folder may contain only labels of other recipes.

    Raises:
        UsageError: If a folder is absent, or contains only labels of other recipes.
    """
    paths = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--labels-from {folder}: no such folder; expected one that --keep-labels wrote")
        ours = sorted((folder / recipe.name).glob("*.parquet"))
        others = sorted(path.parent.name for path in folder.glob("*/*.parquet") if path.parent.name != recipe.name)
        if not ours and others and not others_may_be_there:
            raise UsageError(
                f"--labels-from {folder} has labels of {', '.join(dict.fromkeys(others))}; expected {recipe.name}, the "
                "recipe of the programs and settings here. Install the versions in the metadata of its files, or omit "
                "--labels-from to compute all labels here"
            )
        paths += ours
    return sorted(paths, key=lambda path: path.name)


def kept_tables(folders: Sequence[Path], recipe: Recipe) -> Iterator[pa.Table]:
    """The verified rows of all files of a recipe, each geometry once.

    Raises:
        UsageError: As `kept_files` does.
        DataError: If a file is damaged or of another recipe, or two labels of a geometry disagree.
    """
    seen: dict[bytes, tuple[float, np.ndarray[Any, Any]]] = {}
    for path in kept_files(folders, recipe):
        table = read_kept(path, recipe)
        fresh = []
        for key, energy, forces in zip(*(table[name].to_pylist() for name in ("key", "energy", "forces")), strict=True):
            fresh.append(key not in seen)
            known = seen.setdefault(key, (energy, np.array(forces)))
            apart = max(abs(energy - known[0]), float(np.abs(np.array(forces) - known[1]).max()))
            if apart > AGREEMENT:
                raise DataError(
                    f"the labels of geometry {key.hex()} in {path} and in an earlier file differ by {apart:.2g} eV or "
                    f"eV/Å; expected at most {AGREEMENT:g}. Find out which file is wrong, and delete it"
                )
        yield table.filter(pa.array(fresh))


def read_kept(path: Path, recipe: Recipe) -> pa.Table:
    """Reads and verifies a file of kept labels.

    Raises:
        DataError: If it cannot be read, has another recipe or format, or was changed.
    """
    with readable(path):
        table = pq.read_table(path)
        table.validate(full=True)  # Among others that text is UTF-8, which Arrow reads without a look.
    metadata = _metadata_of(table.schema)
    problem = None
    if metadata.get("format") != FORMAT:
        problem = f"its format is {metadata.get('format')!r}; expected {FORMAT!r}"
    elif metadata.get("level_of_theory") != dict(recipe.level_of_theory):
        problem = f"its labels have another recipe than {recipe.name}: {metadata.get('level_of_theory')}"
    elif not table.schema.equals(KEPT_SCHEMA):
        problem = f"its columns are {', '.join(table.schema.names)}; expected {', '.join(KEPT_SCHEMA.names)}"
    elif metadata.get("sha256") != digest_of(table):
        problem = "its rows do not match its checksum"
    else:
        problem = _first_problem(table, recipe)
    if problem is not None:
        raise DataError(f"{path} has no usable labels: {problem}; {_REMEDY}")
    return table


def _metadata_of(schema: pa.Schema) -> dict[str, Any]:
    try:
        return read_metadata(schema)
    except (TypeError, ValueError):
        return {}


def _first_problem(table: pa.Table, recipe: Recipe) -> str | None:
    """Describes the first invalid row."""
    n_atoms = table["n_atoms"].to_numpy()
    for name, each in (("atomic_numbers", 1), *((name, 3) for name in _REALS)):
        lengths = pc.fill_null(pc.list_value_length(table[name]), -1).to_numpy()
        if (lengths != each * n_atoms).any():
            return (
                f"row {int(np.argmax(lengths != each * n_atoms))} has {name} of a length that does not match its atoms"
            )
    if table["key"].to_pylist() != [bytes(key).ljust(KEY_BYTES, bytes(1)) for key in keys_of(table)]:
        return "a key does not match its geometry"
    for row, (energy, flat) in enumerate(zip(table["energy"].to_pylist(), table["forces"].to_pylist(), strict=True)):
        forces = np.array(flat, np.float64).reshape(-1, 3)
        if not (np.isfinite(energy) and energy < 0):
            return f"row {row} has an energy of {energy} eV; expected a negative number"
        if not np.abs(forces).max() <= MAX_FORCE:
            return f"row {row} has a force of {np.abs(forces).max():g} eV/Å; expected at most {MAX_FORCE:g}"
        rest = float(np.linalg.norm(forces.sum(axis=0)))
        if rest > recipe.net_force:
            return f"row {row} has forces that sum to {rest:g} eV/Å; expected at most {recipe.net_force:g}"
    return None


def digest_of(table: pa.Table) -> str:
    """Checksum of the rows, independent of their encoding in a file."""
    digest = hashlib.sha256()
    for name in KEPT_SCHEMA.names:
        column = table[name].combine_chunks()
        digest.update(f"{name} {len(column)}\n".encode())
        if pa.types.is_list(column.type):
            digest.update(pc.list_value_length(column).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
            column = column.flatten()
        if pa.types.is_string(column.type):
            digest.update(json.dumps(column.to_pylist()).encode())
        elif pa.types.is_fixed_size_binary(column.type):
            digest.update(b"".join(column.to_pylist()))
        else:
            digest.update(column.to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()


def write_kept(table: pa.Table, folder: Path, recipe: Recipe, source_level: Mapping[str, Any]) -> Path:
    """Writes rows to a file that is named after its content.

    Args:
        table: Rows in `KEPT_SCHEMA`.
        folder: Folder of kept labels.
        recipe: The recipe of the labels.
        source_level: Level of theory of the source labels, as in the metadata.

    Returns:
        The file.

    Raises:
        OSError: If the folder is not writable.
    """
    checksum = digest_of(table)
    document = {
        "format": FORMAT,
        "level_of_theory": dict(recipe.level_of_theory),
        "source_level_of_theory": dict(source_level),
        "units": {"positions": "angstrom", "energy": "eV", "forces": "eV/angstrom"},
        "sha256": checksum,
    }
    metadata = {METADATA_KEY: json.dumps(document, sort_keys=True).encode()}
    path = folder / recipe.name / f"{checksum[:16]}.parquet"
    reals = ("energy", "source_energy", *(f"{name}.list.element" for name in _REALS))
    with whole_file(path) as partial:
        pq.write_table(
            table.cast(KEPT_SCHEMA).replace_schema_metadata(metadata),
            partial,
            compression="zstd",
            use_dictionary=["molecule_id", "smiles", "left", "right", "trajectory"],
            column_encoding=dict.fromkeys(reals, "BYTE_STREAM_SPLIT"),
            write_statistics=False,
        )
    return path
