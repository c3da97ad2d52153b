import re
from pathlib import Path

import pytest

from dataset_builders.core.errors import DataError
from harness.results.result import DatasetRecord
from harness.study.curve_figure import binned_errors
from harness.study.run_record import Number, read_records, write_records
from harness.study.session import report_all
from harness.study.study_report import FINDINGS_NAME, REPORT_NAME, report_text, study_command, write_report
from harness.study.summary import summarise
from harness.study.table_rows import row_order
from tests.harness.study.records import CONTENT, molecules, record

FIGURES = ("distance.png", "gap.png", "gap.svg", "references.png", "spacer.png")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two tasks; a control, a row with two seeds and one with a seed on one task only."""
    directory = tmp_path / "mini"
    numbers = dict.fromkeys(("test_id", "test_ood", "near", "far"), Number(value=0.1, low=0.1, high=0.1))
    near, far = molecules((0.04, 0.04), "near", 0.02), molecules((0.02, 0.02), "far", 0.02)
    with_subsets = {
        "force_mae": numbers,
        "molecules": {"test_id": molecules((0.01, 0.01)), "test_ood": near + far},
    }
    records = [
        record("zero"),
        record("painn", seed=0),
        record("painn", seed=1, known=(0.03, 0.03)),
        record("schnet", seed=0),
        record("zero", "task2", **with_subsets),
        record("painn", "task2", seed=0, **with_subsets),
    ]
    write_records(directory, records, row_order())
    return directory


def text_of(directory: Path) -> str:
    """The report without its figures, which take most of the time."""
    records = read_records(directory)
    return report_text(records, summarise(records), ())


def section(text: str, title: str) -> str:
    _, _, rest = text.partition(f"\n## {title}\n")
    assert rest, title
    return rest.partition("\n## ")[0]


def test_the_table_of_forces(results: Path) -> None:
    text = section(text_of(results), "Forces")
    # Two fragments are too few for an interval, so their gaps stand below the table.
    assert "| painn | 0, 1 | 2 | 23.3 ± 9.4 | 50.0 ± 0.0 | 2.33 ± 0.94 | " in text
    assert "| schnet | 0 | 2 | 16.7 | 50.0 | 3.00 | 1.50 | 2.00 |" in text
    assert "With fewer than six fragments" in text
    assert "| schnet | 3.00 | 3.00 |" in text
    assert "Of the rows trained on this task, `schnet` has the smallest OOD error (50.0 meV/Å)." in text
    command = "python -m harness study --dataset mini --rows zero schnet painn --tasks task1 --seeds 0 1 --budget 5"
    assert f"{command} --out results/again\n" in text


def test_what_intervals_say_stands_out(tmp_path: Path) -> None:
    errors = {"known": (0.02, 0.02, 0.02), "unseen": (0.05, 0.06, 0.055)}
    others = {"known": (0.02, 0.02, 0.02), "unseen": (0.10, 0.13, 0.11)}
    write_records(tmp_path, [record("painn", seed=0, **errors), record("schnet", seed=0, **others)], {})
    text = text_of(tmp_path)
    assert "Excess above 1 beyond its interval: `painn`, `schnet`." in text
    ranking = section(text, "Ranking")
    # (10 x 0.10 + 20 x 0.13 + 30 x 0.11) / (10 x 0.05 + 20 x 0.06 + 30 x 0.055) of the same fragments.
    assert re.search(r"\| schnet \| 115\.0 \[[\d.]+, [\d.]+\] \| 2\.06 \[1\.\d\d, 2\.\d\d\] \|", ranking)


def test_rows_of_other_levels_are_named(tmp_path: Path) -> None:
    level = {"level_of_theory": "MMFF94"}
    records = [record("zero"), record("painn", seed=0), record("mmff94")]
    records[1] = records[1].model_copy(
        update={"model": records[1].model.model_copy(update={"level_of_theory": "GFN2-xTB"})}
    )
    write_records(tmp_path, records, row_order())
    assert "The labels are" not in text_of(tmp_path)
    records[2] = records[2].model_copy(update={"model": records[2].model.model_copy(update=level)})
    write_records(tmp_path, records, row_order())
    assert "moves their gap towards 1: `mmff94` (MMFF94)." in text_of(tmp_path)


def test_a_task_of_ones_own_comes_after_the_four_with_its_title(tmp_path: Path) -> None:
    records = [record("zero", "ethers", title="ether meets alkene"), record("zero", "task2")]
    write_records(tmp_path, records, row_order())
    text = section(text_of(tmp_path), "Forces")
    assert text.index("### task2: fragment duplication") < text.index("### ethers: ether meets alkene")
    alone = tmp_path / "alone"
    write_records(alone, records[:1], row_order())
    assert "no run on" not in text_of(alone)


def test_near_and_far_only_where_there_are_such(results: Path) -> None:
    text = section(text_of(results), "Near and far")
    assert "task1" not in text
    assert "| painn | 40.0 | 20.0 | 4.00 | 2.00 |" in text


def test_ranking_over_seeds(results: Path) -> None:
    assert "Ranking over seeds" not in text_of(results)  # one row alone has two seeds
    schnet = record("schnet", seed=1, unseen=(0.02, 0.02), gap=Number(value=2.0, low=2.0, high=2.0))
    write_records(
        results,
        [record("painn", seed=0, unseen=(0.02, 0.03)), record("painn", seed=1), record("schnet", seed=0), schnet],
        {},
    )
    text = section(text_of(results), "Ranking over seeds")
    assert "| row | OOD force MAE | gap | excess |" in text
    assert "| schnet | 2, 1 | 1, 1 | 2, 1 |" in text
    assert "Seeds 0, 1. Least tau: -1.00 by OOD force MAE, – by gap, -1.00 by excess." in text
    assert "Ranked by OOD force MAE, `schnet` and `painn` change places." in text


def test_other_tables(results: Path) -> None:
    text = text_of(results)
    assert "| row | ID 2 | OOD 2 | ID 3 | OOD 3 |" in section(text, "Error against spacer length")
    assert "| painn | 20.0 | 30.0 | 25.0 | 60.0 |" in section(text, "Error against spacer length")
    distances = section(text, "Error against distance to training")
    assert "| painn | 0.20 ± 0.00 [0.18, 0.22] | 0.30 ± 0.00 [0.27, 0.33] | 0.40 ± 0.00 [0.36, 0.44] |" in distances
    energies = section(text, "Energies and reference energies")
    assert "| zero | 1 | 1 | 1 | 0.005 | 1 | 1 | 1 | 0.01 | 0.0 % | 100.00 / 100.00 | 1.0 |" in energies
    assert "| painn | task1 | 1,234 | 100 | – | 1.0 | 10.0 | 30 |" in section(text, "Training")
    provenance = section(text, "Provenance")
    assert f"content of the files of each task: task1 `{CONTENT}`, task2 `{CONTENT}`" in provenance
    assert "- machine: abacus, 2 cores, Linux, Python 3.11" in provenance
    assert "- code that trains: `cdcdcdcdcdcd`" in provenance
    assert "| painn | task1 | 1 | from-scratch | unknown | model.safetensors abababababab |" in provenance


def test_what_is_absent_is_said(results: Path) -> None:
    text = section(text_of(results), "Not measured")
    assert "- `painn`: task2 seed 1\n" in text
    assert "- `schnet`: task1 seed 1, task2 seed 0, task2 seed 1\n" in text
    assert "- `gfn1-xtb` (GFN1-xTB): no run\n" in text
    assert "- `ani2x` (ANI-2x as published): no run; needs `--model ani2x=PATH`\n" in text
    assert "- `gemnet` (GemNet-T): no run; needs `python -m harness env create fairchem1`\n" in text
    assert "- `so3lr-tuned` (SO3LR, fine-tuned): no run; needs `python -m harness env create so3lr`\n" in text
    assert "- EquiformerV2: not run, because " in text
    assert "- no run on task3, task4" in text
    assert "painn-wide" not in text  # a variant is only run where asked for


def test_the_same_records_give_the_same_bytes(results: Path) -> None:
    write_report(results)
    first = {path.name: path.read_bytes() for path in results.iterdir()}
    assert sorted(first) == sorted([REPORT_NAME, "runs.jsonl", *FIGURES])
    for name in (REPORT_NAME, *FIGURES):
        (results / name).unlink()
    write_report(results)
    assert {path.name: path.read_bytes() for path in results.iterdir()} == first


def test_figures_stand_where_they_are_read(results: Path) -> None:
    text = write_report(results).read_text()
    head = text.partition("\n## Forces")[0]
    assert "![ID and OOD force error of the models on each task, the most accurate at the top" in head
    assert "](gap.png)" in head
    assert "[The figure as SVG](gap.svg)" in head
    assert "](references.png)" in section(text, "Forces")
    assert "](spacer.png)" in section(text, "Error against spacer length")
    assert "](distance.png)" in section(text, "Error against distance to training")


def test_findings_are_linked_and_left_alone(results: Path) -> None:
    (results / FINDINGS_NAME).write_text("ours")
    assert f"An interpretation: [{FINDINGS_NAME}]({FINDINGS_NAME})." in write_report(results).read_text()
    assert (results / FINDINGS_NAME).read_text() == "ours"


def test_an_index_of_editions(results: Path) -> None:
    paths = report_all(results.parent)
    assert paths == [results / REPORT_NAME, results.parent / REPORT_NAME]
    assert "- [mini](mini/README.md): 6 runs of 3 rows, labels GFN2-xTB" in paths[1].read_text()


def test_records_of_two_data_sets(results: Path) -> None:
    other = DatasetRecord(id="x", revision=None, content_hash="cd" * 32, edition="mini", level_of_theory="GFN2-xTB")
    write_records(results, [record("zero"), record("painn", seed=0, dataset=other)], {})
    with pytest.raises(DataError, match=r"of task1 in .* are of 2 data sets \(abababababab, cdcdcdcdcdcd\)"):
        write_report(results)


def test_records_of_two_editions(results: Path) -> None:
    """Of other tasks too: a table for each task would hide that they are of other frames."""
    other = DatasetRecord(id="x", revision=None, content_hash="cd" * 32, edition="standard", level_of_theory="GFN2-xTB")
    write_records(results, [record("zero"), record("zero", task="task2", dataset=other)], {})
    with pytest.raises(DataError, match=r"are of 2 editions \(mini, standard\); a report needs one"):
        write_report(results)


def test_a_small_edition_says_that_it_does_not_rank(results: Path) -> None:
    assert "\n\n**mini is the demonstration and test edition" in text_of(results)


def test_no_records(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no records"):
        write_report(tmp_path)
    with pytest.raises(DataError, match="contains no records"):
        report_all(tmp_path)


def test_exact_rows_have_no_place_on_logarithmic_axes(tmp_path: Path) -> None:
    exact = record("gfn2-xtb", known=(0.0, 0.0), unseen=(0.0, 0.0), gap=Number(reason="zero"))
    write_records(tmp_path, [exact], {})
    assert "gap.png" not in write_report(tmp_path).read_text()
    assert not list(tmp_path.glob("*.[ps][nv]g"))


def test_rows_of_several_lengths_have_commands_of_their_own() -> None:
    ani = record("ani2x", asked=("--model", "ani2x=ani2x_state_dict.pt"))
    tuned = record("mace", seed=0, asked=("--epochs", "3", "--model", "ani2x=ani2x_state_dict.pt"))
    first, second = study_command([record("zero"), record("painn", seed=1), ani, tuned]).splitlines()
    assert "--rows zero painn ani2x --tasks task1 --seeds 1 --budget 5 --model ani2x=ani2x_state_dict.pt" in first
    assert "--rows mace --tasks task1 --seeds 0 --epochs 3 --model ani2x=ani2x_state_dict.pt" in second


def test_rows_whose_learning_rate_followed_the_clock_are_named(tmp_path: Path) -> None:
    timed = {"settings": {"budget_minutes": 5.0}, "steps": 100}
    counted = {"settings": {"epochs": 20}, "steps": 100}
    write_records(tmp_path, [record("painn", seed=0, training=counted)], row_order())
    assert "followed the clock" not in text_of(tmp_path)
    write_records(
        tmp_path, [record("painn", seed=0, training=counted), record("schnet", seed=0, training=timed)], row_order()
    )
    text = " ".join(text_of(tmp_path).split())
    assert "The learning rate of these rows followed the clock" in text
    assert "and another run takes a different number of steps: `schnet`." in text


def test_labels_of_another_level(tmp_path: Path) -> None:
    dft = DatasetRecord(
        id="mini",
        revision=None,
        content_hash="cd" * 32,
        edition="mini",
        level_of_theory="wB97X/6-31G(d)",
        suffix="wb97x",
    )
    write_records(tmp_path, [record("zero", dataset=dft)], {})
    text = text_of(tmp_path)
    assert text.startswith("# Results on the edition `mini`, labels wB97X/6-31G(d)\n\n1 run: 1 row on 1 task, labels")
    assert "harness study --dataset mini --labels wb97x --rows zero" in text


def test_empty_bins_are_left_out() -> None:
    distances = [record("zero").distances, record("painn", seed=0).distances]
    assert binned_errors(distances, "test_id") == ([0.7, 1.5], [0.01, 0.02])
    assert binned_errors(distances, "test_ood") == ([1.5], [0.05])
