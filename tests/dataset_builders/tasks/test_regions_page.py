"""docs/regions.md says of each candidate what its declaration comes to."""

import re
from pathlib import Path

import pytest

from dataset_builders.chemistry.environments import divergence, uncovered, undetermined
from dataset_builders.tasks.regions import TASKS
from dataset_builders.tasks.task_document import read_task_file

DOCS = Path(__file__).parents[3] / "docs"
ROW = re.compile(
    r"^\| \**`(\w+)`\** \| .* \| (\d+ / \d+) \| \**(\d+/\d+)\** \| \**(\d+/\d+)\** \| (\d\.\d\d) \| (.+) \|$",
    flags=re.MULTILINE,
)
ROWS = {name: rest for name, *rest in ROW.findall((DOCS / "regions.md").read_text())}


def region(name):
    return TASKS[name] if name in TASKS else read_task_file(DOCS / "examples" / "regions" / f"{name}.toml")


def test_every_declared_candidate_is_in_the_table():
    declared = {path.stem for path in (DOCS / "examples" / "regions").glob("*.toml")}
    assert set(ROWS) == {*TASKS, *declared}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_the_table_of_candidates(name):
    molecules, covered, fixed, atoms_apart, _ = ROWS[name]
    task = region(name)
    train, ood = ([each.smiles for each in words] for words in (task.train_words(), task.ood_words()))
    assert molecules == f"{len(train)} / {len(ood)}"
    assert uncovered(train, ood, 1) == ()
    assert covered == f"{len(ood) - len(uncovered(train, ood, 2))}/{len(ood)}"
    assert fixed == f"{len(ood) - len(undetermined(train, ood, 1))}/{len(ood)}"
    assert atoms_apart == f"{divergence(train, ood, 2):.2f}"


@pytest.mark.parametrize("name", sorted(set(ROWS) - set(TASKS)))
def test_candidates_keep_the_unseen_words(name):
    ours = TASKS[name.partition("_")[0]]
    assert {each.smiles for each in region(name).ood_words()} == {each.smiles for each in ours.ood_words()}
