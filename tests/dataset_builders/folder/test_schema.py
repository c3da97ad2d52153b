"""The metadata of a file, which anyone may have written."""

import pyarrow as pa
import pytest

from dataset_builders.folder.schema import (
    COLUMNS,
    METADATA_KEY,
    SCHEMA,
    SCHEMA_VERSION,
    read_metadata,
    schema_problems,
    with_metadata,
)


def test_metadata_are_read_as_they_were_written():
    found = read_metadata(with_metadata({"edition": "mini"}))
    assert found == {
        "schema_version": SCHEMA_VERSION,
        "columns": {name: meaning for name, _, meaning in COLUMNS},
        "units": {"positions": "angstrom", "energy": "eV", "forces": "eV/angstrom"},
        "charge": 0,
        "spin_multiplicity": 1,
        "edition": "mini",
    }
    assert read_metadata(SCHEMA) == {}


def test_equal_metadata_have_equal_bytes():
    one, other = with_metadata({"b": 1, "a": 2}), with_metadata({"a": 2, "b": 1})
    assert one.metadata == other.metadata


@pytest.mark.parametrize(
    ("kind", "is_same"),
    [
        (pa.large_list(pa.float32()), True),
        (pa.list_(pa.field("element", pa.float32())), True),
        (pa.list_(pa.float64()), False),
        (pa.float32(), False),
        (pa.string(), False),
    ],
)
def test_lists_are_compared_by_their_items(kind, is_same):
    index = SCHEMA.get_field_index("positions")
    found = schema_problems(SCHEMA.set(index, pa.field("positions", kind)))
    assert found == ([] if is_same else [f"column 'positions' is {kind}; expected {SCHEMA.field(index).type}"])


@pytest.mark.parametrize(
    "raw",
    [b"[" * 100_000, b"[1]", b"[[1, 2]]", b"3", b'"a"', b"null", b"\xff", b'{"a": ' + b"9" * 5000 + b"}"],
    ids=range(8),
)
def test_what_is_no_object_is_a_value_error(raw):
    """A list of pairs too, which Python would take for a dictionary."""
    with pytest.raises(ValueError, match=r"\S"):
        read_metadata(pa.schema(SCHEMA).with_metadata({METADATA_KEY: raw}))
