import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pyarrow.parquet as pq
import pytest

from dataset_builders.core.errors import DataError, ModelError, SetupError, UsageError
from harness.core.batch import StructureBatch
from harness.core.family import Family
from harness.core.potential import LoadOptions, PotentialTraits
from harness.data.dataset import open_dataset
from harness.evaluation.run import FinishedRun, RunOptions, choose_tasks, evaluate_again, evaluate_model
from harness.models.registry import ModelSource
from harness.models.resolve import resolve_model
from harness.results.identity import model_slug, run_directory, run_identity
from harness.results.result import RunResult
from tests.harness.small_dataset import write_split
from tests.harness.toy_potential import TRAITS, Harmonic


@pytest.fixture(scope="module")
def finished(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    options = RunOptions(output=tmp_path_factory.mktemp("results"), quiet=True)
    return evaluate_model(resolve_model("mmff94"), open_dataset(str(tiny_dataset)), options)


def test_the_method_of_the_labels_reproduces_them(finished: FinishedRun) -> None:
    assert set(finished.result.tasks) == {"task1", "task4"}
    for task in finished.result.tasks.values():
        assert task.protocol == "control"
        assert task.n_failed == 0
        for part in task.splits.values():
            assert part.metrics["force_mae"].value == 0.0
            assert part.metrics["raw_energy_mae"].value == pytest.approx(0.0, abs=1e-12)
    splits = finished.result.tasks["task1"].splits
    assert (splits["test_id"].n_molecules, splits["test_id"].n_frames) == (4, 40)
    assert (splits["test_ood"].n_molecules, splits["test_ood"].n_frames) == (2, 20)


def test_the_result_says_what_it_stands_on(finished: FinishedRun, tiny_dataset: Path) -> None:
    result = RunResult.load(finished.directory / "result.json")
    assert result == finished.result
    assert result.dataset.content_hash == open_dataset(str(tiny_dataset)).content_hash
    assert (result.dataset.edition, result.dataset.level_of_theory) == ("tiny", "MMFF94")
    assert (result.model.id, result.model.family, result.settings.batch_atoms) == ("mmff94", "mmff94", 512)
    assert "rdkit" in result.environment.packages


def test_the_result_says_what_it_cost(finished: FinishedRun) -> None:
    cost = RunResult.load(finished.directory / "result.json").cost
    assert cost is not None
    assert cost == finished.result.cost
    assert cost.structures_per_second is not None
    assert cost.structures_per_second > 0.0
    assert 0 < cost.n_timed < cost.n_structures
    assert (cost.n_processes, cost.peak_device_bytes) == (1, None)
    assert cost.processor


def test_the_cost_decides_nothing(finished: FinishedRun, tiny_dataset: Path, tmp_path: Path) -> None:
    """Two results are equal whatever they cost, and a run that finds all on disk keeps the result as it is."""
    result = finished.result
    assert result == result.model_copy(update={"cost": None})
    options = RunOptions(tasks=("task4",), output=tmp_path, quiet=True)
    first = evaluate_model(resolve_model("mmff94"), open_dataset(str(tiny_dataset)), options)
    written = (first.directory / "result.json").read_bytes()
    evaluate_model(resolve_model("mmff94"), open_dataset(str(tiny_dataset)), options)
    assert (first.directory / "result.json").read_bytes() == written
    # The records of what was timed need not move with the result.
    shutil.rmtree(first.directory / "timing")
    assert evaluate_again(first.directory).result.cost == first.result.cost
    assert (first.directory / "result.json").read_bytes() == written


def test_a_resumed_run_says_what_was_timed(tiny_dataset: Path, tmp_path: Path) -> None:
    options = RunOptions(tasks=("task1",), output=tmp_path, batch_atoms=30, quiet=True)
    first = evaluate_model(resolve_model("mmff94"), open_dataset(str(tiny_dataset)), options)
    shard = min((first.directory / "predictions").glob("*.parquet"))
    shard.unlink()
    again = evaluate_model(resolve_model("mmff94"), open_dataset(str(tiny_dataset)), options)
    assert again.result == first.result
    assert again.result.created == first.result.created
    before, after = first.result.cost, again.result.cost
    assert before is not None
    assert after is not None
    assert after.n_structures == before.n_structures
    assert after.n_timed > before.n_timed


def test_the_result_can_be_had_again_without_the_model(finished: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("harness.worker.loading.load_potential", refuse)
    again = evaluate_again(finished.directory)
    assert again.result.model_dump(exclude={"created", "cost"}) == finished.result.model_dump(
        exclude={"created", "cost"}
    )


def test_a_result_is_not_made_again_on_other_data(finished: FinishedRun, own_dataset: Path) -> None:
    table = pq.read_table(own_dataset / "task1" / "train-00000-of-00001.parquet")
    write_split(own_dataset, "task1", "train", table.slice(5))
    with pytest.raises(DataError, match=r"has content .* but the predictions in .* were made for"):
        evaluate_again(finished.directory, str(own_dataset))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not the folder of a run \(run.json cannot be read"):
        evaluate_again(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match=r"run.json is damaged or from another version \(identity: not given"):
        evaluate_again(tmp_path)


@pytest.mark.parametrize("tasks", [[], ["task4", "task4"]])
def test_a_run_of_no_task_or_of_one_twice_is_refused(finished: FinishedRun, tmp_path: Path, tasks: list[str]) -> None:
    document = json.loads((finished.directory / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(document | {"tasks": tasks}))
    with pytest.raises(DataError, match=r"run.json is damaged.*tasks = .*expected one or more tasks, each once.*again"):
        evaluate_again(tmp_path)


TOY: ModelSource = ModelSource("toy", Family("toy", "tests.harness.toy_potential", "numpy"), None)


def use(monkeypatch: pytest.MonkeyPatch, potential: Harmonic) -> None:
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: potential)


def no_computing(batch: StructureBatch) -> NoReturn:
    raise AssertionError("computed before the elements were checked")


def test_an_unknown_element_is_refused_before_anything_is_computed(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Harmonic(replace(TRAITS, elements=frozenset({1, 6, 8})), before=no_computing))
    with pytest.raises(ModelError, match="toy has no parameters for F, which F-2-H, F-6-H"):
        evaluate_model(TOY, open_dataset(str(tiny_dataset)), RunOptions(output=tmp_path, quiet=True))
    assert list(tmp_path.iterdir()) == []


def test_elements_of_tasks_not_asked_for_do_not_matter(
    tmp_path: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Harmonic(replace(TRAITS, elements=frozenset({1, 6, 8, 9}))))
    options = RunOptions(tasks=("task4",), output=tmp_path, quiet=True)
    run = evaluate_model(TOY, open_dataset(str(tiny_dataset)), options)
    assert set(run.result.tasks) == {"task4"}
    assert not run.result.complete


def test_the_result_names_the_commit_of_the_model(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Harmonic(replace(TRAITS, model_id="org/name/small.model", revision="0" * 40)))
    dataset = open_dataset(str(tiny_dataset))
    run = evaluate_model(TOY, dataset, RunOptions(tasks=("task4",), output=tmp_path, quiet=True))
    assert (run.result.model.id, run.result.model.revision) == ("org/name/small.model", "0" * 40)
    assert run.directory.parent == tmp_path / "name-small.model"
    assert evaluate_again(run.directory).result.model == run.result.model


def test_a_model_finds_no_token(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "not-a-real-one")
    monkeypatch.setenv("WANDB_API_KEY", "not-a-real-one")
    seen: list[set[str]] = []

    def look(batch: StructureBatch | None = None) -> None:
        seen.append({"HF_TOKEN", "WANDB_API_KEY", "PATH"} & set(os.environ))

    def load(model: ModelSource, options: LoadOptions) -> Harmonic:
        look()
        return Harmonic(before=look)

    monkeypatch.setattr("harness.worker.loading.load_potential", load)
    evaluate_model(TOY, open_dataset(str(tiny_dataset)), RunOptions(output=tmp_path, quiet=True))
    assert len(seen) > 1
    assert all(names == {"PATH"} for names in seen)
    assert os.environ["HF_TOKEN"] == os.environ["WANDB_API_KEY"] == "not-a-real-one"


TRAINED: PotentialTraits = replace(TRAITS, protocol="from-scratch", trained_on="task4")


def test_a_trained_model_is_tested_on_its_own_task(tiny_dataset: Path) -> None:
    dataset = open_dataset(str(tiny_dataset))
    assert choose_tasks(TRAINED, dataset, ()) == ("task4",)
    assert choose_tasks(TRAINED, dataset, ("task4",)) == ("task4",)
    assert choose_tasks(TRAITS, dataset, ()) == ("task1", "task4")
    assert choose_tasks(TRAITS, dataset, ("task4", "task1")) == ("task1", "task4")


def test_a_trained_model_is_not_tested_on_another_task(tiny_dataset: Path) -> None:
    # Task 4 trains on H at k = 6, 8, 10, 12: 4 of the 40 OOD molecules of task 1.
    message = "trained on task4, so it cannot be tested on task1: 4 of the 40 OOD molecules of task1 were in its tra"
    with pytest.raises(UsageError, match=message):
        choose_tasks(TRAINED, open_dataset(str(tiny_dataset)), ("task1",))


def test_an_absent_task_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    options = RunOptions(tasks=("task2",), output=tmp_path, quiet=True)
    with pytest.raises(DataError, match="has no task2; its tasks: task1 task4"):
        evaluate_model(resolve_model("zero"), open_dataset(str(tiny_dataset)), options)


def test_a_leak_between_training_and_test_is_refused(own_dataset: Path, tmp_path: Path) -> None:
    leaking = own_dataset / "task1" / "test_ood-00000-of-00001.parquet"
    leaking.write_bytes((own_dataset / "task1" / "test_id-00000-of-00001.parquet").read_bytes())
    with pytest.raises(DataError, match=r"4 molecules of task1 in .* occur in training and in test_ood, first F-2-H"):
        evaluate_model(resolve_model("zero"), open_dataset(str(own_dataset)), RunOptions(output=tmp_path, quiet=True))


def test_an_output_that_is_a_file_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match=r"cannot write to .*file/zero.*choose a folder with --output"):
        evaluate_model(
            resolve_model("zero"), open_dataset(str(tiny_dataset)), RunOptions(output=tmp_path / "file", quiet=True)
        )


def test_whatever_may_change_a_prediction_changes_the_folder(tiny_dataset: Path) -> None:
    dataset = open_dataset(str(tiny_dataset))
    tasks = dataset.tasks
    base = run_identity(TRAITS, dataset, tasks, 512)
    others = [
        run_identity(replace(TRAITS, files={"model": "0" * 64}), dataset, tasks, 512),
        run_identity(replace(TRAITS, dtype="float32"), dataset, tasks, 512),
        run_identity(replace(TRAITS, device="cuda:0"), dataset, tasks, 512),
        run_identity(replace(TRAITS, head="mp"), dataset, tasks, 512),
        run_identity(TRAITS, replace(dataset, content_hash="1" * 64), tasks, 512),
        run_identity(TRAITS, dataset, tasks[:1], 512),
        run_identity(TRAITS, dataset, tasks, 256),
    ]
    folders = {run_directory(Path("out"), "toy", identity) for identity in (base, *others)}
    assert len(folders) == 1 + len(others)
    assert run_identity(replace(TRAITS, device="cpu"), dataset, tasks, 512) == base


@pytest.mark.parametrize(
    ("model_id", "slug"),
    [
        ("gfn1-xtb", "gfn1-xtb"),
        ("/home/me/my models/MACE (large).model", "my-models-MACE-large-.model"),
        ("../run/", "run"),
        ("/", "model"),
    ],
)
def test_a_folder_is_named_after_the_model(model_id: str, slug: str) -> None:
    assert model_slug(model_id) == slug


def test_the_default_options_are_those_of_the_command_line() -> None:
    assert RunOptions().load == LoadOptions()
