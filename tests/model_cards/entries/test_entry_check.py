import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.core.errors import DataError
from model_cards.entries.consistency import without_contradictions
from model_cards.entries.entries import entries_of, examine_entries, merge_entries, read_entries
from model_cards.entries.entry_check import checked_entry
from tests.model_cards.conftest import DATASET, MODEL

PINNED = f"{MODEL}@{'c' * 40}"


def item(task_id="task1_score", **changes):
    return {"dataset": {"id": DATASET, "task_id": task_id}, "value": 5.0, **changes}


@pytest.mark.parametrize(
    ("task_id", "value"),
    [
        ("task1_score", 0),
        ("task1_score", 100.0),
        ("task1_gap", 1e-3),
        ("task1_id_force_mae", 0.0),
        ("task1-wb97x_id_energy_mae", 1e8),
    ],
)
def test_a_number_in_its_bounds_is_taken(task_id, value):
    assert checked_entry(item(task_id, value=value)).value == value


@pytest.mark.parametrize("task_id", ["task1_score", "task1_gap", "task1_ood_force_mae", "task1-wb97x_id_energy_mae"])
@settings(deadline=None)
@given(value=st.one_of(st.floats(), st.integers(), st.booleans(), st.text(), st.none(), st.lists(st.integers())))
def test_what_is_taken_can_be_shown(task_id, value):
    try:
        found = checked_entry(item(task_id, value=value))
    except DataError:
        return
    assert len(f"{found.value:.2f}") < 20
    assert float(found.value) >= 0.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["dataset", "value", "date", "source", "notes", "verifyToken", "data", "error"])


@settings(deadline=None, max_examples=50)
@given(st.lists(json_values | st.dictionaries(fields, json_values).map(lambda extra: item() | extra)))
def test_any_file_is_examined(items):
    text = json.dumps(items)
    try:
        examined = examine_entries(text)
    except DataError:
        return
    assert all(fault.isprintable() and len(fault) < 500 for fault in examined.faults)
    assert without_contradictions(examined.entries)


@pytest.mark.parametrize(
    "date", ["2026-08-01", "2026-08-01T12:00:00Z", "2026-08-01T12:00:00+02:00", datetime(2026, 8, 1, tzinfo=UTC), None]
)
def test_a_date_is_kept(date):
    assert (checked_entry(item(date=date)).date or "2026-08-01").startswith("2026-08-01")


def test_unquoted_dates_and_lines_by_hand_are_read():
    head = f"- dataset: {{id: {DATASET}, task_id: task1_score}}\n  value: 5\n"
    text = f"{head}  date: 2026-08-01\n  notes: |\n    a\n    b\n"
    (entry,) = read_entries(text)
    assert (entry.date, entry.notes) == ("2026-08-01", "a\nb\n")


def test_a_source_keeps_what_the_client_takes():
    whole = {"url": "https://example.org", "name": "n", "user": "u", "org": "o"}
    entry = checked_entry(item(source=whole))
    assert (entry.source_url, entry.source_name, entry.source_user, entry.source_org) == (*whole.values(),)
    for source in ({"name": "n"}, {"user": "u"}, {"org": "o"}, {}, {"url": None, "name": "n"}):
        entry = checked_entry(item(source=source))
        assert (entry.source_url, entry.source_name) == (None, None)


def test_entries_of_strangers_keep_their_bytes_beside_ours(make_result):
    theirs = (
        f"- dataset: {{id: {DATASET}, task_id: task4_score}}   # theirs\n  value: .inf\n  source: {{name: x}}\n"
        "- dataset: {id: other/bench, task_id: t}\n  value: 1\n  source: {name: x}\n- 5\n"
    )
    merged = merge_entries(theirs, entries_of(make_result(), PINNED))
    assert merged.startswith(theirs)
    assert {entry.task_id.partition("_")[0] for entry in read_entries(merged)} == {"task2"}
    assert merge_entries(merged, entries_of(make_result(), PINNED)) == merged


def test_the_faults_of_a_file_name_the_entry():
    text = json.dumps([item(), item("task1_gap", value=-1), item("unknown", value=-1), 5, item(value=True)])
    examined = examine_entries(text)
    assert [entry.task_id for entry in examined.entries] == ["task1_score"]
    assert examined.faults == (
        "entry 2, task1_gap: value is -1; expected a number above 0",
        "entry 5, task1_score: value is True; Input should be a valid number",
    )
    assert examine_entries(text, datasets=("other/data",)).faults == ()


def consistent(*items):
    return without_contradictions(examine_entries(json.dumps(items)).entries)


def numbers(gap, ood, known, notes="content: abc"):
    values = {"gap": gap, "ood_force_mae": ood, "id_force_mae": known}
    return [item(f"task1_{name}", value=value, notes=notes) for name, value in values.items()]


@pytest.mark.parametrize(
    ("gap", "ood", "known"), [(3.7, 45.68, 12.35), (1.0, 60.0, 60.0), (8.33, 0.25, 0.03), (900.0, 4.0, 0.0), (2, 2, 1)]
)
def test_a_gap_may_be_off_by_what_rounding_takes(gap, ood, known):
    assert len(consistent(*numbers(gap, ood, known)).entries) == 3


@settings(deadline=None)
@given(st.floats(1e-6, 10.0), st.floats(1e-6, 10.0))
def test_no_gap_that_was_published_is_refused(ood, known):
    shown = [round(1000.0 * each, 2) for each in (ood, known)]
    gap = round(ood / known, 2)
    if gap > 0.0:
        assert not consistent(*numbers(gap, *shown)).faults


@pytest.mark.parametrize(
    ("gap", "ood", "known"), [(3.71, 45.68, 12.35), (1.0, 60.0, 30.0), (0.5, 0.0, 10.0), (9, 1, 1)]
)
def test_a_gap_that_is_no_ratio_takes_its_numbers_along(gap, ood, known):
    found = consistent(*numbers(gap, ood, known), item("task2_score"))
    assert [entry.task_id for entry in found.entries] == ["task2_score"]
    assert len(found.faults) == 1
    assert "OOD / ID is" in found.faults[0]


def test_numbers_that_stand_twice_count_once_or_not_at_all():
    twice = item(notes="protocol: a")
    assert len(consistent(twice, twice).entries) == 1
    for other in (item(value=6.0, notes="protocol: a"), item(notes="protocol: b"), item()):
        found = consistent(twice, other, item("task2_score"))
        assert [entry.task_id for entry in found.entries] == ["task2_score"]
        assert "task1_score occurs 2 times" in found.faults[0]


def test_numbers_of_several_evaluations_are_no_result():
    found = consistent(item(notes="protocol: a"), item("task1_gap", notes="protocol: b"), item("task2_gap"))
    assert [entry.task_id for entry in found.entries] == ["task2_gap"]
    assert found.faults == (
        "task1: its numbers come from several evaluations (protocol a and b); none of its numbers is used",
    )
