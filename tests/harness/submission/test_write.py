"""What `submit` writes, and what it refuses to."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dataset_builders.core.errors import DataError, UsageError
from harness.submission import entry_document as limits
from harness.submission import write
from harness.submission.entry_document import HubPlace, entry_id, parse_entry, slug_of
from harness.submission.verify import verify_entry
from harness.submission.write import write_entry
from tests.harness.submission.forging import edit, run_of
from tests.loopback_hub import LoopbackHub


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_entry_holds_the_run_and_no_path_of_this_machine(made: SimpleNamespace) -> None:
    files = files_of(made.entry)
    run = f"runs/{made.run.directory.name}"
    shards = [f"{run}/predictions/{path.name}" for path in (made.run.directory / "predictions").iterdir()]
    assert sorted(files) == sorted(
        ["entry.json", f"{run}/mlip-ood.json", f"{run}/result.json", f"{run}/run.json", *shards]
    )
    assert files[f"{run}/result.json"] == (made.run.directory / "result.json").read_bytes()
    assert json.loads(files[f"{run}/run.json"])["dataset_directory"] == made.run.result.dataset.id
    assert made.written.n_bytes == sum(map(len, files.values()))
    assert made.entry.name == f"toy-{entry_id([made.run.directory.name])}"


def test_an_entry_written_again_is_the_same(made: SimpleNamespace, tmp_path: Path) -> None:
    for _ in range(2):
        again = write_entry([made.run.directory], tmp_path, made.options).directory
    assert files_of(again) == files_of(made.entry)
    assert [path.name for path in tmp_path.iterdir()] == [made.entry.name]


def test_an_entry_takes_the_place_of_no_other_folder(made: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / made.entry.name).mkdir()
    (tmp_path / made.entry.name / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="exists and is not an entry; move it away"):
        write_entry([made.run.directory], tmp_path, made.options)
    assert (tmp_path / made.entry.name / "thesis.tex").exists()


def test_what_would_be_refused_is_not_written(made: SimpleNamespace, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made.run.directory, tmp_path / made.run.directory.name))
    edit(run / "result.json", lambda document: document["tasks"]["task1"]["score"].update(value=99.0))
    with pytest.raises(DataError, match=r"would be refused, and was not written:\n.*score\.value is 99\.0; its pred"):
        write_entry([run], tmp_path / "entries", made.options)
    assert not list((tmp_path / "entries").iterdir())


def test_the_declaration_is_found_by_its_hash(made: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"m\.model was loaded with a mlip-ood\.json of sha256 .*--record"):
        write_entry([made.run.directory], tmp_path, replace(made.options, records=()))
    other = tmp_path / "mlip-ood.json"
    other.write_text("{}")
    with pytest.raises(UsageError, match="--record"):
        write_entry([made.run.directory], tmp_path, replace(made.options, records=(other,)))


@pytest.mark.parametrize("name", ["A", "a b", "../a", "", "a" * 61, "ä"])
def test_names_are_plain(made: SimpleNamespace, tmp_path: Path, name: str) -> None:
    if name:
        with pytest.raises(UsageError, match="is not a valid name of an entry"):
            write_entry([made.run.directory], tmp_path, replace(made.options, name=name))


def test_an_entry_is_called_after_its_model_unless_it_is_named(made: SimpleNamespace, tmp_path: Path) -> None:
    written = write_entry([made.run.directory], tmp_path, replace(made.options, name=None))
    assert written.directory.name.startswith("m-model-")
    assert slug_of("My Model_v2 (best).pt") == "my-model-v2-best-pt"


@pytest.mark.parametrize("where", ["", "a\nb", "\x1b[2J", "x" * 201])
def test_where_the_checkpoint_is_stands_in_one_line(made: SimpleNamespace, tmp_path: Path, where: str) -> None:
    with pytest.raises(UsageError, match=r"--checkpoint .*expected one line"):
        write_entry([made.run.directory], tmp_path, replace(made.options, checkpoint=where))


def test_a_folder_that_is_no_run_is_refused(made: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not the folder of a run"):
        write_entry([tmp_path], tmp_path / "entries", made.options)
    run = Path(shutil.copytree(made.run.directory, tmp_path / "run"))
    shutil.rmtree(run / "predictions")
    with pytest.raises(DataError, match="contains no predictions"):
        write_entry([run], tmp_path / "entries", made.options)


def test_one_run_in_two_folders_is_named_twice(made: SimpleNamespace, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made.run.directory, tmp_path / "copy"))
    with pytest.raises(UsageError, match=f"the run {made.run.directory.name} is given twice"):
        write_entry([made.run.directory, copy], tmp_path / "entries", made.options)


def test_what_a_repo_cannot_carry_is_to_be_uploaded(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = write._content
    monkeypatch.setattr(write, "_content", lambda path, most: read(path, 10 * most))
    monkeypatch.setattr(write, "MAX_CARRIED_BYTES", 10_000)
    with pytest.raises(UsageError, match=r"a repo of results takes at most 0\. Upload the folder `predictions`"):
        write_entry([made.run.directory], tmp_path, made.options)


def test_an_entry_that_says_it_carries_more_is_none(made: SimpleNamespace) -> None:
    document = json.loads((made.entry / "entry.json").read_text())
    (run,) = document["runs"].values()
    (shard,) = run["predictions"].values()
    run["predictions"] = {f"{number:016x}.parquet": dict(shard, n_bytes=limits._MAX_SHARD_BYTES) for number in range(2)}
    with pytest.raises(DataError, match=r"all that the entry carries has .* bytes; expected at most 67,108,864"):
        parse_entry(json.dumps(document).encode(), "entry.json")


# Predictions on the Hub


@pytest.fixture
def uploaded(hub: LoopbackHub, made: SimpleNamespace) -> HubPlace:
    """The predictions of the run in a data-set repo."""
    from huggingface_hub import HfApi

    hub.add_user("me")
    hub.log_in("me")
    HfApi().create_repo("me/predictions", repo_type="dataset")
    commit = HfApi().upload_folder(
        repo_id="me/predictions",
        repo_type="dataset",
        folder_path=made.run.directory / "predictions",
        path_in_repo=f"toys/{made.run.directory.name}",
    )
    return HubPlace(repo="me/predictions", revision=commit.oid, folder="toys")


def test_predictions_may_lie_on_the_hub(uploaded: HubPlace, made: SimpleNamespace, tmp_path: Path) -> None:
    written = write_entry([made.run.directory], tmp_path, replace(made.options, predictions_at=uploaded))
    assert not list(written.directory.rglob("*.parquet"))
    assert written.directory.name == made.entry.name
    said = "\n".join(finding.text for finding in written.report.findings)
    assert f"predictions at me/predictions@{uploaded.revision}/toys/{made.run.directory.name}" in said
    assert "are reproduced from the predictions, to the last bit" in said


def test_predictions_that_are_not_there_are_a_fault(uploaded: HubPlace, made: SimpleNamespace, tmp_path: Path) -> None:
    options = replace(made.options, predictions_at=uploaded.model_copy(update={"folder": "elsewhere"}))
    with pytest.raises(DataError, match="has no bytes; the entry states"):
        write_entry([made.run.directory], tmp_path, options)
    options = replace(made.options, predictions_at=uploaded.model_copy(update={"revision": "0" * 40}))
    with pytest.raises(DataError, match="would be refused"):
        write_entry([made.run.directory], tmp_path, options)


def test_predictions_of_another_size_or_content_are_not_used(
    uploaded: HubPlace, made: SimpleNamespace, tmp_path: Path, tiny_dataset: Path
) -> None:
    entry = write_entry([made.run.directory], tmp_path, replace(made.options, predictions_at=uploaded)).directory

    def changed(key: str, value: Any) -> str:
        def change(document: Any) -> None:
            (run,) = document["runs"].values()
            (shard,) = run["predictions"].values()
            shard[key] = value

        edit(entry / "entry.json", change)
        return "\n".join(fault.text for fault in verify_entry(entry, [str(tiny_dataset)]).faults)

    assert "has the sha256" in changed("sha256", "0" * 64)
    assert "bytes; the entry states 17" in changed("n_bytes", 17)
    assert run_of(entry).is_dir()
