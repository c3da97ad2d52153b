"""Targets: cards, entries and answers that come from the Hub, where anyone may have written them."""

import json
from pathlib import Path
from typing import Any

from dataset_builders.core.errors import DataError
from tests.fuzz.target import Reading, Target

_COMMIT = "1234567890abcdef1234567890abcdef12345678"
_MODEL = "ann/model"


def _result() -> Any:
    from harness.scoring.intervals import IntervalSettings
    from tests.harness.frame_tables import evaluate_frames, make_task
    from tests.harness.results.test_result import result_of
    from tests.model_cards.conftest import COST

    tasks = {
        name: evaluate_frames(make_task(name, 1, frames_each=2), IntervalSettings()) for name in ("task1", "task2")
    }
    result = result_of(tasks)
    data = {"id": "compgen/mlip-ood", "revision": _COMMIT, "edition": "standard"}
    return result.model_copy(
        update={
            "model": result.model.model_copy(update={"id": _MODEL, "revision": "c" * 40}),
            "dataset": result.dataset.model_copy(update=data),
            "cost": COST,
        }
    )


def _card(folder: Path) -> Reading:
    """A card that results are written into and removed from."""
    from model_cards.cards.edit import card_with_results
    from model_cards.cards.section import section_text, without_section
    from model_cards.entries.entries import entries_of, eval_results_of
    from model_cards.entries.model_index import has_one_tag_as_text, index_results_in, remove_index_results, remove_tag
    from model_cards.publishing.publish_space import sdk_of
    from model_cards.text.front_matter import decode_text, split_card, with_front

    result = _result()
    section, index = section_text(entries_of(result, _MODEL)), eval_results_of(result)

    def read() -> object:
        content = (folder / "README.md").read_bytes()
        text = decode_text(content, "README.md")
        assert split_card(text).text == text
        sdk_of(content, "README.md")
        has_one_tag_as_text(split_card(text).front)
        once = card_with_results(text, _MODEL, index, section)
        if card_with_results(once, _MODEL, index, section) != once:
            raise AssertionError("a second push changes the card")
        card = split_card(once)
        assert index_results_in(card.front)
        front = remove_index_results(card.front, lambda each: "force" in str(each), split_card(text).front)
        return without_section(with_front(card, remove_tag(front, "mlip-ood", split_card(text).front))).text

    others = (
        "---\nlicense: mit\ntags:\n- mace  # a comment\n- chem\nmodel-index:\n- name: model\n  results:\n  - task:\n"
        "      type: x\n    dataset:\n      type: other/data\n      name: y\n    metrics:\n    - type: acc\n"
        "      value: 0.5\n"
        "base_model: &b org/x\ndatasets: [*b, compgen/mlip-ood]\n---\n\n# A model\n\ntext\n"
    )
    mine = card_with_results(others, _MODEL, index, section)
    return Reading(read, [others.encode(), mine.encode(), b"# Nothing\n", b"---\nsdk: static\n---\n"])


def _entries(folder: Path) -> Reading:
    """A file of entries, read for the leaderboard and merged into by a push."""
    from huggingface_hub import eval_result_entries_to_yaml

    from model_cards.cards.section import section_text
    from model_cards.entries.consistency import by_evaluation, without_contradictions, without_former_intervals
    from model_cards.entries.entries import entries_of, examine_entries, merge_entries
    from model_cards.entries.scores import packed
    from model_cards.text.front_matter import decode_text
    from model_cards.text.yaml_text import load_yaml

    new = entries_of(_result(), _MODEL)
    text = merge_entries(None, new)
    foreign = [*load_yaml(text, "x"), {"dataset": {"id": "a/b", "task_id": "c"}, "value": 1, "date": "2026-01-01"}]
    assert eval_result_entries_to_yaml(packed(new))

    def read() -> object:
        given = decode_text((folder / "e.yaml").read_bytes(), "e.yaml")
        found = examine_entries(given, "e.yaml")
        for examine in (without_contradictions, without_former_intervals):
            found = examine(found.entries)
        by_evaluation(found.entries)
        section_text(found.entries)
        merged = merge_entries(given, new)
        if merge_entries(merged, new) != merged:
            raise AssertionError("a second push changes the entries")
        return merged

    return Reading(read, [text.encode(), json.dumps(foreign, indent=1).encode(), b"[]\n"])


def _published(folder: Path) -> Reading:
    """The same file as the leaderboard shows it."""
    from model_cards.entries.entries import config_and_number, entries_of, examine_entries, merge_entries
    from model_cards.entries.notes import parse_notes
    from model_cards.leaderboard.published import Published, seeds_of, speed_of
    from model_cards.text.front_matter import decode_text

    text = merge_entries(None, entries_of(_result(), _MODEL))

    def read() -> object:
        found = examine_entries(decode_text((folder / "e.yaml").read_bytes(), "e.yaml"), "e.yaml").entries
        rows = []
        for entry in found:
            config, number = config_and_number(entry)
            published = Published(
                _MODEL, config, {number.name: float(entry.value)}, parse_notes(entry.notes), None, "merged"
            )
            rows.append((seeds_of(published), speed_of(published)))
        return rows

    return Reading(read, [text.encode()])


def _eval_yaml(folder: Path) -> Reading:
    from dataset_builders.card.eval_yaml import configs_of, eval_yaml, evaluation_framework_of

    def read() -> object:
        try:
            text = (folder / "eval.yaml").read_bytes().decode()
        except UnicodeDecodeError as cause:
            raise DataError("not UTF-8") from cause
        return evaluation_framework_of(text), configs_of(text)

    return Reading(read, [eval_yaml(["task1", "task2", "task3-pbe"], "mlip").encode()])


def _dataset_card(folder: Path) -> Reading:
    """The card of a data-set repo, whose keys of others are kept."""
    from dataset_builders.card.metadata import with_keys_of_others
    from dataset_builders.folder.mini import MINI_DIRECTORY

    new = (MINI_DIRECTORY / "README.md").read_text(encoding="utf-8")

    def read() -> object:
        try:
            present = (folder / "README.md").read_bytes().decode()
        except UnicodeDecodeError as cause:
            raise DataError("not UTF-8") from cause
        return with_keys_of_others(new, present)

    gated = (
        "---\nlicense: mit\ngated: auto\nextra_gated_prompt: |-\n  text\n  more\nextra: {a: [1, 2]}\n---\n\n# Data\n"
    )
    return Reading(read, [gated.encode(), new.encode()])


def _answers(folder: Path) -> Reading:
    """Answers of the Hub about a leaderboard and about the entries of a model."""
    from model_cards.entries import verification
    from model_cards.entries.entries import entries_of, merge_entries
    from model_cards.hub import bounded_reading
    from model_cards.text.yaml_text import load_yaml

    bounded_reading._read = lambda *_: (folder / "answer.json").read_bytes()  # type: ignore[assignment]
    from dataset_builders.core.hub.repo import Repo

    def read() -> object:
        return (
            verification.read_board("compgen/mlip-ood"),
            verification.verified_numbers(_MODEL, "compgen/mlip-ood"),
            verification.refused_files(Repo(_MODEL, "model"), 3),
        )

    board = [{"modelId": _MODEL, "value": 46.5, "verified": True, "pullRequest": 3}]
    items = load_yaml(merge_entries(None, entries_of(_result(), _MODEL)), "x")
    listed = [{"data": json.loads(json.dumps(each, default=str)), "verified": True} for each in items]
    refused = [{"filename": ".eval_results/a.yaml", "error": "bad", "pullRequest": 3}]
    return Reading(
        read, [json.dumps(each).encode() for each in (board, {"evalResults": listed}, {"evalResults": refused})]
    )


TARGETS = (
    Target("card-yaml", "yaml", "README.md", _card),
    Target("eval-results", "yaml", "e.yaml", _entries),
    Target("published", "yaml", "e.yaml", _published),
    Target("eval.yaml", "yaml", "eval.yaml", _eval_yaml),
    Target("dataset-card", "yaml", "README.md", _dataset_card),
    Target("hub-answers", "json", "answer.json", _answers),
)
