import pytest
import yaml

from dataset_builders.card.eval_yaml import eval_yaml, evaluation_framework_of


def test_one_id_for_each_configuration_and_number_and_the_scores_first():
    data = yaml.safe_load(eval_yaml(["task2", "task3"]))
    assert list(data) == ["name", "description", "tasks"]
    assert data["tasks"][:3] == [
        {"id": "task2_score", "config": "task2", "split": "test_ood"},
        {"id": "task3_score", "config": "task3", "split": "test_ood"},
        {"id": "task2_ood_force_mae", "config": "task2", "split": "test_ood"},
    ]
    assert {"id": "task3_id_energy_mae", "config": "task3", "split": "test_id"} in data["tasks"]
    assert len({each["id"] for each in data["tasks"]}) == len(data["tasks"]) == 12


def test_the_description_has_units_and_directions():
    description = yaml.safe_load(eval_yaml(["task1"]))["description"]
    assert "score (higher is better): 0 to 100" in description
    assert "ood_force_mae (meV/Å, lower is better): MAE" in description
    assert "gap (lower is better): OOD force MAE divided by ID force MAE" in description


def test_the_framework_stands_there_only_if_it_is_given():
    text = eval_yaml(["task1"], "inspect-ai")
    assert yaml.safe_load(text)["evaluation_framework"] == "inspect-ai"
    assert evaluation_framework_of(text) == "inspect-ai"


@pytest.mark.parametrize("text", ["", "a: [", "- a", "name: a\n", "evaluation_framework:\n"])
def test_a_file_that_names_no_framework(text):
    assert evaluation_framework_of(text) is None
