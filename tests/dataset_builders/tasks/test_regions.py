import pytest

from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.regions import TASKS, Region, find_task
from dataset_builders.tasks.words import word
from tests.dataset_builders.words_of_tasks import ALL_WORDS


@pytest.mark.parametrize(
    ("name", "train", "ood"), [("task1", 30, 40), ("task2", 36, 24), ("task3", 28, 30), ("task4", 18, 16)]
)
def test_regions_hold_the_specified_numbers_of_molecules(name, train, ood):
    task = TASKS[name]
    assert len({found.smiles for found in task.train_words()}) == train
    assert len({found.smiles for found in task.ood_words()}) == ood


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_no_unseen_combination_is_in_training(task):
    train = {found.smiles for found in task.train_words()}
    assert not train & {found.smiles for found in task.ood_words()}


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_every_fragment_of_an_unseen_combination_is_seen_in_training(task):
    seen = {fragment for found in task.train_words() for fragment in (found.left, found.right)}
    assert {fragment for found in task.ood_words() for fragment in (found.left, found.right)} <= seen


def test_all_words_are_124_molecules():
    assert len({found.smiles for found in ALL_WORDS}) == len(ALL_WORDS) == 124


def test_a_region_of_other_fragments_counts_each_pair_once():
    region = Region(("OH", "NH2", "CN"), (2,), "other")
    assert set(region.words()) == {word("OH", 2, "NH2"), word("OH", 2, "CN"), word("NH2", 2, "CN")}


def test_an_unknown_task_is_named():
    with pytest.raises(UsageError, match="unknown task 'task9'; known tasks: task1 task2 task3 task4"):
        find_task("task9")
