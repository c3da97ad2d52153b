import json
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.card.numbers import NUMBERS, number_id
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.tasks.regions import TASKS
from harness.results.result import Estimate
from model_cards.entries.consistency import without_former_intervals
from model_cards.entries.entries import (
    OWN_FILE,
    RESULTS_FILE,
    entries_of,
    entries_path,
    eval_results_of,
    examine_entries,
    merge_entries,
    read_entries,
)
from model_cards.entries.notes import format_notes, parse_notes
from model_cards.entries.scores import DIGITS, published_value
from model_cards.publishing.publishable import require_publishable
from tests.harness.results.test_lowered_precision import MEASURED
from tests.model_cards.conftest import COMMIT, COST, DATASET, MODEL

PINNED = f"{MODEL}@{'c' * 40}"


def ids(configs):
    """The ids of all numbers, as `entries_of` gives them."""
    return [number_id(config, number) for number in NUMBERS for config in configs]


def in_full(entry):
    """An entry with its notes by key: their order does not matter."""
    return replace(entry, notes=None), parse_notes(entry.notes)


def with_task(result, **changes):
    task = result.tasks["task2"].model_copy(update=changes)
    return result.model_copy(update={"tasks": result.tasks | {"task2": task}})


def estimate(value, unit="1"):
    return Estimate(value=value, low=0.9 * value, high=1.1 * value, unit=unit, reason=None)


def with_numbers(result):
    """A result whose published numbers are known: 12.346 and 45.678 meV/Å, 5.5 and 20.26 meV."""
    splits = result.tasks["task2"].splits
    numbers = {"test_id": (0.012346, 0.0055), "test_ood": (0.045678, 0.02026)}
    parts = {
        part: splits[part].model_copy(
            update={
                "metrics": splits[part].metrics
                | {"force_mae": estimate(force, "eV/Å"), "centred_energy_mae": estimate(energy, "eV")}
            }
        )
        for part, (force, energy) in numbers.items()
    }
    return with_task(result, splits=splits | parts, gap=estimate(3.70012), score=estimate(41.238))


def test_there_is_an_entry_for_each_number_the_score_first(make_result):
    entries = entries_of(make_result("task3", "task2"), PINNED)
    assert [entry.task_id for entry in entries] == list(ids(["task2", "task3"]))
    assert [entry.task_id for entry in entries][:2] == ["task2_score", "task3_score"]


def test_numbers_at_two_levels_of_theory_never_meet(make_result):
    labels = {"suffix": "wb97x", "level_of_theory": "wB97X/6-31G(d)", "content_hash": "9" * 64}
    at_dft = make_result("task2", dataset=labels)
    first, second = entries_of(make_result("task2"), PINNED), entries_of(at_dft, PINNED)
    assert [entry.task_id for entry in second] == list(ids(["task2-wb97x"]))
    text = merge_entries(merge_entries(None, first), second)
    assert [entry.task_id for entry in read_entries(text)] == [
        *ids(["task2"]),
        *ids(["task2-wb97x"]),
    ]
    assert {each.dataset_config for each in eval_results_of(at_dft)} == {"task2-wb97x"}
    require_publishable([make_result("task2"), at_dft])


def test_numbers_are_in_their_units_and_rounded(make_result):
    entries = entries_of(with_numbers(make_result()), PINNED)
    found = {
        entry.task_id: (entry.value, parse_notes(entry.notes).get("unit"), parse_notes(entry.notes)["interval"])
        for entry in entries
    }
    assert found == {
        "task2_score": (41.24, None, "37.11 to 45.36"),
        "task2_ood_force_mae": (45.68, "meV/Å", "41.11 to 50.25"),
        "task2_id_force_mae": (12.35, "meV/Å", "11.11 to 13.58"),
        "task2_gap": (3.7, None, "3.33 to 4.07"),
        "task2_ood_energy_mae": (20.26, "meV", "18.23 to 22.29"),
        "task2_id_energy_mae": (5.5, "meV", "4.95 to 6.05"),
    }


@given(st.floats(0, 1e6), st.sampled_from(NUMBERS))
def test_rounding_stays_within_half_of_the_last_digit(value, number):
    exact = value * (1000.0 if number.unit else 1.0)
    assert published_value(value, number) == pytest.approx(exact, abs=0.5 * 10**-DIGITS + 1e-6, rel=1e-15)


def test_an_entry_says_where_when_and_how(make_result):
    result = make_result(model={"trained_on": "task2", "protocol": "from-scratch", "level_of_theory": "GFN2-xTB; mine"})
    entry = entries_of(with_task(result, protocol="from-scratch"), PINNED)[1]
    assert (entry.dataset_id, entry.dataset_revision, entry.date) == (DATASET, COMMIT, "2026-08-01T12:00:00Z")
    assert entry.source_url.endswith(f"/datasets/{DATASET}/tree/{COMMIT}")
    assert entry.source_name == "mlip-ood"
    notes = parse_notes(entry.notes)
    assert notes.pop("interval")
    assert notes.pop("clusters") == "4 molecules"
    assert notes == {
        "protocol": "from-scratch",
        "trained on": "task2",
        "unit": "meV/Å",
        "confidence": "95 %",
        "dtype": "float64",
        "device": "cpu",
        "edition": "standard",
        "content": "0123456789ab",
        "labels": "GFN2-xTB",
        "level of theory": "GFN2-xTB; mine",
        "model": PINNED,
        "family": "graph-pes",
        "batch atoms": "4096",
        "code": "0123456789ab",
        "python": "3.11",
        "packages": "numpy 2",
    }


def test_the_version_of_the_harness_is_named(make_result):
    result = make_result()
    environment = result.environment.model_copy(
        update={"packages": {"torch": "2.13", "mlip-ood": "0.1.0", "e3nn": "1"}}
    )
    notes = parse_notes(entries_of(result.model_copy(update={"environment": environment}), PINNED)[0].notes)
    assert (notes["harness"], notes["packages"]) == ("0.1.0", "e3nn 1, torch 2.13")


def test_what_an_evaluation_cost_is_noted(make_result):
    notes = parse_notes(entries_of(make_result(cost=COST), PINNED)[0].notes)
    assert (notes["speed"], notes["hardware"]) == ("1,230 structures/s", "A CPU; fast, 2 threads")
    assert notes["memory"] == "1.50 GiB of memory"
    untimed = COST.model_copy(update={"structures_per_second": None, "reason": "one batch"})
    notes = parse_notes(entries_of(make_result(cost=untimed), PINNED)[0].notes)
    assert "speed" not in notes


def test_what_a_lower_precision_changes_is_noted(make_result):
    result = make_result(model={"dtype": "float32", "lowered_precision": MEASURED})
    notes = parse_notes(entries_of(result, PINNED)[0].notes)
    assert notes["rounding"] == MEASURED.text
    assert "rounding" not in parse_notes(entries_of(make_result(), PINNED)[0].notes)


def test_a_number_that_is_undefined_has_no_entry(make_result):
    none = Estimate(value=None, low=None, high=None, unit="1", reason="the ID error is zero")
    result = with_task(make_result(), gap=none)
    assert "task2_gap" not in {entry.task_id for entry in entries_of(result, PINNED)}
    assert "gap" not in {each.metric_type for each in eval_results_of(result)}
    present = merge_entries(None, entries_of(make_result("task2", "task3"), PINNED))
    updated = read_entries(merge_entries(present, entries_of(result, PINNED)))
    assert {entry.task_id for entry in updated} == set(ids(["task2", "task3"])) - {"task2_gap"}
    again = merge_entries(merge_entries(present, entries_of(result, PINNED)), entries_of(make_result(), PINNED))
    assert {entry.task_id for entry in read_entries(again)} == set(ids(["task2", "task3"]))


def test_a_number_without_interval_says_none(make_result):
    gap = Estimate(value=2.5, low=None, high=None, unit="1", reason="one molecule")
    notes = {entry.task_id: parse_notes(entry.notes) for entry in entries_of(with_task(make_result(), gap=gap), PINNED)}
    assert {"interval", "confidence"} & set(notes["task2_gap"]) == set()


def test_evaluations_with_intervals_of_the_former_kind_are_not_compared(make_result):
    entries = entries_of(make_result("task2", "task3"), PINNED)

    def without(entry, *keys):
        notes = {key: value for key, value in parse_notes(entry.notes).items() if key not in keys}
        return replace(entry, notes=format_notes(notes))

    mixed = [without(entry, "clusters") if entry.task_id.startswith("task2") else entry for entry in entries]
    found = without_former_intervals(mixed)
    assert {entry.task_id.partition("_")[0] for entry in found.entries} == {"task3"}
    assert found.faults == (
        "task2: its intervals are of an earlier kind (bootstrap over molecules) that cannot be compared with current "
        "ones; `python -m harness report RUN_DIR` recomputes them without the model, and `harness push` publishes them",
    )
    # What somebody publishes without intervals stays.
    bare = [without(entry, "clusters", "interval", "confidence") for entry in entries]
    assert without_former_intervals(bare).entries == tuple(bare)


def test_a_file_is_what_the_client_reads(make_result):
    entries = entries_of(make_result(), PINNED)
    text = merge_entries(None, entries)
    (score,) = parse_eval_result_entries(yaml.safe_load(text))
    assert (score.task_id, score.value) == ("task2_score", entries[0].value)
    assert [in_full(entry) for entry in read_entries(text)] == [in_full(entry) for entry in entries]
    assert merge_entries(text, entries) == text
    assert merge_entries("# a comment\n", entries) == "# a comment\n" + text


def test_entries_of_others_stay_as_they_are(make_result):
    text = f"""\
# Our other benchmark
- dataset: {{id: other/bench, task_id: task2_score}}
  value: 1.0   # theirs
- dataset:
    id: {DATASET}
    task_id: task2_gap
  value: 9
  notes: ours, old
# Another number of our data set, which is not ours
- dataset:
    id: {DATASET}
    task_id: custom
  value: 0.50
- dataset: {{id: {DATASET}, task_id: task4_score}}
  value: 3
"""
    entries = entries_of(make_result(), PINNED)
    merged = merge_entries(text, entries)
    ours = text.index("- dataset:\n    id: " + DATASET)
    theirs = text.index("# Another number")
    assert merged.startswith(text[:ours])
    assert text[theirs:] in merged
    assert "notes: ours, old" not in merged
    assert merge_entries(merged, entries) == merged
    values = {(each["dataset"]["id"], each["dataset"]["task_id"]): each["value"] for each in yaml.safe_load(merged)}
    assert values[DATASET, "custom"] == 0.5
    assert values[DATASET, "task4_score"] == 3
    assert values["other/bench", "task2_score"] == 1.0
    assert [entry.task_id for entry in read_entries(merged)].count("task2_gap") == 1


def test_only_entries_of_the_benchmark_are_read(make_result):
    text = f"""\
- dataset: {{id: {DATASET}, task_id: task1_score}}
  value: 5
- dataset: {{id: {DATASET}, task_id: unknown}}
  value: 5
- dataset: {{id: {DATASET}, task_id: task1_gap}}
  value: high
- dataset: {{id: {DATASET}, task_id: task1_gap}}
  value: 1
  source: somewhere
- just text
- {{value: 1}}
"""
    assert [entry.task_id for entry in read_entries(text)] == ["task1_score"]
    assert read_entries("") == []


def test_a_file_that_is_no_list_is_refused(make_result):
    with pytest.raises(DataError, match=r"\.eval_results/mlip-ood\.yaml contains a dict; expected a list of results"):
        merge_entries("a: 1\n", entries_of(make_result(), PINNED))
    with pytest.raises(DataError, match=r"\.eval_results/mlip-ood\.yaml is not YAML"):
        merge_entries("- [", entries_of(make_result(), PINNED))


def test_data_that_are_not_pinned_have_no_entries(make_result):
    with pytest.raises(
        UsageError, match=r"not pinned to a commit on the Hub.*evaluate with --dataset org/name@revision"
    ):
        entries_of(make_result(revision=None), PINNED)


def test_notes_have_a_fixed_form():
    notes = {"protocol": "zero-shot", "unit": "meV/Å", "packages": "torch 2.13.0+cpu, e3nn 0.4.4"}
    assert format_notes(notes) == "protocol: zero-shot; unit: meV/Å; packages: torch 2.13.0+cpu, e3nn 0.4.4"
    assert format_notes({"confidence": "95 %", "level": "a;b\n%41"}) == "confidence: 95 %; level: a%3Bb%0A%2541"


@given(st.dictionaries(st.sampled_from(["protocol", "trained on", "unit", "model"]), st.text()))
def test_notes_are_read_as_they_were_written(notes):
    text = format_notes(notes)
    assert parse_notes(text) == notes
    assert "\n" not in text


@given(st.text())
def test_notes_of_others_do_no_harm(text):
    assert all(isinstance(value, str) for value in parse_notes(text).values())
    assert parse_notes("no-tools") == {}


def test_a_file_holds_scores_only_the_overall_score_first(make_result):
    four = make_result("task1", "task2", "task3", "task4")
    entries = entries_of(four, PINNED)
    items = yaml.safe_load(merge_entries(None, entries))
    assert [item["dataset"]["task_id"] for item in items] == ["overall_score", *(f"task{n}_score" for n in range(1, 5))]
    assert items[0]["value"] == round(sum(item["value"] for item in items[1:]) / 4, 2)
    notes = parse_notes(items[0]["notes"])
    assert notes["mean of"] == "task1 task2 task3 task4"
    assert (notes["protocol"], notes["edition"], notes["content"]) == ("zero-shot", "standard", "0123456789ab")
    gap = next(entry for entry in entries if entry.task_id == "task2_gap")
    said = parse_notes(gap.notes)
    assert parse_notes(items[2]["notes"])["gap"] == f"{gap.value:.2f} ({said['interval']}, {said['clusters']})"


def test_scores_that_differ_in_kind_have_no_mean(make_result):
    first = merge_entries(None, entries_of(make_result("task1", "task2", "task3"), PINNED))
    for changes in ({"content_hash": "9" * 64}, {"edition": "full"}, {"level_of_theory": "other"}):
        other = entries_of(make_result("task4", dataset=changes), PINNED)
        assert "overall_score" not in merge_entries(first, other)
    four = merge_entries(first, entries_of(make_result("task4"), PINNED))
    assert four.count("overall_score") == 1
    # One task anew on other data: the mean would mix, so it goes.
    mixed = merge_entries(four, entries_of(make_result("task2", dataset={"content_hash": "9" * 64}), PINNED))
    assert "overall_score" not in mixed


@pytest.mark.parametrize("text", ["abc", "1.2.3", "nan", "-5.00", "1e300", "5 ± x", "5 (1 to 2", "9" * 20])
def test_a_number_in_the_notes_that_is_none_is_left_out_and_named(make_result, text):
    whole = yaml.safe_load(merge_entries(None, entries_of(make_result(), PINNED)))
    notes = parse_notes(whole[0]["notes"])
    whole[0]["notes"] = format_notes(notes | {"ood_force_mae": text})
    examined = examine_entries(yaml.safe_dump(whole, allow_unicode=True))
    assert {entry.task_id for entry in examined.entries} == {*ids(["task2"])} - {"task2_ood_force_mae"}
    assert examined.faults[0].startswith("entry 1, task2_score: its note ood_force_mae: ")


def test_entries_of_earlier_versions_are_read_and_give_way(make_result):
    """They had an entry for each number, with ids that a data set no longer declares."""
    entries = entries_of(make_result(), PINNED)
    former = yaml.safe_dump(eval_result_entries_to_yaml(entries), allow_unicode=True)
    assert [in_full(entry) for entry in read_entries(former)] == [in_full(entry) for entry in entries]
    (only,) = yaml.safe_load(merge_entries(former, entries))
    assert only["dataset"]["task_id"] == "task2_score"


@pytest.mark.parametrize(
    ("edition", "path"),
    [
        ("standard", ".eval_results/mlip-ood.yaml"),
        ("mini", ".eval_results/mlip-ood-mini.yaml"),
        ("25/20/5/10", ".eval_results/mlip-ood-25-20-5-10.yaml"),
        ("../../x", ".eval_results/mlip-ood-x.yaml"),
        ("..", ".eval_results/mlip-ood-unknown.yaml"),
    ],
)
def test_each_edition_has_a_file(edition, path):
    assert entries_path(edition) == path
    assert OWN_FILE.fullmatch(path)
    assert RESULTS_FILE.fullmatch(path)


@pytest.mark.parametrize("value", [99.0, 10**400, "high", None, float("nan")])
def test_an_overall_score_that_is_not_the_mean_is_named(make_result, value):
    items = yaml.safe_load(merge_entries(None, entries_of(make_result(*TASKS), PINNED)))
    assert examine_entries(json.dumps(items)).faults == ()
    items[0]["value"] = value
    examined = examine_entries(json.dumps(items))
    (fault,) = examined.faults
    assert fault.startswith("entry 1, overall_score: value is ")
    assert "and the mean of its four tasks is" in fault
    assert len(examined.entries) == 24
    (alone,) = examine_entries(json.dumps([items[0] | {"value": 50.0}])).faults
    assert "the four tasks have no mean in this file" in alone
