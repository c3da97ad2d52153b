"""What a model is said to have been trained on: read, checked, refused, and kept in the result."""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.core.errors import DataError, ModelError, UsageError
from dataset_builders.core.terminal import console
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.tasks.task_document import declaration_of, parse_task
from harness.cli import main
from harness.core.family import Family
from harness.core.potential import PotentialTraits
from harness.core.training_record import MAX_BYTES
from harness.data.dataset import open_dataset, open_levels
from harness.evaluation.run import FinishedRun, RunOptions, evaluate_again, evaluate_model
from harness.models.detection import Checkpoint, find_record
from harness.models.registry import ModelSource, identify
from harness.models.training_declaration import Statement, declaration_for, statement_of
from harness.report.compare import comparison_documents, comparison_table
from harness.report.table import footer
from harness.results.identity import run_identity
from harness.results.result import ModelRecord, RunResult
from harness.trust.pickles import sha256_of
from tests.harness.potentials.molecules import saved, small_mace
from tests.harness.small_dataset import frames_of, write_level, write_split
from tests.harness.toy_potential import TRAITS, Harmonic
from tests.harness.training_records import record_of, write_record

ZERO_SHOT: PotentialTraits = replace(TRAITS, protocol="zero-shot")
MACE = Family("mace", "harness.potentials.mace", "mace", files=("*.model",))
OURS = Family("graph-pes", "harness.potentials.graph_pes", "graph_pes", in_config=True)
PBE = LEVELS["pbe-d3bj"]
FROM_SCRATCH = Statement("task1", "from-scratch")
ENDS = {
    "name": "ends",
    "title": "Ends",
    "tests": "systematicity",
    "train": [{"left": ["OH", "SH"], "spacers": [2], "right": "H"}],
    "ood": [{"left": ["OH", "SH"], "spacers": [3], "right": "other"}],
}


@pytest.fixture
def record(tiny_dataset: Path) -> dict[str, Any]:
    return record_of(tiny_dataset, "task1")


def evaluated(
    monkeypatch: pytest.MonkeyPatch,
    dataset: Path,
    output: Path,
    *,
    record: Path | None = None,
    traits: PotentialTraits = ZERO_SHOT,
    family: Family = MACE,
    **options: Any,
) -> FinishedRun:
    """Evaluates a toy that passes for a model of a family."""
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: Harmonic(traits))
    monkeypatch.setattr("harness.worker.loading._needs_worker", lambda *_: False)
    source = ModelSource("toy", family, None, record=record)
    run = evaluate_model(source, open_levels(str(dataset)), RunOptions(output=output, quiet=True, **options))
    assert run is not None
    return run


def lines_of(result: RunResult) -> str:
    return "\n".join(footer([result]))


# The command line


def test_options_say_how_training_began() -> None:
    assert statement_of(None, None, None) is None
    assert statement_of("task3", None, None) == Statement("task3")
    assert Statement("task3").whole == Statement("task3", "from-scratch")
    assert Statement("task3", base="org/model").whole == Statement("task3", "fine-tuned", "org/model")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None, "from-scratch", None), "--protocol from-scratch without --trained-on TASK"),
        ((None, None, "org/model"), "--base org/model without --trained-on TASK"),
        (("task3", "from-scratch", "org/model"), "--protocol from-scratch and --base org/model contradict each other"),
        (("task3", "fine-tuned", None), "--protocol fine-tuned without --base"),
        (("task3", None, " "), "--base ' '; expected the name of the model"),
        (("task3", None, "a\x1b[2J"), "--base 'a"),
        (("task3", None, "a" * 300), "in one line of at most 200 characters"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        statement_of(*options)


def test_a_task_that_nobody_knows_is_refused(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "zero", "--dataset", str(tiny_dataset), "--trained-on", "task7"]) == 2
    assert "unknown task 'task7'; known tasks: task1 task2 task3 task4" in capsys.readouterr().err


def test_what_the_command_line_states_is_the_protocol(
    monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = evaluated(monkeypatch, tiny_dataset, tmp_path, statement=Statement("task1"))
    result = RunResult.load(run.directory / "result.json")
    model = result.model
    assert (model.protocol, model.trained_on, model.level_of_theory) == ("from-scratch", "task1", "MMFF94")
    assert (model.training, model.stated_by, model.base, model.unchecked) == ("stated", "the user", None, None)
    assert [*result.tasks] == ["task1"]
    assert result.tasks["task1"].protocol == "from-scratch"
    assert "from-scratch on task1, as stated by the user; level of theory MMFF94" in lines_of(result)
    assert "question" not in lines_of(result)
    assert evaluate_again(run.directory).result.model == model


def test_a_stated_base_is_kept(monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path) -> None:
    run = evaluated(monkeypatch, tiny_dataset, tmp_path, statement=Statement("task1", base="org/base"))
    assert (run.result.model.protocol, run.result.model.base) == ("fine-tuned", "org/base")
    assert "fine-tuned on task1 of org/base, as stated by the user" in lines_of(run.result)


def test_another_task_is_refused(monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="was trained on task4, so it cannot be tested on task1: 4 of the 40 OOD"):
        evaluated(monkeypatch, tiny_dataset, tmp_path, statement=Statement("task4"), tasks=("task1",))


def test_the_level_is_that_of_the_labels_or_as_stated(
    monkeypatch: pytest.MonkeyPatch, own_dataset: Path, tmp_path: Path
) -> None:
    write_level(own_dataset, PBE, ["task1"], {"train": 1, "validation": 1, "test_id": 4, "test_ood": 4})
    run = evaluated(monkeypatch, own_dataset, tmp_path, statement=FROM_SCRATCH, level_of_theory=PBE.name)
    assert (run.result.dataset.suffix, run.result.model.level_of_theory) == ("pbe", PBE.method)
    assert run.result.model.level_is_stated


def test_controls_are_none_of_the_models_that_are_stated(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--dataset", str(tiny_dataset), "--output", str(tmp_path), "--quiet", "--trained-on", "task1"]
    assert main(["--model", "mmff94", *options]) == 0
    (path,) = tmp_path.glob("*/*/result.json")
    result = RunResult.load(path)
    assert (result.model.protocol, result.model.training, [*result.tasks]) == ("control", None, ["task1", "task4"])
    assert "question" not in capsys.readouterr().out


def test_a_published_model_was_not_trained_from_scratch(
    monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path
) -> None:
    named = replace(ZERO_SHOT, level_of_theory=PBE.method)
    with pytest.raises(
        UsageError, match=r"published model of PBE-D3\(BJ\)/def2-TZVP, so it was not trained from scrat"
    ):
        evaluated(monkeypatch, tiny_dataset, tmp_path, traits=named, statement=FROM_SCRATCH)
    tuned = Statement("task1", base="org/base")
    run = evaluated(monkeypatch, tiny_dataset, tmp_path, traits=named, statement=tuned)
    assert (run.result.model.protocol, run.result.model.level_of_theory) == ("fine-tuned", "MMFF94")


def test_another_statement_is_another_run(tiny_dataset: Path) -> None:
    dataset = open_dataset(str(tiny_dataset))
    stated = replace(ZERO_SHOT, protocol="from-scratch", trained_on="task1", training="stated")
    traits = [
        ZERO_SHOT,
        stated,
        replace(stated, protocol="fine-tuned", base="a/b"),
        replace(stated, protocol="fine-tuned", base="a/c"),
    ]
    assert len({str(run_identity(each, dataset, ("task1",), 512)) for each in traits}) == 4
    proved = replace(stated, training="proved")
    assert run_identity(proved, dataset, ("task1",), 512) == run_identity(ZERO_SHOT, dataset, ("task1",), 512)


# The file beside a model


def test_the_file_beside_a_model_is_found(tmp_path: Path, record: dict[str, Any]) -> None:
    (tmp_path / "m.model").write_bytes(b"weights")
    assert identify(str(tmp_path / "m.model")).record is None
    in_folder = write_record(tmp_path / "mlip-ood.json", record)
    assert identify(str(tmp_path / "m.model")).record == in_folder
    assert identify(str(tmp_path)).record == in_folder
    beside = write_record(tmp_path / "m.model.mlip-ood.json", record)
    assert identify(str(tmp_path / "m.model")).record == beside
    assert identify(str(tmp_path)).record == beside
    assert identify(str(tmp_path / "m.model"), "ase").record == beside
    assert identify(str(tmp_path), "ase").record == in_folder
    assert identify("reference").record is None


@pytest.mark.parametrize(
    ("path", "files", "expected"),
    [
        ("a/m.model", ["a/m.model"], None),
        ("a/m.model", ["a/m.model", "b/mlip-ood.json"], None),
        ("a/m.model", ["a/m.model", "mlip-ood.json"], "mlip-ood.json"),
        ("a/m.model", ["a/m.model", "mlip-ood.json", "a/mlip-ood.json"], "a/mlip-ood.json"),
        ("a", ["a/config.json", "mlip-ood.json", "a/mlip-ood.json"], "a/mlip-ood.json"),
        (".", ["config.json", "mlip-ood.json", "a/mlip-ood.json"], "mlip-ood.json"),
        ("m.model", ["m.model", "other.model.mlip-ood.json"], None),
    ],
)
def test_the_nearest_file_is_that_of_a_checkpoint(path: str, files: list[str], expected: str | None) -> None:
    names = tuple(name for name in files if "mlip-ood" not in name)
    assert find_record(files, Checkpoint(MACE, path, names)) == expected


def test_what_the_file_says_is_the_protocol(
    monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path, record: dict[str, Any]
) -> None:
    path = write_record(tmp_path / "mlip-ood.json", record | {"protocol": "fine-tuned", "base": "org/base"})
    run = evaluated(monkeypatch, tiny_dataset, tmp_path, record=path)
    model = RunResult.load(run.directory / "result.json").model
    assert (model.protocol, model.base, model.trained_on) == ("fine-tuned", "org/base", "task1")
    assert (model.level_of_theory, model.training, model.unchecked) == ("MMFF94", "stated", None)
    assert model.files["mlip-ood.json"] == sha256_of(path)
    assert [*run.result.tasks] == ["task1"]
    assert "fine-tuned on task1 of org/base, as stated by mlip-ood.json; level" in lines_of(run.result)
    with pytest.raises(UsageError, match="was trained on task1, so it cannot be tested on task4"):
        evaluated(monkeypatch, tiny_dataset, tmp_path, record=path, tasks=("task4",))


def test_another_file_is_another_run(
    monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path, record: dict[str, Any]
) -> None:
    path = write_record(tmp_path / "mlip-ood.json", record)
    first = evaluated(monkeypatch, tiny_dataset, tmp_path / "out", record=path)
    write_record(path, record | {"protocol": "fine-tuned", "base": "org/base"})
    second = evaluated(monkeypatch, tiny_dataset, tmp_path / "out", record=path)
    assert first.directory != second.directory


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (Statement("task4"), "--trained-on task4, but {} states task1"),
        (Statement("task1", "fine-tuned", "a/b"), "--protocol fine-tuned, but {} states from-scratch"),
        (Statement("task1", base="a/b"), "--base a/b, but {} states that there is none"),
    ],
)
def test_file_and_command_line_must_agree(
    tiny_dataset: Path, tmp_path: Path, record: dict[str, Any], stated: Statement, message: str
) -> None:
    path = write_record(tmp_path / "mlip-ood.json", record)
    source = ModelSource("toy", MACE, None, record=path)
    with pytest.raises(UsageError, match=re.escape(message.format(path))):
        declaration_for(source, stated, [open_dataset(str(tiny_dataset))])
    for same in (Statement("task1"), FROM_SCRATCH):
        found = declaration_for(source, same, [open_dataset(str(tiny_dataset))])
        assert found is not None
        assert found.statement == FROM_SCRATCH


SIZE = {"n_frames": 4, "n_molecules": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"splits": {"train": SIZE, "test_ood": SIZE}},
            "lists the split test_ood of task1, so the model may have been trained",
        ),
        ({"splits": {"train": SIZE, "test_id": SIZE}}, "lists the split test_id of task1"),
        ({"splits": {"validation": SIZE}}, "lists only validation of task1, not train"),
        ({"molecules": ["CN-6-H", "F-6-H", "OH-2-H"]}, r"lists 2 OOD molecules of task1 among .* \(CN-6-H, F-6-H\)"),
        ({"molecules": ["Cl-2-Cl", "OH-2-H"]}, r"1 molecules that are not training molecules of task1 \(Cl-2"),
    ],
)
def test_a_training_on_what_is_tested_is_refused(
    tiny_dataset: Path, tmp_path: Path, record: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    sizes = {"splits": {"train": SIZE, "validation": SIZE}} if "molecules" in changes else {}
    path = write_record(tmp_path / "mlip-ood.json", record | sizes | changes)
    with pytest.raises(DataError, match=message) as caught:
        declaration_for(ModelSource("toy", MACE, None, record=path), None, [open_dataset(str(tiny_dataset))])
    assert str(path) in str(caught.value)


def test_other_data_are_refused_with_both_hashes(tiny_dataset: Path, tmp_path: Path, record: dict[str, Any]) -> None:
    other = record["dataset"] | {"content_hash": "abcdef012345" + "0" * 52, "id": "org/data", "revision": "1" * 40}
    path = write_record(tmp_path / "mlip-ood.json", record | {"dataset": other})
    found = record["dataset"]["content_hash"][:12]
    message = (
        rf"content abcdef012345 \(org/data@1+\), but train and validation of .* have {found}.*--dataset org/data@1"
    )
    with pytest.raises(DataError, match=message):
        declaration_for(ModelSource("toy", MACE, None, record=path), None, [open_dataset(str(tiny_dataset))])


def with_edition(record: dict[str, Any], edition: str) -> dict[str, Any]:
    return record | {"dataset": record["dataset"] | {"edition": edition, "content_hash": "0" * 64}}


def test_editions_of_one_recipe_nest_and_are_not_compared(tmp_path: Path) -> None:
    document = with_edition(record_of(MINI_DIRECTORY, "task3"), "standard")
    path = write_record(tmp_path / "mlip-ood.json", document)
    found = declaration_for(ModelSource("toy", MACE, None, record=path), None, [open_dataset("mini")])
    assert found is not None
    assert found.unchecked == "trained on edition standard, not checked here"
    molecules = sorted([*document["molecules"], "CHO-2-CN"])
    write_record(path, document | {"molecules": molecules})
    with pytest.raises(DataError, match=r"lists 1 OOD molecules of task3 .* \(CHO-2-CN\)"):
        declaration_for(ModelSource("toy", MACE, None, record=path), None, [open_dataset("mini")])


def test_the_table_says_what_was_not_compared(
    monkeypatch: pytest.MonkeyPatch, own_dataset: Path, tmp_path: Path, record: dict[str, Any]
) -> None:
    at_pbe = record | {"level_of_theory": PBE.method, "suffix": "pbe"}
    path = write_record(tmp_path / "mlip-ood.json", at_pbe)
    run = evaluated(monkeypatch, own_dataset, tmp_path, record=path)
    text = f"as stated by mlip-ood.json (trained on task1-pbe ({PBE.method}), not checked here); level of theory PBE"
    assert text in lines_of(run.result)
    assert f"caution: the level of theory of toy is {PBE.method}, that of the labels MMFF94" in lines_of(run.result)


def test_other_editions_are_not_known_to_nest(tiny_dataset: Path, tmp_path: Path, record: dict[str, Any]) -> None:
    path = write_record(tmp_path / "mlip-ood.json", with_edition(record, "standard"))
    with pytest.raises(DataError, match=r"edition standard of task1, but .* is tiny; only editions"):
        declaration_for(ModelSource("toy", MACE, None, record=path), None, [open_dataset(str(tiny_dataset))])


def test_labels_are_those_of_the_training(
    monkeypatch: pytest.MonkeyPatch, own_dataset: Path, tmp_path: Path, record: dict[str, Any]
) -> None:
    write_level(own_dataset, PBE, ["task1"], {"train": 1, "validation": 1, "test_id": 4, "test_ood": 4})
    path = write_record(tmp_path / "mlip-ood.json", record_of(own_dataset, "task1", PBE))
    run = evaluated(monkeypatch, own_dataset, tmp_path, record=path)
    assert (run.result.dataset.suffix, run.result.levels_agree, run.result.model.unchecked) == ("pbe", True, None)


def test_frames_that_the_data_set_left_out_are_not_compared(
    own_dataset: Path, tmp_path: Path, record: dict[str, Any]
) -> None:
    write_level(own_dataset, PBE, ["task1"], {"train": 1, "validation": 0, "test_id": 4, "test_ood": 4})
    path = write_record(tmp_path / "mlip-ood.json", record | {"level_of_theory": PBE.method, "suffix": "pbe"})
    found = declaration_for(ModelSource("toy", MACE, None, record=path), None, [open_dataset(str(own_dataset), PBE)])
    assert found is not None
    assert found.unchecked is not None
    assert found.unchecked.startswith("trained on frames of validation that ")


@pytest.fixture
def ends(tmp_path: Path) -> Path:
    """A data set with a task of its own."""
    task = parse_task(ENDS, "here")
    metadata = {"edition": "tiny", "level_of_theory": {"method": "MMFF94"}, "task": declaration_of(task)}
    for split, words in (
        ("train", task.train_words()),
        ("validation", task.train_words()),
        ("test_id", task.train_words()),
        ("test_ood", task.ood_words()),
    ):
        table = pa.concat_tables([frames_of(word, split) for word in words])  # type: ignore[arg-type]
        write_split(tmp_path / "ends", "ends", split, table, metadata)
    return tmp_path / "ends"


def test_a_task_of_ones_own_is_known_by_its_declaration(
    monkeypatch: pytest.MonkeyPatch, ends: Path, tmp_path: Path
) -> None:
    document = record_of(ends, "ends", task_declaration=declaration_of(parse_task(ENDS, "here")))
    path = write_record(tmp_path / "mlip-ood.json", document)
    for options in ({"record": path}, {"statement": Statement("ends")}):
        run = evaluated(monkeypatch, ends, tmp_path / "out", **options)
        assert (run.result.model.trained_on, [*run.result.tasks]) == ("ends", ["ends"])
    other = {**ENDS, "ood": [{"left": ["OH", "SH"], "spacers": [4], "right": "other"}]}
    write_record(path, document | {"task_declaration": declaration_of(parse_task(other, "here"))})
    with pytest.raises(UsageError, match="was trained on a task ends whose molecules differ from those"):
        evaluated(monkeypatch, ends, tmp_path / "out", record=path)


# Checkpoints that prove it


PROVED: PotentialTraits = replace(
    TRAITS, protocol="from-scratch", trained_on="task1", level_of_theory="MMFF94", files={"config.json": "0" * 64}
)


def test_a_checkpoint_of_ours_proves_its_training(
    monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path, record: dict[str, Any]
) -> None:
    run = evaluated(monkeypatch, tiny_dataset, tmp_path, traits=PROVED, family=OURS)
    assert (run.result.model.training, run.result.model.stated_by) == ("proved", None)
    assert "from-scratch on task1 (proved); level of theory" in lines_of(run.result)
    path = write_record(tmp_path / "mlip-ood.json", record)
    again = evaluated(
        monkeypatch, tiny_dataset, tmp_path, traits=PROVED, family=OURS, record=path, statement=FROM_SCRATCH
    )
    assert again.result.model.training == "proved"


def test_what_a_plug_in_says_is_a_statement(
    monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path
) -> None:
    claiming = replace(PROVED, training="proved", base="\x1b[2J")
    family = replace(OURS, module="others.adapter")
    run = evaluated(monkeypatch, tiny_dataset, tmp_path, traits=claiming, family=family)
    assert (run.result.model.training, run.result.model.base) == ("stated", None)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (
            Statement("task4"),
            "the command line states that the task of the training of toy was task4, but the checkpoint",
        ),
        (
            Statement("task1", base="a/b"),
            "the protocol of the training of toy was fine-tuned, but the checkpoint itself",
        ),
    ],
)
def test_a_checkpoint_of_ours_is_not_contradicted_by_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path, stated: Statement, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        evaluated(monkeypatch, tiny_dataset, tmp_path, traits=PROVED, family=OURS, statement=stated)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"protocol": "fine-tuned", "base": "a/b"},
            "states that the protocol of the training of toy was fine-tuned, but",
        ),
        ({"level_of_theory": "PBE"}, "the level of theory of the training of toy was PBE, but the checkpoint itself"),
    ],
)
def test_a_checkpoint_of_ours_is_not_contradicted_by_a_file(
    monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write_record(tmp_path / "mlip-ood.json", record_of(tiny_dataset, "task1", **changes))
    with pytest.raises(ModelError, match=message):
        evaluated(monkeypatch, tiny_dataset, tmp_path, traits=PROVED, family=OURS, record=path)


# The question


def test_a_model_that_says_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = evaluated(monkeypatch, tiny_dataset, tmp_path)
    assert run.result.model.training is None
    question = (
        "question: toy does not state its training and is taken as zero-shot. If it was trained on a task of this bench"
    )
    assert question in lines_of(run.result)
    assert question in lines_of(evaluate_again(run.directory).result)


def model_record(**changes: Any) -> ModelRecord:
    known = {"id": "m", "family": "mace", "revision": None, "files": {}, "trained_on": None, "dtype": "float32"}
    known |= {"device": "cpu", "elements": None, "conservative": True, "protocol": "zero-shot", "level_of_theory": None}
    return ModelRecord(**known | changes)


@pytest.mark.parametrize(
    ("changes", "is_asked"),
    [
        ({}, True),
        ({"level_of_theory": "PBE", "level_is_stated": True}, True),
        ({"level_of_theory": "PBE", "family": "torchsim"}, True),
        ({"level_of_theory": "PBE"}, False),
        ({"protocol": "control"}, False),
        ({"protocol": "from-scratch", "trained_on": "task1", "training": "stated"}, False),
        ({"protocol": "from-scratch", "trained_on": "task1"}, False),
    ],
)
def test_who_is_asked(changes: dict[str, Any], is_asked: bool) -> None:
    assert (model_record(**changes).question is not None) == is_asked


def test_a_result_of_an_earlier_version_still_loads() -> None:
    document = model_record(protocol="from-scratch", trained_on="task1").model_dump()
    for key in ("training", "base", "unchecked"):
        del document[key]
    earlier = ModelRecord.model_validate(document)
    assert (earlier.training, earlier.stated_by, earlier.unchecked) == (None, None, None)


def test_a_comparison_says_what_is_stated(monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path, tmp_path: Path) -> None:
    stated = evaluated(monkeypatch, tiny_dataset, tmp_path, statement=FROM_SCRATCH).result
    other = evaluated(monkeypatch, tiny_dataset, tmp_path, traits=replace(ZERO_SHOT, dtype="float32")).result
    assert all(
        len(each["stated"]) == 1 and each["stated"][0].startswith("toy")
        for each in comparison_documents([other, stated])
    )
    terminal = console()
    with terminal.capture() as capture:
        terminal.print(comparison_table([other, stated]))
    assert "from-scratch" in capture.get()
    assert "as stated" in capture.get()


# Hostile files


def hostile(path: Path) -> Iterable[tuple[bytes, str]]:
    yield b"", "is not a training record"
    yield b"\xff\xfe\x00", "is not a training record"
    yield b'{"schema": ' + b"[" * 100_000, "is not a training record"
    yield b" " * (MAX_BYTES + 1), f"longer than {MAX_BYTES} bytes"
    yield b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"


@pytest.mark.parametrize("number", range(5))
def test_a_hostile_file_is_refused_in_a_sentence(
    number: int, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = [*hostile(tmp_path)][number]
    (tmp_path / "m.model").write_bytes(b"weights")
    (tmp_path / "mlip-ood.json").write_bytes(content)
    assert main(["--model", str(tmp_path / "m.model"), "--dataset", str(tiny_dataset)]) in (3, 4)
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_a_pipe_in_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mlip-ood.json")
    with pytest.raises(DataError, match=r"mlip-ood\.json is not a file"):
        declaration_for(ModelSource("toy", MACE, None, record=tmp_path / "mlip-ood.json"), None, [])


# The whole way, with a model of another project


@pytest.fixture(scope="module")
def mace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mace")
    energies = [[-13.6, -1029.3, -1484.3, -2041.4, -12577.4]]
    model = small_mace(num_elements=5, atomic_numbers=[1, 6, 7, 8, 17], atomic_energies=energies)
    return saved(model, tmp_path_factory.mktemp("mace") / "m.model")


def test_a_mace_is_from_scratch_on_its_task_alone_where_that_is_stated(
    mace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(mace), "--trust-checkpoint", "--output", str(tmp_path), "--quiet"]
    assert main([*options, "--trained-on", "task3"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    (path,) = tmp_path.glob("*/*/result.json")
    result = RunResult.load(path)
    assert (result.model.protocol, result.model.training) == ("from-scratch", "stated")
    assert (result.model.trained_on, result.model.level_of_theory, [*result.tasks]) == ("task3", "GFN2-xTB", ["task3"])
    assert result.levels_agree
    assert "from-scratch on task3, as stated by the user; level of theory GFN2-xTB" in shown
    assert "does not state its training" not in shown
    # Here, since what a worker answers was read before.
    assert main([*options, "--task", "task3", "--isolation", "never"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "m.model does not state its training and is taken as zero-shot. If it was trained on a task" in shown
    assert len([*tmp_path.glob("*/*/result.json")]) == 2
