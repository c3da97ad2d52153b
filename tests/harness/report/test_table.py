import io
from pathlib import Path

import pytest
from rich.console import Console

from dataset_builders.tasks.editions import SplitName
from harness.data.dataset import open_dataset
from harness.evaluation.run import RunOptions, evaluate_model
from harness.models.resolve import resolve_model
from harness.report.control_gaps import control_gaps
from harness.report.table import footer, report
from harness.results.result import Estimate, Failure, PartName, RunResult, TaskResult
from tests.harness.toy_potential import Harmonic


@pytest.fixture(scope="module")
def toy_result(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.worker.loading.load_potential", lambda model, options: Harmonic())
        options = RunOptions(output=tmp_path_factory.mktemp("results"), quiet=True)
        return evaluate_model(resolve_model("zero"), open_dataset(str(tiny_dataset)), options).result


def estimate(value: float, half_width: float, unit: str) -> Estimate:
    return Estimate(value=value, low=value - half_width, high=value + half_width, unit=unit, reason=None)


def with_numbers(result: RunResult, model_id: str, gap: float = 1.25) -> RunResult:
    """The result with numbers that are easy to find in a table; task1 gets the subsets `near` and `far`."""
    tasks = {name: _with_numbers(task, gap) for name, task in result.tasks.items()}
    ood = tasks["task1"].splits["test_ood"]
    near = ood.model_copy(update={"metrics": ood.metrics | {"force_mae": estimate(0.0777, 0.001, "eV/Å")}})
    splits = tasks["task1"].splits | {"near": near, "far": near}
    tasks["task1"] = tasks["task1"].model_copy(update={"splits": splits})
    model = result.model.model_copy(update={"id": model_id, "level_of_theory": "GFN1-xTB", "protocol": "zero-shot"})
    return result.model_copy(update={"tasks": tasks, "model": model})


def _with_numbers(task: TaskResult, gap: float) -> TaskResult:
    numbers: dict[PartName, tuple[float, float]] = {"test_id": (1.0661, 0.0123), "test_ood": (1.3322, 0.0456)}
    splits = {
        name: task.splits[name].model_copy(
            update={
                "metrics": task.splits[name].metrics
                | {"force_mae": estimate(force, 0.0111, "eV/Å"), "centred_energy_mae": estimate(energy, 0.001, "eV")}
            }
        )
        for name, (force, energy) in numbers.items()
    }
    return task.model_copy(
        update={"splits": splits, "gap": estimate(gap, 0.25, "1"), "score": estimate(31.4, 1.0, "1"), "anatomy": None}
    )


def text_of(results: list[RunResult], gaps: dict[str, float], width: int = 100) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False)
    console.print(report(results, gaps, width), markup=False)  # type: ignore[arg-type]
    return stream.getvalue()


def test_a_row_holds_errors_gap_score_and_control(toy_result: RunResult) -> None:
    text = text_of([with_numbers(toy_result, "a")], {"task1": 0.98, "task4": 1.03})
    row, below = (next(line for line in text.splitlines() if start in line) for start in ("task1 ", "chain extension"))
    assert row.split() == ["task1", "1066.1", "1332.2", "1.25", "0.98", "31.4", "12.3", "/", "45.6", "0"]
    assert below.split() == ["chain", "extension", "1055.0–1077.2", "1321.1–1343.3", "1.00–1.50"]
    assert next(line for line in text.splitlines() if "near" in line).split() == ["near", "77.7", "–", "/", "45.6"]


def test_the_table_fits_into_a_hundred_columns(toy_result: RunResult) -> None:
    one = text_of([with_numbers(toy_result, "a")], {})
    two = text_of([with_numbers(toy_result, name) for name in ("a-name/longer-than-a-column.model", "b")], {})
    for text in (one, two):
        assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
        assert "…" not in text
    assert "a-name/longer-" in two


def test_a_narrow_terminal_loses_relative_energies_and_nothing_else(toy_result: RunResult) -> None:
    results = [with_numbers(toy_result, "org/mace-off"), with_numbers(toy_result, "gfn1-xtb", gap=1.5)]
    text = text_of(results, {"task1": 1.5}, width=80)
    assert all(len(line) <= 80 for line in text.splitlines())
    table = text.split("relative energies: in a terminal of 100 columns")[0]
    for shown in ("org/mace-off", "gfn1-xtb", "1066.1", "1332.2", "1.25", "1.00–1.50", "31.4", "77.7", "near", "fail"):
        assert shown in table
    assert "…" not in table


def test_several_models_share_one_table_sorted_by_task(toy_result: RunResult) -> None:
    text = text_of([with_numbers(toy_result, "zeta"), with_numbers(toy_result, "alpha")], {"task1": 1.0})
    rows = [line.split()[:2] for line in text.splitlines() if line.strip().startswith(("task1", "task4"))]
    assert rows == [["task1", "zeta"], ["task1", "alpha"], ["task4", "zeta"], ["task4", "alpha"]]


def test_an_unknown_control_says_how_to_get_it(toy_result: RunResult) -> None:
    text = text_of([with_numbers(toy_result, "a")], {"task1": 0.98})
    assert [word for word in ("run", "--model", "gfn1-xtb") if word in text.split()] == ["run", "--model", "gfn1-xtb"]


def test_undefined_numbers_are_dashes_and_failures_are_counted(toy_result: RunResult) -> None:
    result = with_failures(with_numbers(toy_result, "a"), {"test_ood": 3})
    lines = text_of([result], {"task4": 1.0}).splitlines()
    row, below = (next(line for line in lines if start in line).split() for start in ("task4 ", "fragment transfer"))
    assert row == ["task4", "1066.1", "1332.2*", "–", "1.00", "–", "12.3", "/", "45.6*", "3"]
    assert below == ["fragment", "transfer", "1055.0–1077.2", "3", "failed"]
    assert "caution: 3 structures failed and are not in the averages; a task with failures has no score" in footer(
        [result]
    )
    # Of an earlier version, which left the gap and did not count by split.
    n_frames = result.tasks["task4"].splits["test_ood"].n_frames
    assert f"* task4 OOD of a: 3 of {n_frames + 3} frames failed; the number covers the others only" in " ".join(
        footer([result])
    )


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("part", ["test_id", "test_ood", "train"])
def test_no_number_of_a_split_with_failures_is_without_a_mark(toy_result: RunResult, part: str, width: int) -> None:
    result = with_failures(with_numbers(toy_result, "a"), {part: 2}, "task1")
    table = text_of([result, with_numbers(toy_result, "b")], {}, width).split("data set ")[0]
    assert ("1066.1*" in table) == (part == "test_id")
    assert ("1332.2*" in table) == ("77.7*" in table) == (part == "test_ood")
    assert table.count("1.25") == (4 if part == "train" else 3)
    assert table.count("2 failed") == {"test_id": 1, "test_ood": 3, "train": 0}[part]


def with_failures(result: RunResult, n_failed: dict[SplitName, int], name: str = "task4") -> RunResult:
    """The result with some frames of splits listed as failed and nothing else changed, as an older version wrote it."""
    nothing = Estimate(value=None, low=None, high=None, unit="1", reason="a frame failed")
    failures = tuple(
        Failure(split=split, molecule_id="OH-2-H", trajectory="primary", frame=frame, cause="no SCF")
        for split, count in n_failed.items()
        for frame in range(count)
    )
    task = result.tasks[name].model_copy(update={"score": nothing, "failures": failures, "n_failed": len(failures)})
    return result.model_copy(update={"tasks": result.tasks | {name: task}})


def test_an_open_reference_shift_is_a_caution(toy_result: RunResult) -> None:
    nothing = Estimate(value=None, low=None, high=None, unit="eV/atom", reason="training leaves it open")
    ood = toy_result.tasks["task1"].splits["test_ood"]
    ood = ood.model_copy(update={"metrics": ood.metrics | {"energy_mae_per_atom": nothing}})
    task = toy_result.tasks["task1"]
    task = task.model_copy(update={"splits": task.splits | {"test_ood": ood}})
    said = "caution: the energy per atom on task1 is undefined for toy: training leaves it open"
    assert said in footer([toy_result.model_copy(update={"tasks": toy_result.tasks | {"task1": task}})])
    assert said not in footer([toy_result])


def test_the_footer_says_what_the_numbers_stand_on(toy_result: RunResult) -> None:
    lines = footer([with_numbers(toy_result, "a")])
    content = toy_result.dataset.content_hash[:12]
    assert lines[0].endswith(f": edition tiny, content {content}, labels MMFF94")
    assert any("protocol zero-shot, level of theory GFN1-xTB, float64 on cpu, code " in line for line in lines)
    assert any("the level of theory of a is GFN1-xTB, that of the labels MMFF94: every error" in line for line in lines)


def test_an_unknown_level_of_theory_is_a_caution(toy_result: RunResult) -> None:
    model = toy_result.model.model_copy(update={"level_of_theory": None})
    lines = footer([toy_result.model_copy(update={"model": model})])
    assert any("the level of theory of toy is unknown; if it is not MMFF94" in line for line in lines)


def test_the_level_of_the_labels_needs_no_caution(toy_result: RunResult) -> None:
    model = toy_result.model.model_copy(update={"level_of_theory": "MMFF94"})
    assert not any("caution" in line for line in footer([toy_result.model_copy(update={"model": model})]))


def test_text_in_brackets_is_printed_as_it_is(toy_result: RunResult) -> None:
    text = text_of([with_numbers(toy_result, "[red]x"), with_numbers(toy_result, "b")], {})
    assert text.count("[red]x") == 8
    assert "\\[" not in text


def test_the_control_is_found_where_it_is_known(
    toy_result: RunResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = toy_result.dataset.content_hash
    control = with_numbers(toy_result, "gfn1-xtb", gap=1.25)
    other_data = toy_result.dataset.model_copy(update={"content_hash": "0" * 64})
    output, installed = tmp_path / "results", tmp_path / "controls"
    both = {"task1": 1.25, "task4": 1.25}
    assert control_gaps(content, [toy_result], output, installed) == {}
    assert control_gaps(content, [toy_result, control], output, installed) == both
    assert control_gaps(content, [control.model_copy(update={"dataset": other_data})], output, installed) == {}

    control.save(installed / "gfn1-xtb.json")
    assert control_gaps(content, [toy_result], output, installed) == both
    later = with_numbers(toy_result, "gfn1-xtb", gap=1.5)
    later.save(output / "gfn1-xtb" / "abc" / "result.json")
    assert control_gaps(content, [toy_result], output, installed) == {"task1": 1.5, "task4": 1.5}

    (output / "gfn1-xtb" / "abc" / "result.json").write_text("{}")
    assert control_gaps(content, [toy_result], output, installed) == both
    assert "a control is left out: " in caplog.text


def test_a_small_edition_says_that_it_does_not_rank(toy_result: RunResult) -> None:
    for edition, is_said in (("mini", True), ("standard", False)):
        dataset = toy_result.dataset.model_copy(update={"edition": edition})
        text = " ".join(text_of([toy_result.model_copy(update={"dataset": dataset})], {}).split())
        assert f"edition {edition}, content" in text
        assert ("mini is the demonstration and test edition" in text) is is_said
        assert ("standard (20) ranks models" in text) is is_said
