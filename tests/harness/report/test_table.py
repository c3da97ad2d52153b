import io
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from dataset_builders.tasks.editions import SplitName
from harness.data.dataset import open_dataset
from harness.evaluation.run import RunOptions, evaluate_model
from harness.models.resolve import resolve_model
from harness.report.control_gaps import control_gaps, is_control
from harness.report.signs import UNDEFINED
from harness.report.table import footer, report
from harness.report.view import View
from harness.results.result import Estimate, Failure, PartName, RunResult, TaskResult
from tests.harness.results.test_lowered_precision import MEASURED
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


def as_control(result: RunResult) -> RunResult:
    return result.model_copy(update={"model": result.model.model_copy(update={"protocol": "control"})})


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


def text_of(results: list[RunResult], gaps: dict[str, float], view: View | None = None) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=(view or View()).width, highlight=False)
    console.print(report(results, gaps, view), soft_wrap=True)  # type: ignore[arg-type]
    return stream.getvalue()


def table_of(text: str) -> list[str]:
    """The table without the notes below it."""
    return text.partition("\n\n")[0].splitlines()


def row_of(text: str, start: str) -> list[str]:
    return next(line for line in table_of(text) if line.lstrip().startswith(start)).split()


def test_a_row_holds_errors_gap_score_and_control(toy_result: RunResult) -> None:
    gaps = {"task1": 0.98, "task4": 1.03}
    text = text_of([with_numbers(toy_result, "a")], gaps, View(100))
    # ID, OOD, near, far, gap, gap of GFN1-xTB, relative energies of ID and OOD, score
    numbers = ["1066.1", "1332.2", "77.7", "77.7", "1.25", "0.98", "12.3", "45.6", "31.4"]
    assert row_of(text, "task1") == ["task1", "chain", "extension", *numbers]
    with_ends = text_of([with_numbers(toy_result, "a")], gaps, View(100, intervals=True))
    ends = ["1066.1", "1055.0–1077.2", "1332.2", "1321.1–1343.3", "1.25", "1.00–1.50", "0.98", "31.4"]
    assert row_of(with_ends, "task1") == ["task1", "chain", "extension", *ends]
    assert row_of(with_ends, "near") == ["near", "77.7", "76.7–78.7"]


@pytest.mark.parametrize(("gap", "sign"), [(1.26, ">1"), (1.25, None), (0.80, None), (0.74, "<1")])
def test_a_gap_beyond_chance_is_marked(toy_result: RunResult, gap: float, sign: str | None) -> None:
    """Intervals reach 0.25 to both sides; that of 1.25 begins at 1, and so contains it."""
    row = row_of(text_of([with_numbers(toy_result, "a", gap)], {}, View(200)), "task1")
    assert row[row.index(f"{gap:.2f}") + 1] == (sign or UNDEFINED)


@pytest.mark.parametrize("intervals", [False, True])
@pytest.mark.parametrize("width", [40, 80, 100, 200])
@pytest.mark.parametrize(
    "names",
    [("a",), ("org/a-name-that-is-longer-than-its-column", "org/a-name-that-is-as-long", "分子分子分子分子分子分子")],
)
def test_it_fits_the_terminal_and_breaks_no_number(
    toy_result: RunResult, names: tuple[str, ...], width: int, intervals: bool
) -> None:
    text = text_of([with_numbers(toy_result, name) for name in names], {"task1": 1.5}, View(width, intervals))
    # A long name in the notes is not broken, nor is a path.
    assert [line for line in text.splitlines() if cell_len(line) > width and not re.search(r"\S{35}|/", line)] == []
    table = table_of(text)
    assert max(map(cell_len, table)) <= width
    assert all(cell_len(line) == cell_len(line.rstrip()) for line in table)
    for number in ("1066.1", "1332.2", "1.25", *(["1.00–1.50"] if intervals else [])):
        assert sum(number in line.split() for line in table) == 2 * len(names)
    for name in names:
        assert name in text
    if width in (40, 200):
        assert ("left out, since the terminal is too" in text) == (width == 40)


def test_different_names_stay_different(toy_result: RunResult) -> None:
    names = [f"organisation/a-long-name-{number}-with-the-same-end" for number in (1, 2)]
    table = table_of(text_of([with_numbers(toy_result, name) for name in (*names, "b", "b")], {}, View(60)))
    shown = [line.split()[0] for line in table if line.startswith(("orga", "b "))]
    assert len(set(shown)) == 3  # the two of equal name are numbered
    assert [line.split()[1] for line in table if line.startswith("b ")] == ["[1]", "[2]"] * 2


def test_several_models_are_grouped_by_task_the_smallest_ood_error_first(toy_result: RunResult) -> None:
    ood = {"worse": 1.5, "better": 0.5, "failed": 0.1}
    results = [with_ood(with_numbers(toy_result, name), error) for name, error in ood.items()]
    results[-1] = with_failures(results[-1], {"test_ood": 1}, "task1")
    table = table_of(text_of(results, {"task1": 1.0}))
    assert [line.split()[0] for line in table[3:]] == [
        *("task1", "better", "worse", "failed"),
        *("task4", "failed", "better", "worse"),
    ]
    assert table[3] == "task1 chain extension (gap of GFN1-xTB 1.00)"
    assert table[7] == "task4 fragment transfer (gap of GFN1-xTB unknown: run --model gfn1-xtb)"


def with_ood(result: RunResult, error: float) -> RunResult:
    tasks = {}
    for name, task in result.tasks.items():
        ood = task.splits["test_ood"]
        ood = ood.model_copy(update={"metrics": ood.metrics | {"force_mae": estimate(error, 0.01, "eV/Å")}})
        tasks[name] = task.model_copy(update={"splits": task.splits | {"test_ood": ood}})
    return result.model_copy(update={"tasks": tasks})


def test_an_unknown_control_says_how_to_get_it(toy_result: RunResult) -> None:
    text = text_of([with_numbers(toy_result, "a")], {"task1": 0.98})
    assert row_of(text, "task4")[-2] == UNDEFINED
    assert "gap of GFN1-xTB on task4 unknown: run --model gfn1-xtb" in " ".join(text.split())
    assert "unknown: run" not in text_of([with_numbers(toy_result, "a")], {"task1": 0.98, "task4": 1.0})


def test_a_number_without_an_interval_is_marked_and_explained(toy_result: RunResult) -> None:
    bare = Estimate(value=2.0, low=None, high=None, unit="1", reason="no interval: there are 2 fragments")
    nothing = Estimate(value=None, low=None, high=None, unit="1", reason="the error to divide by is zero")
    result = with_numbers(toy_result, "a")
    changed = {"task1": {"gap": bare, "score": bare}, "task4": {"gap": nothing}}
    tasks = {name: result.tasks[name].model_copy(update=update) for name, update in changed.items()}
    result = result.model_copy(update={"tasks": tasks})
    text = text_of([result], {"task1": 1.0, "task4": 1.0}, View(200))
    assert {"2.00†", "2.0†"} <= set(row_of(text, "task1"))
    assert "† no interval: there are 2 fragments (task1)" in text
    assert "– not defined: the error to divide by is zero (task4)" in text
    both = text_of([result, with_numbers(toy_result, "b")], {}, View(200))
    assert "† no interval: there are 2 fragments (a task1)" in both


def test_undefined_numbers_are_dashes_and_failures_are_counted(toy_result: RunResult) -> None:
    result = with_failures(with_numbers(toy_result, "a"), {"test_ood": 3})
    row = row_of(text_of([result], {"task4": 1.0}, View(100)), "task4")
    assert row == ["task4", "fragment", "transfer", "1066.1", "1332.2*", "–", "1.00", "12.3", "45.6*", "–", "3"]
    assert "1321.1–1343.3" not in text_of([result], {}, View(100, intervals=True)).split("task4 ")[1]
    assert "caution: 3 structures failed and are not in the averages; a task with failures has no score" in footer(
        [result]
    )
    # Of an earlier version, which left the gap and did not count by split.
    n_frames = result.tasks["task4"].splits["test_ood"].n_frames
    assert f"* task4 OOD of a: 3 of {n_frames + 3} frames failed; the number covers the others only" in " ".join(
        footer([result])
    )


@pytest.mark.parametrize("intervals", [False, True])
@pytest.mark.parametrize("part", ["test_id", "test_ood", "train"])
def test_no_number_of_a_split_with_failures_is_without_a_mark(
    toy_result: RunResult, part: str, intervals: bool
) -> None:
    result = with_failures(with_numbers(toy_result, "a"), {part: 2}, "task1")
    table = "\n".join(table_of(text_of([result, with_numbers(toy_result, "b")], {}, View(100, intervals))))
    assert ("1066.1*" in table) == (part == "test_id")
    assert ("1332.2*" in table) == ("77.7*" in table) == (part == "test_ood")
    assert table.count("1.25") == (4 if part == "train" else 3)
    assert [line.split()[-1] for line in table.splitlines() if line.startswith("a ")] == ["2", "0"]


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


def test_a_task_that_failed_as_a_whole_has_no_fragments_and_no_number(toy_result: RunResult) -> None:
    result = with_failures(toy_result, {"test_id": 6, "test_ood": 4})
    task = result.tasks["task4"]
    empty = {name: part.model_copy(update={"n_frames": 0}) for name, part in task.splits.items()}
    task = task.model_copy(update={"splits": empty, "by_molecule": (), "by_fragment": ()})
    text = " ".join(footer([result.model_copy(update={"tasks": {"task4": task}})]))
    assert "task4 draws" not in text
    assert f"{UNDEFINED} task4 ID of toy: all 6 frames failed" in text
    assert "covers the others" not in text


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
    assert any("zero-shot; level of theory GFN1-xTB" in line for line in lines)
    full = footer([with_numbers(toy_result, "a")], view=View(provenance=True))
    assert any("protocol zero-shot, level of theory GFN1-xTB, float64 on cpu, code " in line for line in full)
    assert any(line.startswith("speed of a: ") for line in full)
    assert any("the level of theory of a is GFN1-xTB, that of the labels MMFF94: every error" in line for line in lines)


def test_the_footer_says_what_a_lower_precision_changes(toy_result: RunResult) -> None:
    model = toy_result.model.model_copy(update={"dtype": "float32", "lowered_precision": MEASURED})
    result = toy_result.model_copy(update={"model": model})
    expected = f"float32 {MEASURED.text}"
    for view in (View(), View(provenance=True)):
        (line,) = (line for line in footer([result], view=view) if expected in line)
        assert line.strip() == expected
        assert not any("of the checkpoint by" in line for line in footer([toy_result], view=view))


def test_an_unknown_level_of_theory_is_a_caution(toy_result: RunResult) -> None:
    model = toy_result.model.model_copy(update={"level_of_theory": None})
    lines = footer([toy_result.model_copy(update={"model": model})])
    assert any("the level of theory of toy is unknown; if it is not MMFF94" in line for line in lines)


def test_the_level_of_the_labels_needs_no_caution(toy_result: RunResult) -> None:
    model = toy_result.model.model_copy(update={"level_of_theory": "MMFF94"})
    assert not any("caution" in line for line in footer([toy_result.model_copy(update={"model": model})]))


def test_text_of_strangers_is_printed_as_it_is_and_steers_no_terminal(toy_result: RunResult) -> None:
    text = text_of([with_numbers(toy_result, "[red]:x:\x1b[2J"), with_numbers(toy_result, "b")], {})
    assert sum(line.startswith("[red]:x:\N{REPLACEMENT CHARACTER}[2J") for line in table_of(text)) == 2
    assert "\x1b" not in text


def test_the_control_is_found_where_it_is_known(
    toy_result: RunResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = toy_result.dataset.content_hash
    control = as_control(with_numbers(toy_result, "gfn1-xtb", gap=1.25))
    other_data = toy_result.dataset.model_copy(update={"content_hash": "0" * 64})
    output, installed = tmp_path / "results", tmp_path / "controls"
    both = {"task1": 1.25, "task4": 1.25}
    assert control_gaps(content, [toy_result], output, installed) == {}
    assert control_gaps(content, [toy_result, control], output, installed) == both
    assert control_gaps(content, [control.model_copy(update={"dataset": other_data})], output, installed) == {}

    control.save(installed / "gfn1-xtb.json")
    assert control_gaps(content, [toy_result], output, installed) == both
    later = as_control(with_numbers(toy_result, "gfn1-xtb", gap=1.5))
    later.save(output / "gfn1-xtb" / "abc" / "result.json")
    assert control_gaps(content, [toy_result], output, installed) == {"task1": 1.5, "task4": 1.5}

    (output / "gfn1-xtb" / "abc" / "result.json").write_text("{}")
    assert control_gaps(content, [toy_result], output, installed) == both
    assert "a control is left out: " in caplog.text


def test_another_model_of_that_name_is_not_the_control(toy_result: RunResult, tmp_path: Path) -> None:
    content = toy_result.dataset.content_hash
    mine = with_numbers(toy_result, "gfn1-xtb")
    assert mine.model.protocol == "zero-shot"
    mine.save(tmp_path / "gfn1-xtb" / "abc" / "result.json")
    assert control_gaps(content, [mine], tmp_path, tmp_path / "controls") == {}
    assert [is_control(result.model) for result in (as_control(mine), mine, as_control(toy_result))] == [
        True,
        False,
        False,
    ]


def test_a_small_edition_says_that_it_does_not_rank(toy_result: RunResult) -> None:
    for edition, is_said in (("mini", True), ("standard", False)):
        dataset = toy_result.dataset.model_copy(update={"edition": edition})
        text = " ".join(text_of([toy_result.model_copy(update={"dataset": dataset})], {}).split())
        assert f"edition {edition}, content" in text
        assert ("mini is the demonstration and test edition" in text) is is_said
        assert ("standard (20) ranks models" in text) is is_said
