"""The drawn molecules are molecules of the tasks, and take their colours from the page."""

from dataset_builders.tasks.regions import TASKS
from model_cards.leaderboard.site.task_pictures import EXAMPLES, task_pictures


def test_examples_are_molecules_of_their_tasks() -> None:
    """What is said to be in training is, and what is said to be unseen is not."""
    assert EXAMPLES.keys() == TASKS.keys()
    for name, (_, train, ood) in EXAMPLES.items():
        assert set(train) <= {word.molecule_id for word in TASKS[name].train_words()}
        assert set(ood) <= {word.molecule_id for word in TASKS[name].ood_words()}


def test_drawings_have_no_colour_of_their_own() -> None:
    """So they fit both themes; both fragments of a combination are marked, each with its colour."""
    pictures = {picture.task.name: picture for picture in task_pictures()}
    assert [(p.n_train, p.n_ood) for p in pictures.values()] == [(30, 40), (36, 24), (28, 30), (18, 16)]
    drawings = [molecule.svg for p in pictures.values() for molecule in (*p.train, *p.ood)]
    assert not any("#" in svg for svg in drawings)
    assert all("currentColor" in svg and "aria-label" in svg for svg in drawings)
    both = next(molecule for molecule in pictures["task3"].ood if molecule.name == "COOH-6-NH2")
    assert "var(--part-a)" in both.svg
    assert "var(--part-b)" in both.svg
    alkane = next(molecule for molecule in pictures["task4"].train if molecule.name == "H-12-H")
    assert "var(--part" not in alkane.svg
