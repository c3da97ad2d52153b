import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dataset_builders.core.errors import DataError
from model_cards.text.yaml_text import (
    Items,
    fill_empty,
    load_yaml,
    merge_items,
    newline_of,
    remove_items,
    remove_top_key,
    render_yaml,
    set_top_key,
)

OTHERS = """\
# head of the file
- dataset: {id: a/b,   task_id: x}   # flow, with spaces
  value: 1.50e+1
# about ours

- dataset:
    id: org/data
    task_id: s
  value: 2.0   # ours
  notes: foo

# about the next
-   dataset: &anchor {id: z/b, task_id: "x"}
    value: .nan
    more: *anchor
"""

NEW = {
    "s": {"dataset": {"id": "org/data", "task_id": "s"}, "value": 3.5, "date": "2026-08-01T12:00:00Z"},
    "g": {"dataset": {"id": "org/data", "task_id": "g"}, "value": 3.0, "notes": "unit: meV/Å; a: no"},
}


def own_id(item):
    return item["dataset"]["task_id"] if item["dataset"]["id"] == "org/data" else None


def merged(text, wanted=NEW):
    return merge_items(text, (), Items(wanted, own_id), "the file")


def is_subsequence(lines, of):
    rest = iter(of)
    return all(line in rest for line in lines)


def test_an_item_is_replaced_where_it_stands_and_a_new_one_follows():
    expected = OTHERS.replace(
        "    task_id: s\n  value: 2.0   # ours\n  notes: foo\n",
        "    task_id: s\n  value: 3.5\n  date: '2026-08-01T12:00:00Z'\n"
        "- dataset:\n    id: org/data\n    task_id: g\n  value: 3.0\n  notes: 'unit: meV/Å; a: no'\n",
    )
    assert merged(OTHERS) == expected
    assert merged(expected) == expected


def test_an_item_that_is_not_wanted_goes_without_the_comments_of_others():
    both = merged(OTHERS)
    only = merged(both, {"g": NEW["g"]})
    assert "task_id: s\n" not in only
    assert is_subsequence(["# about ours", "# about the next"], only.splitlines())
    assert merged(OTHERS, {"g": NEW["g"]}).endswith("  notes: 'unit: meV/Å; a: no'\n")


def test_a_second_item_of_the_same_identity_goes():
    ours = render_yaml([NEW["s"]])
    assert merged(OTHERS + ours) == merged(OTHERS)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_endings_are_kept(newline):
    text = merged(OTHERS.replace("\n", newline))
    assert text == merged(OTHERS).replace("\n", newline)


def test_a_last_line_without_an_ending_is_kept():
    assert merged(OTHERS.rstrip("\n")) == merged(OTHERS).rstrip("\n")


def test_deletion_does_not_eat_into_lines_of_another_ending():
    text = "- dataset: {id: o, task_id: t}\r\n" + render_yaml([NEW["s"]]) + "- dataset: {id: p, task_id: t}\n"
    assert "\r\n- dataset: {id: p, task_id: t}\r\n- dataset:\r\n" in merged(text, {"g": NEW["g"]})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tags: [a, b]  # some\n", "tags: [a, b, new]  # some\n"),
        ("tags: [a, old]\n", "tags: [a, new]\n"),
        ("tags: [old, a]\n", "tags: [a, new]\n"),
        ("tags: [new, a, old]\n", "tags: [new, a]\n"),
        ("tags: [new, old, a]\n", "tags: [new, a]\n"),
        ("tags: []\n", "tags: [new]\n"),
        ("tags:\n  - 'a'  # why\n\n# next\nlicense: mit\n", "tags:\n  - 'a'  # why\n  - new\n\n# next\nlicense: mit\n"),
    ],
)
def test_lists_in_either_style_take_an_item(old, new):
    items = Items({"new": "new"}, lambda item: item if item in ("old", "new") else None)
    assert merge_items(old, ("tags",), items, "the file") == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "key:\n- x: 1\n"),
        ("a: 1\n", "a: 1\nkey:\n- x: 1\n"),
        ("a: |\n  text", "a: |\n  text\nkey:\n- x: 1\n"),
        ("key:\na: 1\n", "key:\n- x: 1\na: 1\n"),
        ("key: ~\n# c\na: 1\n", "key:\n- x: 1\n# c\na: 1\n"),
        ("key: # c\na: 1\n", "key:\n- x: 1 # c\na: 1\n"),
        ("key: []\r\na: 1\r\n", "key:\r\n- x: 1\r\na: 1\r\n"),
    ],
)
def test_a_key_that_holds_nothing_is_filled(old, new):
    assert set_top_key(old, "key", [{"x": 1}], "the file") == new


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [{dataset: {id: o, task_id: t}}]\nlist: *x\n",
        "base: &b\n  list: [{dataset: {id: o, task_id: t}}]\n<<: *b\n",
    ],
)
def test_what_cannot_be_changed_alone_is_left_alone(text):
    with pytest.raises(DataError, match="the file has a form that cannot be extended without changing"):
        merge_items(text, ("list",), Items(NEW, own_id), "the file")


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2\n", "a: 2026-13-45\n", "--- 1\n--- 2\n"])
def test_what_is_no_yaml_is_refused(text):
    with pytest.raises(DataError, match=r"the file is not YAML .*; correct it first, it was not changed"):
        load_yaml(text, "the file")


def test_a_refusal_names_the_line():
    with pytest.raises(DataError, match="line 2: "):
        load_yaml("a: 1\nb: ]\n", "the file")


# What notes encode, and no name holds, is left out: characters that YAML takes for ends of lines or refuses.
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])))
def test_a_text_is_read_as_it_was_written_by_both_versions_of_yaml(text):
    import yaml

    written = render_yaml({"key": text})
    assert load_yaml(written, "")["key"] == text
    assert yaml.safe_load(written)["key"] == text


@pytest.mark.parametrize(
    "text", ["no", "on", "1_000", "12e5", "0x1f", "2026-08-01", "12:30:45", "~", "null", " a", "a: b"]
)
def test_a_text_that_looks_like_something_else_is_quoted(text):
    assert render_yaml([text]) == f"- '{text}'\n"


strangers = st.lists(
    st.fixed_dictionaries(
        {
            "dataset": st.fixed_dictionaries(
                {"id": st.sampled_from(["a/b", "c/d"]), "task_id": st.text("xyz", min_size=1)}
            ),
            "value": st.one_of(
                st.floats(allow_nan=False), st.integers(), st.booleans(), st.none(), st.text(max_size=20)
            ),
        },
        optional={"notes": st.text(max_size=30), "list": st.lists(st.integers(), max_size=3)},
    ),
    max_size=4,
)
comments = st.text("ab #-:'", max_size=10)


@st.composite
def files(draw):
    """A list of strangers' items in some style, with comments between them, and perhaps ours among them."""
    pieces = []
    items = [
        *draw(strangers),
        *([draw(st.sampled_from([NEW["s"], NEW["g"] | {"value": 1}]))] if draw(st.booleans()) else []),
    ]
    for item in draw(st.permutations(items)):
        yaml, stream = YAML(), io.StringIO()
        yaml.default_flow_style = draw(st.sampled_from([None, False])) if own_id(item) is None else False
        yaml.width = draw(st.sampled_from([20, 4096])) if own_id(item) is None else 4096
        yaml.dump([item], stream)
        if draw(st.booleans()):
            pieces.append(f"# {draw(comments)}\n\n")
        pieces.append(stream.getvalue())
    return "".join(pieces)


@settings(deadline=None, max_examples=40)
@given(files(), st.sampled_from(["\n", "\r\n"]))
def test_lines_of_others_stay_in_their_order(text, newline):
    present = load_yaml(text, "") or []
    if not present:
        return
    text = text.replace("\n", newline)
    present = load_yaml(text, "")
    result = merged(text)
    ours = {line for item in present if own_id(item) for line in render_yaml([item]).splitlines()}
    kept = [line for line in text.split(newline) if line not in ours]
    assert is_subsequence(kept, result.split(newline))
    found = load_yaml(result, "")
    assert [item for item in found if own_id(item) is None] == [item for item in present if own_id(item) is None]
    assert {own_id(item): item for item in found if own_id(item)} == NEW
    assert merged(result) == result


def test_newline_is_that_of_the_first_line():
    assert [newline_of(text) for text in ("", "a\nb\r\n", "a\r\nb\n", "a\rb")] == ["\n", "\n", "\r\n", "\r"]


@settings(deadline=None, max_examples=200)
@given(st.text("-:?#[]{}&*a1 !|>%@`~'\"\\.\n\r\t<=_0xu\x00\ufeff", max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(DataError):
        load_yaml(text, "the file")


@pytest.mark.parametrize(
    "tag", ["int", "float", "bool", "null", "timestamp", "binary", "set", "omap", "pairs", "merge"]
)
@pytest.mark.parametrize(
    "value", ['""', "x", "[1]", "{a: 1}", "99999999999999999999", "2026-13-45", "1:2", ".inf", "-"]
)
def test_a_tag_that_does_not_fit_is_read_or_refused(tag, value):
    with contextlib.suppress(DataError):
        load_yaml(f"a: !!{tag} {value}", "the file")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "more than 32 lists and mappings deep"),
        ("- " * 33 + "a", "more than 32 lists and mappings deep"),
        ("a: &a {b: *a}", "contains itself"),
        ("[" + "1, " * 20_001 + "]", "more than 20,000 values large"),
        ("a: &a [" + "x, " * 200 + "]\nb: [" + "*a, " * 200 + "]", "more than 20,000 values large"),
        ("x" * 600_000, "600,000 characters long"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_built(text, problem):
    with pytest.raises(DataError, match=f"the file .*{problem}"):
        load_yaml(text, "the file")


def test_what_is_deep_or_aliased_as_people_write_it_is_read(recwarn):
    assert load_yaml("- " * 32 + "a", "")
    assert load_yaml("a: &x [1, 2]\nb: *x\nc: &x 3\nd: {<<: {e: *x}}\n", "") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": 3,
        "d": {"e": 3},
    }
    assert not recwarn


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "- 1\n"),
        ("\ufeff", "\ufeff- 1\n"),
        ("# a comment", "# a comment\n- 1\n"),
        ("# a comment\r\n", "# a comment\r\n- 1\r\n"),
        ("---\n", "---\n- 1\n"),
    ],
)
def test_a_document_that_held_nothing_takes_a_list(text, expected):
    assert fill_empty(text, [1], "the file") == expected


@pytest.mark.parametrize("text", ["null\n", "~", "---\n...\n"])
def test_a_document_that_takes_no_list_is_left_alone(text):
    with pytest.raises(DataError, match="the file has a form that cannot be extended"):
        fill_empty(text, [1], "the file")


@pytest.mark.parametrize(
    ("text", "gone", "expected"),
    [
        ("[a, b, c]\n", "a", "[b, c]\n"),
        ("[a, b, c] # x\n", "bc", "[a] # x\n"),
        ("[a, b, c, d]\n", "acd", "[b]\n"),
        ("[a, b, c, d]\n", "bd", "[a, c]\n"),
        ("[ a , b ]\n", "ab", "[]\n"),
        ("- a # own\n# next\n- b\n", "a", "# next\n- b\n"),
        ("- a\n- b\n- c", "bc", "- a\n"),
        ("# top\n- a\n- b\n# end\n", "ab", "# top\n[]\n# end\n"),
        ("- a\r\n- b\r\n", "b", "- a\r\n"),
        ("- a\n", "z", "- a\n"),
    ],
)
def test_items_are_removed_and_the_others_keep_their_bytes(text, gone, expected):
    assert remove_items(text, (), lambda item: item in gone, "the file") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nk:\n- x\n# theirs\nb: 2\n", "a: 1\n# theirs\nb: 2\n"),
        ("k: [x]  # own\nb: 2\n", "b: 2\n"),
        ("a: 1\nk:\n- x", "a: 1\n"),
        ("k: x\n", ""),
        ("a: 1\r\nk:\r\n- x\r\n", "a: 1\r\n"),
    ],
)
def test_a_key_is_removed_and_the_others_keep_their_bytes(text, expected):
    assert remove_top_key(text, "k", "the file") == expected


@pytest.mark.parametrize("text", ["{k: 1, b: 2}\n", "a: &x 1\nk: 2\nb: {<<: {k: 1}}\n"])
def test_a_key_that_cannot_be_removed_alone_is_refused_or_goes(text):
    with contextlib.suppress(DataError):
        assert "k" not in load_yaml(remove_top_key(text, "k", "the file"), "the file")
