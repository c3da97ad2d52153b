import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.card.eval_yaml import configs_of, eval_yaml
from dataset_builders.card.numbers import NUMBERS, number_id, parse_number_id
from dataset_builders.chemistry.levels import GFN2, LEVELS
from dataset_builders.folder.configs import CONFIG, is_split_at, task_of_config
from dataset_builders.tasks.regions import TASK_PATTERN, TASKS, in_order, title_of


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("task1/train-00000-of-00001.parquet", True),
        ("ethers/test_ood-00000-of-00001.parquet", True),
        ("task1-pbe/train-00000-of-00001.parquet", False),
        ("Ethers/train-00000-of-00001.parquet", False),
        ("task1/dev-00000-of-00001.parquet", False),
        ("more/task1/train-00000-of-00001.parquet", False),
        ("train-00000-of-00001.parquet", False),
    ],
)
def test_files_of_a_task(path, expected):
    assert is_split_at(path, GFN2) is expected
    assert is_split_at(path.replace("-pbe", ""), LEVELS["pbe-d3bj"]) is False
    assert is_split_at("task1-pbe/train-00000-of-00001.parquet", LEVELS["pbe-d3bj"])


@given(st.from_regex(TASK_PATTERN, fullmatch=True), st.sampled_from(["", "-pbe", "-wb97x"]), st.sampled_from(NUMBERS))
def test_ids_of_a_leaderboard_are_read_back(task, suffix, number):
    config = f"{task}{suffix}"
    assert CONFIG.fullmatch(config)
    assert task_of_config(config) == task
    assert parse_number_id(number_id(config, number)) == (config, number)


@given(st.text(max_size=30))
def test_other_ids_are_none_of_ours(text):
    found = parse_number_id(text)
    assert found is None or number_id(*found) == text


def test_configurations_that_an_eval_yaml_lists():
    assert configs_of(eval_yaml(["task2", "ethers"])) == ("task2", "ethers")
    for text in ("", "[]", "tasks: 3", "tasks: [3, {id: x}]", "{"):
        assert configs_of(text) == ()


def test_the_four_tasks_come_first():
    assert in_order(["rings", "task3", "ethers", "task1", "rings"]) == ("task1", "task3", "ethers", "rings")


def test_titles():
    assert title_of("task1", "something else") == TASKS["task1"].title
    assert title_of("ethers", "ether meets alkene") == "ether meets alkene"
    assert title_of("ethers", None) == "ethers"
