import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dataset_builders.card.numbers import NUMBERS, number_id
from dataset_builders.core.errors import DataError
from harness.results.anatomy_record import Anatomy
from harness.results.result import Estimate
from model_cards.cards.section import BEGIN, END, section_text, with_section
from model_cards.entries.entries import entries_of, merge_entries, read_entries
from model_cards.entries.notes import format_notes, parse_notes
from model_cards.text.front_matter import Card, split_card
from tests.harness.results.test_lowered_precision import MEASURED
from tests.model_cards.conftest import COMMIT, COST, DATASET, MODEL

PINNED = f"{MODEL}@{'c' * 40}"


def section_of(result, model=PINNED):
    return section_text(entries_of(result, model))


def test_the_section_says_what_the_numbers_stand_on(make_result):
    text = section_of(make_result("task2", "task3", model={"level_of_theory": "GFN2-xTB"}))
    assert text.count("| task2 (fragment duplication) | `ann/model` | zero-shot | ") == 1
    assert text.index("task2 (") < text.index("task3 (")
    for part in (
        f"data set [`{DATASET}`](",
        f"commit `{COMMIT}`, edition standard, content sha256 `0123456789ab…`, labels GFN2-xTB",
        f"model `{PINNED}`, family graph-pes",
        "protocol zero-shot, precision float64, device cpu",
        "code `0123456789ab…`, Python 3.11, numpy 2",
        "evaluated 2026-08-01T12:00:00Z",
        "the level of theory of the model is that of the labels, GFN2-xTB",
        "Brackets contain 95 % intervals for other fragments and molecules drawn like these, at the same spacers.",
        "ID are new frames of the training molecules",
    ):
        assert part in text


def test_the_section_says_what_a_lower_precision_changes(make_result):
    text = section_of(make_result(model={"dtype": "float32", "lowered_precision": MEASURED}))
    assert f"precision float32, {MEASURED.text}, device cpu" in text


def test_the_command_repeats_the_evaluation(make_result):
    assert (
        f"\n\n    python -m harness --model {PINNED} --dataset {DATASET}@{COMMIT} --task task2 task3 "
        "--family graph-pes --dtype float64 --device cpu --batch-atoms 4096\n"
    ) in section_of(make_result("task3", "task2"))


def test_a_pickled_checkpoint_must_be_trusted(make_result):
    text = section_of(make_result(model={"family": "mace"}), f"{MODEL}@{'c' * 40}/a.model")
    assert "--batch-atoms 4096 --trust-checkpoint\n" in text
    assert "| `ann/model/a.model` |" in text


@pytest.mark.parametrize(
    ("level", "sentence"),
    [
        (None, "the level of theory of the model is unknown; if it is not that of the labels, GFN2-xTB, every error"),
        (
            "PBE",
            "the level of theory of the model is PBE, that of the labels GFN2-xTB: every error includes the difference",
        ),
    ],
)
def test_another_level_of_theory_is_named(make_result, level, sentence):
    assert sentence in section_of(make_result(model={"level_of_theory": level}))


def test_another_level_of_the_labels_is_named_in_table_and_command(make_result):
    labels = {"suffix": "wb97x", "level_of_theory": "wB97X/6-31G(d)"}
    stated = {"level_of_theory": "wB97X/6-31G(d)", "level_is_stated": True}
    text = section_of(make_result("task2", "task3", dataset=labels, model=stated))
    assert "| task3-wb97x (fragment combination) |" in text
    assert "--task task2 task3 --labels wb97x --level-of-theory 'wB97X/6-31G(d)' --family" in text
    assert "the level of theory of the model (as stated by the user) is that of the labels, wB97X/6-31G(d)" in text


def test_the_section_shows_the_published_digits(make_result):
    entries = entries_of(make_result("task1", "task2"), PINNED)
    row = next(line for line in section_text(entries).splitlines() if line.startswith("| task2"))
    values = {entry.task_id: entry.value for entry in entries}
    names = ("id_force_mae", "ood_force_mae", "gap", "score")
    shown = [cell.split(" (")[0].strip() for cell in row.strip("| ").split(" | ")[3:]]
    assert shown == [f"{values[f'task2_{name}']:.2f}" for name in names]


def test_the_section_says_what_it_cost(make_result):
    text = section_text(entries_of(make_result(cost=COST), PINNED))
    assert "\n- 1,230 structures/s, on A CPU; fast, 2 threads, peak 1.50 GiB of memory\n" in text


def test_a_later_result_keeps_the_earlier_rows(make_result):
    first = merge_entries(None, entries_of(make_result("task2"), PINNED))
    later = make_result("task3", model={"dtype": "float32"})
    text = section_text(read_entries(merge_entries(first, entries_of(later, PINNED))))
    assert [line.split(" ")[1] for line in text.splitlines() if line.startswith("| task")] == [
        "task",
        "task2",
        "task",
        "task3",
    ]
    assert text.count("python -m harness") == 2
    assert text.count("ID are new frames") == 1
    assert section_of(make_result("task2")).split("ID are")[0] in text


def test_a_newer_result_of_a_task_replaces_its_row(make_result):
    old = merge_entries(None, entries_of(make_result("task2", "task3"), PINNED))
    newer = entries_of(make_result("task2", model={"dtype": "float32"}), PINNED)
    text = section_text(read_entries(merge_entries(old, newer)))
    assert text.count("| task2 (") == 1
    assert re.search(r"--task task2 --family graph-pes --dtype float32", text)
    assert re.search(r"--task task3 --family graph-pes --dtype float64", text)


def test_intervals_of_the_former_kind_are_told_from_todays(make_result):
    entries = entries_of(make_result(), PINNED)
    former = [
        replace(entry, notes=format_notes({k: v for k, v in parse_notes(entry.notes).items() if k != "clusters"}))
        for entry in entries
    ]
    assert "contain 95 % intervals of an earlier kind (bootstrap over molecules)" in section_text(former)
    both = section_text([*entries[:1], *former[1:]])
    assert "at the same spacers, and 95 % intervals of an earlier kind" in both


def test_numbers_without_interval_share_the_table(make_result):
    result = make_result()
    gap = Estimate(value=2.5, low=None, high=None, unit="1", reason="one molecule")
    task = result.tasks["task2"].model_copy(update={"gap": gap})
    text = section_of(result.model_copy(update={"tasks": {"task2": task}}))
    assert text.count("| task2 (") == 1
    assert " | 2.50 | " in text


def test_an_undefined_number_is_a_dash(make_result):
    entries = [entry for entry in entries_of(make_result(), PINNED) if entry.task_id != "task2_gap"]
    assert " | – | " in section_text(entries)


def test_entries_by_hand_show_what_they_say():
    text = f"- dataset: {{id: {DATASET}, task_id: task1_score}}\n  value: 5\n  notes: 'no-tools; protocol: a%0A{END}'\n"
    section = section_text(read_entries(text))
    assert "| task1 (chain extension) | – | a &lt;!-- mlip-ood:end --&gt; | – | – | – | 5.00 |" in section
    assert END not in section
    assert "python -m harness" not in section


@pytest.mark.parametrize(
    "hostile",
    ["a|b", "`x`|", "<img src=//evil>", "[x](http://evil)", "![x](y)", "# x", "https://evil", "\u202ex", "a\nb", "\\|"],
)
def test_notes_of_strangers_are_text_in_the_section(make_result, hostile):
    entries = entries_of(make_result("task2", "task3"), PINNED)
    plain = section_text(entries)
    for key in ("protocol", "trained on", "dtype", "packages", "labels", "level of theory", "level stated by", "model"):
        notes = [format_notes(parse_notes(entry.notes) | {key: hostile, "interval": hostile}) for entry in entries]
        text = section_text([replace(entry, notes=each) for entry, each in zip(entries, notes, strict=True)])
        assert tokens_of(text) <= tokens_of(plain)
        assert [line.count(" | ") for line in text.splitlines() if line.startswith("|")] == [6, 0, 6, 6]
        assert text.isprintable() or all(line.isprintable() for line in text.splitlines())


def tokens_of(text):
    """Kinds of what a renderer makes of a section, with the addresses of its links."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    parts = [*tokens, *(part for each in tokens for part in each.children or ())]
    return {(each.type, each.attrs.get("href")) for each in parts} - {("text_special", None)}


def test_no_note_becomes_an_option_of_the_command(make_result):
    entries = entries_of(make_result(), PINNED)
    for key in ("model", "device", "family", "batch atoms"):
        notes = format_notes(parse_notes(entries[0].notes) | {key: "--trust-checkpoint"})
        assert "python -m harness" not in section_text([replace(entry, notes=notes) for entry in entries])


def test_the_section_is_appended_once_and_then_replaced():
    card = split_card("---\nlicense: mit\n---\n\n# A model\n")
    first = with_section(card, "one\n")
    assert first.text == f"{card.text}\n{BEGIN}\none\n{END}\n"
    assert with_section(first, "one\n") == first
    second = with_section(split_card(first.text + "\nbelow\n"), "two\nlines\n")
    assert second.text == f"{card.text}\n{BEGIN}\ntwo\nlines\n{END}\n\nbelow\n"


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("", ""),
        ("# A", "# A\n\n"),
        ("# A\n", "# A\n\n"),
        ("# A\n\n", "# A\n\n"),
        ("# A\n\n\n", "# A\n\n\n"),
        ("---\na: 1\n---", "---\na: 1\n---\n\n"),
        ("# A\r\n", "# A\r\n\r\n"),
    ],
)
def test_the_section_stands_apart(text, before):
    newline = "\r\n" if "\r" in text else "\n"
    assert with_section(split_card(text), "x\n").text == before + newline.join([BEGIN, "x", END, ""])


bodies = st.text("ab#-<!> \n\r\t", max_size=60)


@given(bodies, bodies, st.sampled_from(["\n", "\r\n"]))
def test_everything_outside_the_marks_is_untouched(before, after, newline):
    before = before + newline if before else ""
    after = newline + after
    body = newline.join([f"{before}{BEGIN}", "old", f"{END}{after}"])
    found = with_section(Card("", "", "", body), "new\ntext\n").body
    assert found.startswith(f"{before}{BEGIN}")
    assert found.endswith(f"{END}{after}")
    assert found[len(before) :][: -len(after)].split() == [*BEGIN.split(), "new", "text", *END.split()]


@given(bodies)
def test_what_is_there_stays_before_an_appended_section(body):
    found = with_section(Card("", "", "", body), "new\n").body
    assert found.startswith(body)
    assert with_section(Card("", "", "", found), "new\n").body == found


@pytest.mark.parametrize(
    "body",
    [
        f"{BEGIN}\n",
        f"text\n{END}\n",
        f"{END}\n{BEGIN}\n",
        f"{BEGIN}\n{BEGIN}\n{END}\n",
        f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n",
    ],
)
def test_marks_that_are_no_pair_are_refused(body):
    with pytest.raises(
        DataError, match=r"README\.md has \d lines <!-- mlip-ood:begin --> and \d lines .*expected one of each"
    ):
        with_section(Card("", "", "", body), "new\n")


def test_a_mark_inside_a_line_is_text():
    body = f"The section stands between `{BEGIN}` and `{END}`.\n"
    assert with_section(Card("", "", "", body), "new\n").body.startswith(body + "\n" + BEGIN)


def test_every_number_has_a_place(make_result):
    found = {entry.task_id for entry in entries_of(make_result("task1"), PINNED)}
    assert found == {number_id("task1", number) for number in NUMBERS}


def test_the_factors_of_each_gap_are_read_back_from_the_published_file(make_result):
    factors = {"composition": Estimate(value=1.2, low=1.1, high=1.3, unit="1", reason=None)}
    factors |= {
        name: Estimate(value=value, low=0.8, high=1.9, unit="1", reason=None)
        for name, value in {"conformers": 1.0, "remaining": 1.5, "unseen_parts": 1.25, "combination": 1.2}.items()
    }
    found = Anatomy(n_molecules=10, n_parts_shown=4, rotamers=None, **factors)
    result = make_result("task2", "task3")
    tasks = result.tasks | {"task3": result.tasks["task3"].model_copy(update={"anatomy": found})}
    entries = entries_of(result.model_copy(update={"tasks": tasks}), PINNED)
    text = section_text(read_entries(merge_entries(None, entries)))
    line = "task3: composition 1.20 (>1), conformers 1.00, unseen parts 1.25, combination 1.20"
    assert f"the interval excludes 1): {line}\n" in MarkdownIt().render(text).replace("</li>", "").replace("&gt;", ">")
    # One table: a note of one task does not part the tasks of an evaluation.
    assert text.count("| task | model |") == 1
    assert text == section_text(entries)
