"""Croissant metadata, loaded by `mlcroissant` from the files as they lie on the Hub's Parquet branch."""

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dataset_builders.card.croissant import REPO, croissant
from dataset_builders.cli import main
from dataset_builders.core.errors import DataError
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.folder.schema import COLUMNS
from dataset_builders.tasks.editions import SPLITS

mlcroissant = pytest.importorskip("mlcroissant")

ID = "compgen/mlip-ood"
CONFIG = "task3-wb97x"


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """The folder on the branch `refs/convert/parquet`, where a split has a folder of its own."""
    root = tmp_path_factory.mktemp("repo")
    for path in MINI_DIRECTORY.glob("*/*.parquet"):
        target = root / path.parent.name / path.name.partition("-")[0] / "0000.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    return root


@pytest.fixture(scope="module")
def loaded(converted):
    return mlcroissant.Dataset(croissant(MINI_DIRECTORY, ID), mapping={REPO: str(converted)})


def test_it_is_valid(loaded):
    assert loaded.metadata.issues.errors == set()
    assert loaded.metadata.issues.warnings == set()


def test_it_names_all_configurations_and_columns():
    document = croissant(MINI_DIRECTORY, ID)
    records = {each["@id"]: each for each in document["recordSet"]}
    configs = sorted(path.name for path in MINI_DIRECTORY.iterdir() if path.is_dir())
    assert sorted(records) == sorted([*configs, *(f"{config}_splits" for config in configs)])
    names = [field["@id"] for field in records["task1"]["field"]]
    assert names == ["task1/split", *(f"task1/{name}" for name, _, _ in COLUMNS)]
    assert {field["name"]: field["description"] for field in records["task1"]["field"][1:]}["forces"].startswith("eV/Å")
    assert [each["task1_splits/split_name"] for each in records["task1_splits"]["data"]] == [*SPLITS]
    assert [each["task2-pbe_splits/split_name"] for each in records["task2-pbe_splits"]["data"]] == [
        "train",
        "test_id",
        "test_ood",
    ]


def test_it_says_what_the_hub_does_not_know():
    document = croissant(MINI_DIRECTORY, ID)
    assert document["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert document["version"] == "1.1.0"
    assert ID in document["citeAs"]
    assert "mini is the demonstration and test edition" in document["description"]
    assert document["rai:dataLimitations"]


def test_its_records_are_the_rows(loaded, caplog):
    with caplog.at_level(logging.WARNING):
        found = list(loaded.records(CONFIG))
    assert caplog.messages == []
    rows = {
        (split, row["molecule_id"], row["frame"]): row
        for split in ("train", "test_id", "test_ood")
        for path in sorted((MINI_DIRECTORY / CONFIG).glob(f"{split}-*.parquet"))
        for row in pq.read_table(path).to_pylist()
    }
    assert len(found) == len(rows) == 260
    for each in found:
        split, molecule = (each[f"{CONFIG}/{name}"].decode() for name in ("split", "molecule_id"))
        row = rows.pop((split, molecule, int(each[f"{CONFIG}/frame"])))
        assert each[f"{CONFIG}/smiles"].decode() == row["smiles"]
        assert float(each[f"{CONFIG}/energy"]) == row["energy"]
        for name in ("atomic_numbers", "positions", "forces"):
            np.testing.assert_array_equal(each[f"{CONFIG}/{name}"], row[name])
    assert rows == {}


def test_the_command_prints_it(capsys):
    assert main(["croissant", "mini", "someone/fork"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["url"].endswith("/datasets/someone/fork")
    assert main(["croissant", "mini", "fork"]) == 2
    assert "'fork' is not an id on the Hub" in capsys.readouterr().err


def test_a_folder_without_data(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no configuration such as task1/test_ood-"):
        croissant(tmp_path, ID)
    (tmp_path / "task1").mkdir()
    (tmp_path / "task1" / "train-00000-of-00001.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        croissant(tmp_path, ID)
