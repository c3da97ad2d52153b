import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dataset_builders.core.markdown import Markdown, code, markdown_table, plain, printable

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "a | b",
    "\\| b",
    "\\\\| b",
    "a\\",
    "`a` | `b",
    "``a` |",
    "<img src=x onerror=y>",
    "<!-- mlip-ood:end -->",
    "</td></table>",
    "<https://example.org>",
    "https://example.org and www.example.org",
    "[click](https://example.org)",
    "[click](javascript:alert)",
    "![x](y)",
    "[a][b] [c]: d",
    "*a* **b** _c_ __d__ ~~e~~ a_b_",
    "$x$ $$y$$",
    "&lt;img&gt; &#124; &amp; a & b",
    "# heading",
    "> quoted",
    "a\nb\r\nc\u2028d\x85e",
    "\x1b[2J\x07 \u202eright to left\u2066 zero\u200bwidth",
    "| --- | --- |",
    "",
]


def cells_of(table):
    """What a renderer shows in each cell below the header: text, and the kinds of tokens that it is made of."""
    tokens = RENDERER.parse(table)
    assert [each.type for each in tokens if each.level == 0] == ["table_open", "table_close"]
    inline = [each for each in tokens if each.type == "inline"]
    return ["".join(part.content for part in each.children) for each in inline], {
        part.type for each in inline for part in each.children
    }


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("form", [plain, code])
def test_a_hostile_cell_is_shown_as_it_is(text, form):
    shown, kinds = cells_of(markdown_table(("one", "two"), [(form(text), "beside"), ("next", form(text))]))
    assert shown == ["one", "two", printable(text), "beside", "next", printable(text)]
    assert kinds <= {"text", "text_special", "code_inline"}


@settings(deadline=None)
@given(st.text() | st.text("\\`|<>[]()!*_~$&#;:\"' \n\ra1-\u202e"))
@example("\\")
@example("`|\\")
def test_any_cell_is_shown_as_it_is(text):
    for form in (plain, code):
        shown, kinds = cells_of(markdown_table(("one",), [(form(text),), ("below",)]))
        assert shown == ["one", printable(text), "below"]
        assert kinds <= {"text", "text_special", "code_inline"}


@settings(deadline=None)
@given(st.text())
def test_escaping_leaves_one_line_that_steers_nothing(text):
    for shown in (plain(text), code(text)):
        assert shown.isprintable()
        assert plain(shown) == shown


def test_tags_addresses_and_fences_do_not_stay():
    assert plain("<img src=x>") == "&lt;img src=x&gt;"
    assert plain("see https://example.org, [x](www.a.b)") == "see `https://example.org,` [x]\\(`www.a.b`)"
    assert plain("`x`") == "&#96;x&#96;"
    assert code("a ` b") == "``a ` b``"
    assert plain("a\u202eb\x1b") == "a\ufffdb\ufffd"


@pytest.mark.parametrize(
    "text",
    [
        "test_id",
        "COOH-6-NH2",
        "PBE-D3(BJ)/def2-TZVP",
        "17.3 [15.9, 18.8] ± 0.1",
        "(X, k, H), X in {H OH}, k in {2, 3}",
        "X ≠ Y, k >= 1, MAE < 1e-5 eV/Å",
        "task1 (chain extension)",
        "torch 2.13.0+cpu, e3nn 0.4.4",
        "–",
    ],
)
def test_what_is_no_markdown_keeps_its_characters(text):
    assert plain(text) == text


def test_a_table_has_a_rule_of_its_kind():
    assert markdown_table(("a", "b"), [("1", "x|y")]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |"
    assert markdown_table(("a", "b"), [], "right") == "| a | b |\n| --- | ---: |"
    assert markdown_table(("a", "b"), [(Markdown("*1*"), code("x|y"))], "tight") == (
        "| a | b |\n|---|---|\n| *1* | `x\\|y` |"
    )
