"""The picture of the tasks: which molecules it shows, and how they are drawn."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_builders.card.task_picture import _EXAMPLES, example_of, picture_of, picture_text
from dataset_builders.chemistry.ordered_molecule import ordered_molecule
from dataset_builders.tasks.regions import TASKS
from dataset_builders.tasks.task_document import read_task_file
from dataset_builders.tasks.words import parse_word

OWN = read_task_file(Path(__file__).parents[3] / "docs/examples/task5.toml")


@pytest.mark.parametrize(
    ("name", "seen", "unseen"),
    [
        ("task1", ["COOH-4-H", "COOH-3-H"], "COOH-6-H"),
        ("task2", ["OH-4-H", "OH-6-H"], "OH-4-OH"),
        ("task3", ["COOH-6-H", "NH2-6-H"], "COOH-6-NH2"),
        ("task4", ["NH2-4-H", "H-6-H"], "NH2-6-H"),
    ],
)
def test_training_shows_the_ends_or_the_length_of_the_unseen_molecule(name, seen, unseen):
    example = example_of(TASKS[name])
    assert [word.molecule_id for word in example.seen] == seen
    assert example.unseen.molecule_id == unseen == _EXAMPLES[name][0]


@pytest.mark.parametrize("task", [*TASKS.values(), OWN], ids=lambda task: task.name)
def test_what_is_shown_is_what_the_task_says(task):
    example = example_of(task)
    assert {*example.seen} <= {*task.train_words()}
    assert example.unseen in task.ood_words()
    assert example.unseen not in task.train_words()


@pytest.mark.parametrize(
    ("molecule_id", "ends"),
    [("COOH-6-NH2", [1, 2, 3, 9]), ("OH-2-H", [1]), ("H-4-H", []), ("OCH3-2-cPr", [1, 2, 4, 5, 6])],
)
def test_the_end_fragments_are_marked(molecule_id, ends):
    word = parse_word(molecule_id, OWN.vocabulary) if "OCH3" not in molecule_id else None
    word = word or next(each for each in OWN.ood_words() if {each.left, each.right} == {"OCH3", "cPr"})
    ordered = ordered_molecule(word)
    assert [*ordered.left, *ordered.right] == ends
    assert ordered.mol.GetNumAtoms() == len(ends) + word.spacer


def test_the_same_tasks_have_the_same_picture():
    first = picture_of([TASKS["task2"], OWN])
    assert picture_of([TASKS["task2"], OWN]) == first
    image = np.asarray(Image.open(io.BytesIO(first)).convert("RGB"))
    assert image.shape[1] == 1290
    assert (image < 100).any()
    assert picture_of([TASKS["task2"]]) != first


def test_the_picture_in_words():
    text = picture_text([TASKS["task3"]])
    assert text == "Molecules of each task. task3: training shows COOH-6-H and NH2-6-H, the test is COOH-6-NH2"
