"""`verify` of finished runs: what was changed after the evaluation is found, in each file of a run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.core.errors import DataError, MlipOodError, UsageError
from harness.cli import main
from harness.submission.places import _hub_place, places_of
from harness.submission.verify_command import main as verify


@pytest.fixture
def run(made: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil."""
    return Path(shutil.copytree(made.run.directory, tmp_path / made.run.directory.name))


@pytest.fixture
def verified(tiny_dataset: Path, made: SimpleNamespace) -> Callable[[Path], int]:
    """Verifies a run against the tiny data set."""
    record = str(made.record)
    return lambda run: verify([str(run), "--dataset", str(tiny_dataset), "--record", record])


def _edit(path: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_a_run_is_reproduced(run: Path, verified: Callable[[Path], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(run) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{run.name}: sound" in printed
    assert "are reproduced from the predictions, to the last bit" in printed
    assert verified(run / "result.json") == 0


def test_a_changed_metric_is_found(
    run: Path, verified: Callable[[Path], int], capsys: pytest.CaptureFixture[str]
) -> None:
    def lower(result: Any) -> None:
        result["tasks"]["task1"]["splits"]["test_ood"]["metrics"]["force_mae"]["value"] *= 0.99

    _edit(run / "result.json", lower)
    with pytest.raises(DataError, match=r"test_ood\.metrics\.force_mae\.value is .*; its predictions give"):
        verified(run)
    assert "wrong" in capsys.readouterr().out


def test_a_changed_prediction_is_found(run: Path, verified: Callable[[Path], int]) -> None:
    path = sorted((run / "predictions").glob("*.parquet"))[0]
    table = pq.read_table(path)
    energies = table["energy"].to_pylist()
    energies[0] += 0.01
    place = table.schema.get_field_index("energy")
    pq.write_table(table.set_column(place, "energy", pa.array(energies, pa.float64())), path)
    with pytest.raises(MlipOodError, match="are damaged, or belong to another"):
        verified(run)


def test_another_data_set_is_found(run: Path, made: SimpleNamespace) -> None:
    with pytest.raises(DataError, match="not one of the accepted data sets"):
        verify([str(run), "--dataset", "mini", "--record", str(made.record)])


def test_other_code_is_found(run: Path, verified: Callable[[Path], int]) -> None:
    for name in ("run.json", "result.json"):
        _edit(run / name, lambda record: record["environment"].update(code_hash="0" * 64))
    with pytest.raises(DataError, match=r"identity\.code_hash"):
        verified(run)


def test_an_unfinished_run_is_no_place(tmp_path: Path, run: Path) -> None:
    (run / "result.json").unlink()
    with pytest.raises(DataError, match="refused"):
        verify([str(run)])


def test_a_missing_place_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder of a finished run or method, or a repo of results"):
        places_of(["nowhere"], tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/results", ("org/results", None, None)),
        ("org/results@v1.0", ("org/results", "v1.0", None)),
        ("org/results/entries/a-0123456789ab", ("org/results", None, "/entries/a-0123456789ab")),
        ("org/results@main/entries/a-0123456789ab", ("org/results", "main", "/entries/a-0123456789ab")),
        ("HUB/datasets/org/results", ("org/results", None, None)),
        ("HUB/datasets/org/results/tree/main/entries/a-01", ("org/results", "main", "/entries/a-01")),
        ("results", None),
        ("a/b/c", None),
        ("../results", None),
        ("http://elsewhere/datasets/org/results", None),
        ("org/results/entries/../../x", None),
    ],
)
def test_places_on_the_hub(text: str, expected: tuple[str, str | None, str | None] | None) -> None:
    from huggingface_hub import constants

    assert _hub_place(text.replace("HUB", constants.ENDPOINT)) == expected


def test_a_run_given_twice_is_checked_once(run: Path, made: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--record"):
        places_of([str(run)], tmp_path / "work")  # its model moved away with the copy
    assert len(places_of([str(run), str(run)], tmp_path / "other", [made.record])) == 1


def test_the_command_is_reached_from_the_program(run: Path, made: SimpleNamespace, tiny_dataset: Path) -> None:
    arguments = ["verify", str(run), "--dataset", str(tiny_dataset), "--record", str(made.record)]
    assert main(arguments) == 0
