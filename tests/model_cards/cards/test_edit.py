import re

import pytest
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard
from huggingface_hub.utils import yaml_dump
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataset_builders.core.errors import DataError
from model_cards.cards.edit import MAX_CARD_BYTES, card_with_results
from model_cards.cards.section import BEGIN, END, section_text
from tests.model_cards.conftest import DATASET, MODEL

RESULTS = [
    EvalResult(
        task_type="graph-ml",
        dataset_type=DATASET,
        dataset_name="mlip-ood task2",
        dataset_config="task2",
        dataset_split="test_ood",
        metric_type="score",
        metric_name="score, 0 to 100",
        metric_value=41.24,
    )
]
ENTRIES = [EvalResultEntry(DATASET, "task2_score", 41.24)]


def edited(text):
    return card_with_results(text, MODEL, RESULTS, section_text(ENTRIES))


def nested_aliases(depth, width=9):
    """YAML whose last key has `width ** depth` values when its aliases are written out."""
    lines = ["k0: &a0 [" + ", ".join("x" * width) + "]"]
    lines += [f"k{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * width) + "]" for i in range(1, depth)]
    return "\n".join(lines)


def require_sound(text):
    """A card is edited once, read by the client, and keeps all that is not ours."""
    first = edited(text)
    assert edited(first) == first
    data = ModelCard(first).data
    assert data.tags[-1] == "mlip-ood"
    assert [each.metric_value for each in data.eval_results] == [41.24]
    before, _, rest = first.partition(BEGIN)
    section, _, after = rest.partition(END)
    assert is_subsequence(text, before + after)
    return before, section, after


def is_subsequence(piece, of):
    rest = iter(of)
    return all(character in rest for character in piece)


BODY = "# A model{0}{0}text  {0}{0}\ttabs{0}"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "head",
    [
        "",
        "---{0}license: mit{0}---{0}{0}",
        "---{0}license:   mit   # ours{0}tags:{0}- a{0}# next{0}datasets: [a/b]{0}---  {0}",
        "---{0}---{0}",
        "---{0}# only a comment{0}---{0}",
        "{0}{0}---{0}license: mit{0}---{0}",
    ],
)
@pytest.mark.parametrize("body", ["", "{0}" + BODY, "# A model{0}{0}---{0}{0}rule"])
def test_line_ends_are_kept_and_a_second_push_changes_nothing(newline, head, body):
    text, body = (head + body).format(newline), body.format(newline)
    before, section, _ = require_sound(text)
    assert before.rstrip("\r\n").endswith(body.rstrip("\r\n"))
    assert set(re.findall(r"\r\n|\r|\n", section)) == {newline if newline in text else "\n"}
    if newline == "\r\n":
        assert set(re.findall(r"\r\n|\r|\n", before)) <= ({newline} if newline in text else {"\n"})


@pytest.mark.parametrize(
    "text",
    [
        "---\n\n# a rule above\n",
        "---\nlicense: mit\n---",
        "---\rlicense: mit\r---",
        "---\nlicense: mit\n---\r# A\n\n---\nrest\n",
        "---\nx: &x {a: 1}\n<<: *x\n---\n",
        f"---\n{nested_aliases(3)}\n---\n# A\n",
        f"---\ndeep: {'[' * 25}{']' * 25}\n---\n",
        "---\ntags: [a,\n b]\n---\n",
        f"---\nlarge: 0x{'f' * 10000}\nnone: .nan\n---\n",
        "# A\x00\x0c\x85\u2028text\n",
    ],
)
def test_strange_cards_are_edited(text):
    require_sound(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\ufeff---\nlicense: mit\n---\n# A\n", "byte order mark"),
        ("\ufeff# A\n", "byte order mark"),
        ("---\na: " + "[" * 5000 + "\n---\n", "more than 32 lists and mappings deep"),
        ("---\n" + "- " * 5000 + "\n---\n", "more than 32 lists and mappings deep"),
        ("---\na: " + "{a: " * 5000 + "\n---\n", "more than 32 lists and mappings deep"),
        (f"---\n{nested_aliases(10)}\n---\n", "values large with its aliases expanded"),
        ("---\na: &a {b: 1}\n" + "".join(f"k{i}: {{<<: *a}}\n" for i in range(9000)) + "---\n", "values large"),
        ("---\na: &a [*a]\n---\n", "contains itself"),
        ("---\na: &a 1\nb: &a 2\n---\n", "not YAML 1.1"),
        ("---\na: '" + "x" * 2**20 + "'\n---\n", "characters long"),
        ("x" * (MAX_CARD_BYTES + 1), "at most 10,485,760"),
        ("---\n5\n---\n", "is a int; expected keys and values"),
        ("---\n- a\n---\n", "is a list; expected keys and values"),
        ("---\ntext\n---\nbody\n", "is a str; expected keys and values"),
        ("---\nnull\n---\n", "has a form that cannot be extended"),
        ("---\n{license: mit}\n---\n", "has a form that cannot be extended"),
        ("---\na: 1\n...\n---\n", "has a form that cannot be extended"),
        ("---\ntags: &t [a]\nx: *t\n---\n", "has a form that cannot be extended"),
        ("---\nlicense: mit\n\n# A\n", "starts YAML with a line --- but has no closing line ---"),
        ("---\r\nlicense: mit\r\n", "starts YAML with a line --- but has no closing line ---"),
        ("---\na: 1\na: 2\n---\n", "duplicate key"),
        ("---\na:\n\t- b\n---\n", "is not YAML"),
        ("---\na: !!python/object:os.system {}\n---\n", "is not YAML"),
        ('---\na: !!int ""\n---\n', "is not YAML"),
        ("---\na: " + "9" * 5000 + "\n---\n", "is not YAML"),
        (f"---\ntags: 0x{'f' * 10000}\n---\n", "tags .* is an integer of 40,000 bits; expected a list"),
        (f"{BEGIN}\n", "expected one of each"),
    ],
)
def test_what_cannot_be_edited_is_refused_in_few_words(text, message):
    with pytest.raises(DataError, match=message) as found:
        edited(text)
    assert len(str(found.value)) < 1000


lines = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"), max_size=20).filter(
    lambda text: "mlip-ood:" not in text
)
fronts = st.dictionaries(
    st.text("abcdefg", min_size=1),
    st.one_of(st.text("xyz: #-'\"", max_size=10), st.integers(), st.lists(st.integers()), st.dates()),
    max_size=4,
)


@settings(deadline=None, max_examples=30)
@given(fronts, st.lists(lines), st.lists(lines), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
@example({}, ["---", "a: 1"], [], "\r", False)
@example({"a": 1}, ["", "---", "a: 1", "---"], [], "\r", True)
def test_pushing_twice_is_pushing_once_and_the_rest_keeps_its_bytes(front, above, below, newline, has_section):
    head = f"---\n{yaml_dump(front)}---\n".replace("\n", newline) if front else ""
    section = [BEGIN, "an older one", END] if has_section else []
    text = head + "".join(f"{line}{newline}" for line in [*above, *section, *below])
    try:
        first = edited(text)
    except DataError:
        return
    assert edited(first) == first
    assert [each.metric_value for each in ModelCard(first).data.eval_results] == [41.24]
    old = text[len(head) :]
    kept = old.split(BEGIN)[0] if has_section else old
    before, _, rest = first.partition(BEGIN)
    assert before.endswith(kept) or (not has_section and before.rstrip("\r\n").endswith(kept.rstrip("\r\n")))
    assert rest.partition(END)[2] == (old.partition(END)[2] if has_section else newline_at_end(first))


def newline_at_end(text):
    return re.search(r"(?:\r\n|\r|\n)\Z", text)[0]


@settings(deadline=None, max_examples=80)
@given(st.text("-:#[]{}&*a1 \t\r\n\ufeff'\"!|>%@`~", max_size=40).map(lambda text: f"---\n{text}"))
def test_any_head_is_edited_soundly_or_refused(text):
    try:
        first = edited(text)
    except DataError:
        return
    assert edited(first) == first
    assert ModelCard(first).data.eval_results[-1].metric_value == 41.24
    assert is_subsequence(text, first)
