import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.errors import DataError
from model_cards.text.front_matter import Card, decode_text, read_front, split_card, with_front

CARDS = [
    "",
    "# A title\n",
    "---\nlicense: mit\n---\n# A title",
    "---\r\nlicense: mit\r\n---\r\n\r\ntext\r\n",
    "\n\n---\nlicense: mit\n---",
    "---\nlicense: mit\n---  \n\nbelow\n\n---\n\nanother rule\n",
    "text\n---\nno: front matter\n---\n",
    "---\n\n---\n# An empty line between\n",
    "---\n# only a comment\n---\n",
]


@pytest.mark.parametrize("text", CARDS)
def test_a_card_is_taken_apart_where_the_client_does(text):
    card = split_card(text)
    client = ModelCard(text)
    assert card.text == text
    assert card.body == client.text
    assert read_front(card) == {key: value for key, value in client.data.to_dict().items() if value}


@given(st.text("-\r\n ab:#\ufeff"))
def test_the_parts_of_any_text_make_it_up(text):
    assert split_card(text).text == text


keys = st.dictionaries(
    st.text("abcdefg", min_size=1), st.one_of(st.text(max_size=10), st.integers(), st.lists(st.integers())), max_size=4
)


@given(keys, st.text("-#x \n\r"), st.sampled_from(["\n", "\r\n"]))
def test_another_yaml_leaves_the_body_alone(data, body, newline):
    from huggingface_hub.utils import yaml_dump

    front = yaml_dump(data, line_break=newline) if data else ""
    card = split_card(f"---{newline}{front}---{newline}{body}" if data else body)
    changed = with_front(card, f"{card.front}new: 1{newline}")
    again = split_card(changed.text)
    assert again.body.endswith(card.body)
    assert (again.body == card.body) or not card.closing
    assert changed.text.startswith(card.opening)
    if data:
        assert read_front(again) == {**read_front(card), "new": 1}


def test_an_empty_front_matter_is_filled():
    text = "---\n---\n# A title\n\n---\n\nA rule above\n"
    card = split_card(text)
    assert (card.front, card.body) == ("", "# A title\n\n---\n\nA rule above\n")
    assert with_front(card, "tags: [a]\n").text == text.replace("---\n---\n", "---\ntags: [a]\n---\n", 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "---\nk: 1\n---\n"),
        ("# A title\n", "---\nk: 1\n---\n\n# A title\n"),
        ("\n# A title\n", "---\nk: 1\n---\n\n# A title\n"),
        ("# A title\r\n", "---\r\nk: 1\r\n---\r\n\r\n# A title\r\n"),
        ("\ufeff# A title\n", "\ufeff---\nk: 1\n---\n\n# A title\n"),
    ],
)
def test_a_card_without_yaml_gets_some(text, expected):
    assert with_front(split_card(text), "k: 1\n").text == expected


def test_nothing_is_added_for_no_yaml():
    card = Card("", "", "", "text")
    assert with_front(card, "") == card


@pytest.mark.parametrize("front", ["- a\n- b\n", "just text\n", "12\n"])
def test_yaml_that_is_no_mapping_is_refused(front):
    with pytest.raises(DataError, match=r"the YAML at the head of README\.md is a \w+; expected keys and values"):
        read_front(split_card(f"---\n{front}---\nbody\n"))


def test_what_is_no_yaml_is_refused():
    with pytest.raises(DataError, match=r"the YAML at the head of README\.md is not YAML \(line 2"):
        read_front(split_card("---\nlicense: mit\n- a\n---\nbody\n"))


def test_what_is_no_text_is_refused():
    with pytest.raises(DataError, match=r"README\.md is not UTF-8"):
        decode_text(b"\xff\xfe", "README.md")
