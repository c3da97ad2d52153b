import pytest
import yaml

from dataset_builders.card.eval_yaml import configs_of, eval_yaml, evaluation_framework_of


def test_only_scores_have_ids_and_the_overall_score_is_the_first():
    """A Hub leaderboard ranks by the first id, and higher is better."""
    data = yaml.safe_load(eval_yaml(["task1", "task2", "task2-wb97x", "task3", "task4", "task5"]))
    assert list(data) == ["name", "description", "tasks"]
    ids = ["overall_score", "task1_score", "task2_score", "task2-wb97x_score", "task3_score", "task4_score"]
    assert [each["id"] for each in data["tasks"]] == [*ids, "task5_score"]
    configs = ["task1", "task1", "task2", "task2-wb97x", "task3", "task4", "task5"]
    assert [each["config"] for each in data["tasks"]] == configs
    assert {each["split"] for each in data["tasks"]} == {"test_ood"}


def test_without_the_four_tasks_there_is_no_overall_score():
    data = yaml.safe_load(eval_yaml(["task2", "task3"]))
    assert data["tasks"] == [
        {"id": "task2_score", "config": "task2", "split": "test_ood"},
        {"id": "task3_score", "config": "task3", "split": "test_ood"},
    ]


def test_the_description_says_what_ranks():
    description = yaml.safe_load(eval_yaml(["task1"]))["description"]
    assert "0 to 100: percentage of the decades from the zero-force error to 1 meV/Å" in description
    assert "higher is better. overall_score is the mean score of task1, task2, task3, task4" in description


def test_the_framework_stands_there_only_if_it_is_given():
    text = eval_yaml(["task1"], "inspect-ai")
    assert yaml.safe_load(text)["evaluation_framework"] == "inspect-ai"
    assert evaluation_framework_of(text) == "inspect-ai"


@pytest.mark.parametrize(
    "text",
    [
        *("", "a: [", "- a", "name: a\n", "evaluation_framework:\n"),
        *("a: !!timestamp 2026-99-99", 'a: !!int ""', "a: " + "[" * 2000, "a: &a [*a]", "a: \x00"),
    ],
)
def test_a_file_that_names_no_framework(text):
    assert evaluation_framework_of(text) is None
    assert configs_of(text) == ()
