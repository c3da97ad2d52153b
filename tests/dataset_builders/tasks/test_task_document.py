import copy
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.errors import DataError, ModelError, UsageError
from dataset_builders.tasks.fragments import FRAGMENTS
from dataset_builders.tasks.regions import TASKS, Region
from dataset_builders.tasks.task_document import (
    declaration_of,
    parse_task,
    read_task_file,
    task_metadata,
    task_of_checkpoint,
    task_of_metadata,
)

ETHERS = Path(__file__).parents[1] / "ethers.toml"
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "task5.toml"


def document(**changes):
    found = tomllib.loads(ETHERS.read_text())
    return {**found, **changes}


def test_a_file_is_a_task():
    task = read_task_file(ETHERS)
    assert (task.name, task.title, task.tests, task.has_subsets) == (
        "ethers",
        "ether meets alkene",
        "systematicity",
        True,
    )
    assert task.train == (Region(("OMe", "vinyl"), (2,), "H"),)
    assert [each.molecule_id for each in task.train_words()] == ["OMe-2-H", "vinyl-2-H"]
    assert [(each.molecule_id, each.smiles) for each in task.ood_words()] == [("OMe-2-vinyl", "C=CCCOC")]


def test_a_declaration_comes_back_from_what_it_is_written_as():
    for path in (ETHERS, EXAMPLE):
        task = read_task_file(path)
        metadata = task_metadata(task)
        assert task_of_metadata(metadata, task.name, "file") == task
        assert declaration_of(task_of_metadata(metadata, task.name, "file")) == metadata["task"]
        assert task_of_checkpoint(task.name, metadata["task"], "model") == task


def test_the_four_tasks_are_not_declared():
    for name, task in TASKS.items():
        assert task_metadata(task) == {}
        assert task_of_metadata({}, name, "file") is task
        assert task_of_checkpoint(name, None, "model") is task


def test_a_right_end_can_be_any_fragment():
    task = parse_task(document(train=[{"left": ["OMe", "H"], "spacers": [2], "right": "vinyl"}]), "here")
    assert [each.molecule_id for each in task.train_words()] == ["OMe-2-vinyl", "vinyl-2-H"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour: unknown key"),
        ({"name": "task3"}, "the tasks task1 task2 task3 task4 are fixed; choose another name"),
        ({"name": "task5-pbe"}, "name = 'task5-pbe'"),
        ({"name": "Task5"}, "name = 'Task5'"),
        ({"title": ""}, "title = ''"),
        ({"title": "two\nlines"}, "title = "),
        ({"fragments": {"OH": "[*]OC"}}, "OH is a built-in fragment of another structure"),
        ({"fragments": {"a-b": "[*]OC"}}, "fragments.a-b"),
        ({"fragments": {"OMe": "OC"}}, "has 0 attachment points"),
        ({"train": []}, "train = "),
        ({"ood": [{"left": ["OMe"], "spacers": [2], "right": "other"}]}, "ood.0 has no words"),
        ({"ood": [{"left": ["ring"], "spacers": [2], "right": "H"}]}, "unknown fragment 'ring'; known fragments: H OH"),
        ({"ood": [{"left": ["OMe"], "spacers": [0], "right": "H"}]}, "ood.0.spacers.0 = '0'"),
        ({"ood": [{"left": ["OMe"], "spacers": [41], "right": "H"}]}, "ood.0.spacers.0 = '41'"),
        ({"ood": [{"left": ["OMe"], "spacers": ["2"], "right": "H"}]}, "ood.0.spacers.0 = '2'"),
        ({"ood": [{"left": ["OMe"], "spacers": [2]}]}, "ood.0.right: not given"),
    ],
)
def test_what_is_no_declaration_is_refused(changes, message):
    with pytest.raises(UsageError, match=f"here does not declare a valid task: .*{re.escape(message)}"):
        parse_task(document(**changes), "here")


def test_two_words_of_one_molecule_are_refused():
    fragments = {"OMe": "[*]OC", "methoxy": "CO[*]", "vinyl": "[*]C=C"}
    train = [{"left": ["OMe", "methoxy"], "spacers": [2], "right": "H"}]
    with pytest.raises(UsageError, match=r"OMe-2-H and methoxy-2-H are the same molecule \(CCOC\)"):
        parse_task(document(fragments=fragments, train=train), "here")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[*]S(C)(=O)=O", "[*][S+2](C)([O-])[O-]"),
        ("[*]C(N)=O", "[*]C(=[NH2+])[O-]"),
    ],
)
def test_one_molecule_in_two_spellings_is_refused(one, other):
    """Resonance formulas have different canonical SMILES; one would train and the other be held out."""
    train = [{"left": ["first"], "spacers": [2], "right": "H"}]
    ood = [{"left": ["second"], "spacers": [2], "right": "H"}]
    with pytest.raises(UsageError, match=r"first-2-H and second-2-H are the same molecule \(CC.*, CC.*\)"):
        parse_task(document(fragments={"first": one, "second": other}, train=train, ood=ood), "here")


def test_isomers_are_two_molecules():
    fragments = {"nitrite": "[*]ON=O", "nitro": "[*][N+](=O)[O-]", "Ac": "[*]C(C)=O", "vinyl": "[*]OC=C"}
    train = [{"left": list(fragments), "spacers": [2], "right": "H"}]
    ood = [{"left": list(fragments), "spacers": [4], "right": "H"}]
    assert len(parse_task(document(fragments=fragments, train=train, ood=ood), "here").train_words()) == 4


def test_a_fragment_that_can_be_read_as_chain_is_refused_where_it_matters():
    fragments = {"Me": "[*]C"}
    ood = [{"left": ["Me"], "spacers": [2], "right": "H"}]
    train = [{"left": ["H"], "spacers": [3], "right": "H"}]
    with pytest.raises(UsageError, match=r"H-3-H and Me-2-H are the same molecule \(CCC\)"):
        parse_task(document(fragments=fragments, train=train, ood=ood), "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "is not TOML"),
        (None, "cannot read the task file"),
        ("name = 3", "name = '3'"),
        ("", "name: not given"),
    ],
)
def test_files_that_declare_nothing(tmp_path, text, message):
    path = tmp_path / "task.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_task_file(path)


@pytest.mark.parametrize("value", ["[" * 50_000, "9" * 5000, "{a = " * 5000], ids=range(3))
def test_values_that_no_parser_can_take(tmp_path, value):
    path = tmp_path / "task.toml"
    path.write_text(f"title = {value}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"task\.toml is not TOML"):
        read_task_file(path)


def test_long_keys_and_large_integers_of_a_document_are_cut():
    with pytest.raises(UsageError, match="title = 'an integer of 20,000 bits'"):
        parse_task(document(title=16**5000 - 1), "here")
    with pytest.raises(UsageError, match=r"y{200}…: unknown key$"):
        parse_task({**document(), "y" * 70_000: 1}, "here")


def test_metadata_that_declare_no_task_or_another():
    metadata = task_metadata(read_task_file(ETHERS))
    with pytest.raises(DataError, match="its metadata declare no task of that name; expected one of task1"):
        task_of_metadata({}, "ethers", "ethers/train.parquet")
    with pytest.raises(DataError, match="a configuration of rings, but its metadata declare ethers"):
        task_of_metadata(metadata, "rings", "rings/train.parquet")
    with pytest.raises(DataError, match="the metadata of file does not declare a valid task"):
        task_of_metadata({"task": {"name": 3}}, "ethers", "file")
    with pytest.raises(DataError, match="a configuration of task1, but its metadata declare ethers"):
        task_of_metadata(metadata, "task1", "task1/train.parquet")


def test_a_checkpoint_that_does_not_say_what_its_task_is():
    with pytest.raises(
        ModelError, match=r"the config of model, which was trained on ethers, does not declare a valid task"
    ):
        task_of_checkpoint("ethers", None, "model")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 50) | st.text(max_size=6) | st.sampled_from(FRAGMENTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([*tomllib.loads(ETHERS.read_text()), "more"]), _VALUES)
def test_any_document_is_a_task_or_one_clear_error(key, value):
    changed = copy.deepcopy(document(**{key: value}))
    try:
        task = parse_task(changed, "here")
    except UsageError as error:
        assert str(error).startswith("here does not declare a valid task: ")  # noqa: PT017
        return
    assert parse_task(declaration_of(task), "again") == task


def test_a_declaration_of_more_words_than_anybody_needs_is_refused_before_one_is_made() -> None:
    fragments = {f"F{number}": f"[*]{'C' * number}O" for number in range(1, 100)}
    region = {"left": [*fragments], "spacers": [*range(1, 41)], "right": "other"}
    with pytest.raises(UsageError, match=r"the regions have up to 392,0.. words; expected at most 20,000"):
        parse_task(document(fragments=fragments, train=[region]), "here")
