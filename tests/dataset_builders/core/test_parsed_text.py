import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.parsed_text import json_file, parse_json, parse_toml

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(DOCUMENTS, st.booleans())
def test_sound_json_is_read_as_it_is(document, ascii_only):
    text = json.dumps(document, ensure_ascii=ascii_only)
    assert parse_json(text) == document
    assert parse_json(text.encode()) == document


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 5000, "digits"),
        (r'{"a": "\ud800"}', "surrogates not allowed"),
        (r'{"\uDFFF": 1}', "surrogates not allowed"),
        ("{", "Expecting"),
    ],
)
def test_what_cannot_be_used_is_a_value_error(text, said):
    for content in (text, text.encode()):
        with pytest.raises(ValueError, match=said):
            parse_json(content)


def test_a_pair_of_surrogates_is_one_character():
    assert parse_json(r'"\ud83e\uddea"') == "\N{TEST TUBE}"


def test_a_file_is_read_up_to_a_size(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[1, 2]", encoding="utf-8")
    assert json_file(path) == [1, 2]
    with pytest.raises(ValueError, match="longer than 5 bytes"):
        json_file(path, most=5)
    path.write_bytes(b"[1, \xff]")
    with pytest.raises(ValueError, match="utf-8"):
        json_file(path)


@pytest.mark.parametrize("value", ["[" * 50_000, "9" * 5000, "{b = " * 5000, "1979-13-99", ""], ids=range(5))
def test_what_is_no_toml_is_one_error(value):
    with pytest.raises(tomllib.TOMLDecodeError):
        parse_toml(f"a = {value}")


def test_toml_is_read():
    assert parse_toml("a = 1") == {"a": 1}
