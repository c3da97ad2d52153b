import json
import os
import re
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import pyarrow.parquet as pq
import pytest

from dataset_builders.core.option_parser import EXIT_CODES
from harness.cli import COMMANDS, main
from harness.core.batch import Prediction, StructureBatch
from harness.results.result import RunResult
from tests.harness.toy_potential import TRAITS, Harmonic
from tests.loopback_hub import Fault, LoopbackHub


def evaluate(dataset: Path, output: Path, *options: str) -> int:
    arguments = ["--dataset", str(dataset), "--output", str(output), "--quiet", *options]
    return main(arguments if "--model" in options else ["--model", "mmff94", *arguments])


HEAVY = {"torch", "rdkit", "ase", "datasets", "scipy", "pydantic", "pyarrow", "matplotlib"}
SCREEN = 40
"""Lines of help that a terminal shows at once."""
LONGER = {"compare": 45, "evaluate": 47, "study": 42, "train": 55}
"""Evaluations have 32 options, each of which stays."""


@pytest.mark.parametrize("command", ["", "evaluate"])
def test_help_is_quick(command: str) -> None:
    arguments = [sys.executable, "-X", "importtime", "-m", "harness", *command.split(), "--help"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    shown = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 1
    assert shown.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    assert not imported & HEAVY


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    try:
        code: object = main([*command, "--help"])
    except SystemExit as end:  # as argparse ends after its help
        code = end.code
    assert not code
    return capsys.readouterr().out


def test_the_overview_lists_commands_models_and_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    shown = help_of(capsys)
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", shown, re.MULTILINE)
    for phrase in ("gfn2-xtb", "torchani-tuned", "exit codes:", "  4  model: "):
        assert phrase in shown
    lines = shown.splitlines()
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_fits_a_screen_with_examples_first(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("MLIP_OOD_ENVIRONMENTS", "environments")
    lines = help_of(capsys, command).splitlines()
    assert lines[0].startswith("usage: python -m harness")
    assert lines[-1] == EXIT_CODES
    assert len(lines) <= LONGER.get(command, SCREEN)
    assert max(map(len, lines)) <= 100
    example = lines[lines.index("examples:") + 1]
    first_option = next(number for number, line in enumerate(lines) if re.match(r" +(--|create |install )", line))
    assert lines.index(example) < first_option
    assert example.startswith("  python -m harness")


def test_options_of_an_evaluation_stand_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of(capsys, "evaluate")
    groups = re.split(r"^(model|data|running|output):$", shown, flags=re.MULTILINE)
    assert groups[1::2] == ["model", "data", "running", "output"]
    held = {
        title: set(re.findall(r"^  (--[\w-]+)", text, re.MULTILINE))
        for title, text in zip(groups[1::2], groups[2::2], strict=True)
    }
    assert {"--model", "--family", "--trust-checkpoint", "--trained-on"} <= held["model"]
    assert held["data"] == {"--dataset", "--task", "--labels"}
    assert {"--device", "--dtype", "--batch-atoms", "--isolation"} <= held["running"]
    assert held["output"] == {
        "--output", "--intervals", "--provenance", "--json", "--quiet", "--push", "--results-repo",
    }  # fmt: skip
    assert "org/name[@revision][/file]" in shown
    assert "(default: mini)" in shown


@pytest.mark.parametrize(
    ("name", "nearest"), [("trian", "train"), ("Compare", "compare"), ("leaderbord", "leaderboard"), ("qwxz", None)]
)
def test_an_unknown_command_names_the_nearest(
    name: str, nearest: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--task", "task2"]) == 2
    error = capsys.readouterr().err
    question = f" (did you mean {nearest}?)" if nearest else ""
    assert error.startswith(f"error: unknown command '{name}'{question}; commands: evaluate compare report ")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mlip-ood {version('mlip-ood')}\n"


def test_the_name_of_the_default_command_may_be_left_out(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", "zero", "--dataset", str(tiny_dataset), "--task", "task4", "--json", "--quiet"]
    shown = []
    for start in ([], ["evaluate"]):
        assert main([*start, *options, "--output", str(tmp_path)]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


def test_a_table_is_printed_and_the_result_named(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_dataset, tmp_path) == 0
    shown = capsys.readouterr()
    assert "chain extension" in shown.out
    assert "fragment transfer" in shown.out
    (result,) = tmp_path.glob("mmff94/*/result.json")
    assert f"result: {result}" in shown.out
    assert shown.err == ""


def test_json_is_all_that_is_printed(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(tiny_dataset, tmp_path, "--model", "mmff94", "--model", "zero", "--task", "task4", "--json") == 0
    results = [RunResult.model_validate_json(line) for line in capsys.readouterr().out.splitlines()]
    assert [(result.model.id, *result.tasks) for result in results] == [("mmff94", "task4"), ("zero", "task4")]


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_an_output_that_lacks_characters_loses_no_table(
    variables: dict[str, str], tiny_dataset: Path, tmp_path: Path
) -> None:
    models = ["--model", "zero", "--model", "mmff94", "--dataset", str(tiny_dataset), "--output", str(tmp_path)]
    commands = [["--task", "task4"], ["compare", "--task", "task4"], ["--task", "task4", "--json"]]
    # One process for all: what they write to is made when Python starts, and starting takes longer than they do.
    program = (
        "import json, sys\n"
        "from harness.cli import main\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    assert main(command) == 0\n"
        "    print('====', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps([[*command, *models, "--quiet"] for command in commands])],
        capture_output=True,
        env=os.environ | variables,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    table, compared, documents = done.stdout.split(b"====" + os.linesep.encode())[:-1]
    for shown in (table, compared):
        assert b"mmff94" in shown
        assert b"?" not in shown
        words = shown.decode("latin-1").replace(str(tmp_path), "").split("\n")
        assert max(len(line) for line in words if "/tmp" not in line and "result" not in line) <= 80
    assert [json.loads(line)["model"]["id"] for line in documents.splitlines()] == ["zero", "mmff94"]
    assert len(list(tmp_path.glob("*/*/result.json"))) == 2


def test_a_report_is_made_again_from_predictions(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_dataset, tmp_path, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    (run,) = tmp_path.glob("mmff94/*")
    (run / "result.json").unlink()
    assert main(["report", str(run), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {**again, "created": None} == {**first, "created": None}
    assert (run / "result.json").exists()


def use(monkeypatch: pytest.MonkeyPatch, potential: Harmonic) -> None:
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: potential)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--task", "task9"], 2, "error: unknown task 'task9'; known tasks: task1 task2 task3 task4\n"),
        (["--model", "no-such-model"], 2, "error: unknown model 'no-such-model'; known names: "),
        (["--family", "gemnet"], 2, "error: no family 'gemnet' reads checkpoints; families that do: "),
        (["--batch-atoms", "0"], 2, "error: --batch-atoms 0; expected a number of atoms, 1 or more, or auto\n"),
        (["--batch-atoms", "many"], 2, "error: --batch-atoms many; expected a number"),
        (["--threads", "0"], 2, "error: --threads 0; expected 1 or more\n"),
        (["--device", "tpu"], 2, "error: mmff94 runs on the CPU only, not on 'tpu'"),
        (["--dataset", "nowhere"], 3, "error: there is no data-set folder 'nowhere'; expected `mini`"),
        (["--task", "task2"], 3, "has no task2; its tasks: task1 task4\n"),
    ],
)
def test_bad_options_are_one_clear_error(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, message: str
) -> None:
    assert evaluate(tiny_dataset, tmp_path, *options) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([], (4, "error: there is no model org/name on the Hub that you may read; check the spelling")),
        ([Fault(status=500, times=5)], (6, "error: the Hub failed on model org/name with status 500")),
    ],
)
def test_a_model_that_the_hub_does_not_give_is_one_clear_error(
    hub: LoopbackHub,
    tiny_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    faults: list[Fault],
    expected: tuple[int, str],
) -> None:
    for fault in faults:
        hub.order(fault)
    code = evaluate(tiny_dataset, tmp_path, "--model", "mmff94", "--model", "org/name")
    shown = capsys.readouterr()
    assert (code, shown.out) == (expected[0], "")
    assert expected[1] in shown.err
    # Nothing is computed before every model is found.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--model"], ["--model", "zero", "--dtype", "float16"]])
def test_options_that_do_not_parse_are_usage_errors(options: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(options)


def test_a_missing_column_is_one_clear_error(
    own_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_dataset / "task1" / "test_ood-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["energy"]), path)
    assert evaluate(own_dataset, tmp_path) == 3
    assert "column 'energy' is missing (expected double)" in capsys.readouterr().err


def test_a_row_of_nan_is_one_clear_error(own_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_dataset / "task1" / "test_ood-00000-of-00001.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[1]["forces"][4] = float("nan")
    pq.write_table(table.from_pylist(rows, schema=table.schema), path)
    assert evaluate(own_dataset, tmp_path) == 3
    assert "row 1 (molecule_id OH-6-H, primary frame 1): forces of atom 1 is [" in capsys.readouterr().err


def test_a_model_that_lacks_an_element_is_one_clear_error(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Harmonic(TRAITS.__class__(model_id="toy", family="toy", elements=frozenset({1, 6, 8}))))
    assert evaluate(tiny_dataset, tmp_path) == 4
    assert "error: toy has no parameters for F" in capsys.readouterr().err


class Misshapen(Harmonic):
    def compute(self, batch: StructureBatch) -> Prediction:
        prediction = super().compute(batch)
        return Prediction(prediction.energy, prediction.forces.ravel(), {})


def test_a_wrong_shape_is_one_clear_error(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Misshapen())
    assert evaluate(tiny_dataset, tmp_path) == 4
    assert "error: forces of toy has shape (" in capsys.readouterr().err


class Failing(Harmonic):
    def compute(self, batch: StructureBatch) -> Prediction:
        prediction = super().compute(batch)
        return Prediction(prediction.energy, prediction.forces, {0: "no SCF"})


def test_failures_end_with_their_own_code(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Failing())
    assert evaluate(tiny_dataset, tmp_path) == 5
    shown = capsys.readouterr()
    assert "error: structures failed: " in shown.err
    assert "chain extension" in shown.out
    (path,) = tmp_path.glob("*/*/result.json")
    result = RunResult.load(path)
    assert not result.complete
    assert {failure.cause for task in result.tasks.values() for failure in task.failures} == {"no SCF"}


def test_an_interruption_has_its_own_code(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(batch: StructureBatch) -> NoReturn:
        raise KeyboardInterrupt

    use(monkeypatch, Harmonic(before=interrupt))
    assert evaluate(tiny_dataset, tmp_path) == 130
    assert capsys.readouterr().err == "interrupted; run the same command again to resume from finished work\n"


def test_a_traceback_can_be_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLIP_OOD_TRACEBACK", "1")
    assert evaluate(tmp_path / "nowhere", tmp_path) == 3
    assert "Traceback" in capsys.readouterr().err


def test_runs_on_different_data_are_not_put_into_one_table(
    tiny_dataset: Path, own_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_dataset / "task1" / "validation-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).slice(5), path)
    assert evaluate(tiny_dataset, tmp_path) == 0
    assert evaluate(own_dataset, tmp_path) == 0
    runs = [str(run) for run in tmp_path.glob("mmff94/*")]
    assert main(["report", *runs]) == 3
    assert "error: the results are on 2 different data sets, " in capsys.readouterr().err
