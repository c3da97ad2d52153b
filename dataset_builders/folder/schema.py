"""The columns of a split, their units, and conversion between Arrow and NumPy."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from dataset_builders.core.parsed_text import parse_json

SCHEMA_VERSION: Final = "1.0"
"""Version of the columns and of the metadata of a file."""

DATASET_VERSION: Final = "1.1"
"""Version of the tasks, the recipe and the frozen rows; CHANGELOG.md says what each version holds."""

DATASET_DATE: Final = "2026-11-29"
"""Day on which this version was frozen, ISO 8601."""

COLUMNS: Final[tuple[tuple[str, pa.DataType, str], ...]] = (
    ("molecule_id", pa.string(), "stable name, such as COOH-6-NH2"),
    ("smiles", pa.string(), "canonical SMILES (RDKit); atoms in the order of AddHs(MolFromSmiles(smiles))"),
    ("left", pa.string(), "terminal fragment"),
    ("spacer", pa.int16(), "number of CH2 groups"),
    ("right", pa.string(), "terminal fragment"),
    ("subset", pa.string(), "far or near for the OOD molecules of task2 and task3, else empty"),
    ("trajectory", pa.string(), "primary or secondary"),
    ("frame", pa.int32(), "index in the trajectory; five successive frames make a burst"),
    ("n_atoms", pa.int16(), "number of atoms"),
    ("atomic_numbers", pa.list_(pa.uint8()), "length n_atoms"),
    ("positions", pa.list_(pa.float32()), "Å; flat, length 3 n_atoms"),
    ("energy", pa.float64(), "eV; total energy"),
    ("forces", pa.list_(pa.float32()), "eV/Å; flat, length 3 n_atoms"),
)
"""Name, Arrow type and meaning of each column."""

SCHEMA: Final = pa.schema([pa.field(name, kind) for name, kind, _ in COLUMNS])

METADATA_KEY: Final = b"mlip_ood"


def with_metadata(metadata: Mapping[str, Any]) -> pa.Schema:
    """The schema with units and provenance in its metadata, as JSON under the key `mlip_ood`."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "columns": {name: meaning for name, _, meaning in COLUMNS},
        "units": {"positions": "angstrom", "energy": "eV", "forces": "eV/angstrom"},
        "charge": 0,
        "spin_multiplicity": 1,
        **metadata,
    }
    return SCHEMA.with_metadata({METADATA_KEY: json.dumps(document, sort_keys=True).encode()})


def read_metadata(schema: pa.Schema) -> dict[str, Any]:
    """Metadata as written by `with_metadata`; empty if there is none.

    Raises:
        ValueError: If they are not a JSON object.
    """
    raw = (schema.metadata or {}).get(METADATA_KEY)
    found = parse_json(raw) if raw else {}
    if not isinstance(found, dict):
        raise ValueError(f"its metadata are a JSON {type(found).__name__}; expected an object")
    return found


def schema_problems(schema: pa.Schema) -> list[str]:
    """All differences of a schema from the documented one, as text; empty if there are none."""
    problems = []
    for name, kind, _ in COLUMNS:
        index = schema.get_field_index(name)
        if index < 0:
            problems.append(f"column {name!r} is missing (expected {kind})")
        elif not _same_type(schema.field(index).type, kind):
            problems.append(f"column {name!r} is {schema.field(index).type}; expected {kind}")
    known = {name for name, _, _ in COLUMNS}
    problems.extend(f"column {name!r} is not in the schema" for name in schema.names if name not in known)
    return problems


def _same_type(found: pa.DataType, expected: pa.DataType) -> bool:
    # Writers differ in the names of list items, and readers in large_list: neither matters.
    found_is_list = pa.types.is_list(found) or pa.types.is_large_list(found)
    if pa.types.is_list(expected):
        return found_is_list and bool(found.value_type == expected.value_type)
    return bool(found == expected)
