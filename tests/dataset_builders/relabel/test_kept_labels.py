import hashlib
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.cli import MINI_DIRECTORY, main
from dataset_builders.core.errors import ConvergenceError, DataError, IncompleteError, SetupError, UsageError
from dataset_builders.folder.schema import METADATA_KEY
from dataset_builders.relabel import relabelled_edition as module
from dataset_builders.relabel.frames_to_label import frames_to_label
from dataset_builders.relabel.kept_labels import KEPT_SCHEMA, Recipe, digest_of, kept_tables, read_kept, write_kept
from dataset_builders.relabel.relabel_keep import keep_labels
from dataset_builders.relabel.relabelled_edition import label_folder, missing_of, recipe_of, relabel
from tests.dataset_builders.relabel.test_relabelled_edition import WB97X, one_thread, settings, toy_label


@pytest.fixture
def toy(monkeypatch):
    """A label that costs nothing in the place of the functional; its forces sum to nothing, as those of a molecule do.

    `fails_after` labels it fails; `asked` counts.
    """
    state = {"asked": 0, "fails_after": 10**9}

    def label(level, numbers, positions):
        if state["asked"] >= state["fails_after"]:
            raise ConvergenceError("killed")
        state["asked"] += 1
        energy, forces = toy_label(level, numbers, positions)
        return energy, forces - forces.mean(axis=0)

    monkeypatch.setattr(module, "compute_label", label)
    monkeypatch.setattr(module, "check_worker", lambda *_: None)
    monkeypatch.setattr(module, "label_metadata", lambda _: {"method": "toy"})
    monkeypatch.setattr(module, "label_versions", lambda _: {"toy": "1"})
    return state


def bytes_of(out):
    return {path.name: path.read_bytes() for path in (out / "task2-wb97x").iterdir()}


def killed_after(toy, once, count):
    toy.update(asked=0, fails_after=count)
    with pytest.raises(IncompleteError):
        relabel(once, one_thread)
    toy.update(asked=0, fails_after=10**9)


def test_a_killed_run_goes_on_from_kept_labels_alone_and_ends_with_the_same_bytes(toy, tmp_path):
    straight = settings(tmp_path / "straight" / "out", work_dir=tmp_path / "straight" / "work")
    relabel(straight, one_thread)
    killed = settings(tmp_path / "killed" / "out", work_dir=tmp_path / "killed" / "work")
    killed_after(toy, killed, 50)
    kept = keep_labels(killed, tmp_path / "kept")
    assert (kept.n_new, kept.n_before, kept.n_wanted) == (50, 0, 120)
    assert kept.path.parent.name == label_folder(killed).name
    shutil.rmtree(tmp_path / "killed")

    resumed = settings(tmp_path / "new" / "out", work_dir=tmp_path / "new" / "work", labels_from=(tmp_path / "kept",))
    relabel(resumed, one_thread)
    assert toy["asked"] == 70
    assert bytes_of(tmp_path / "new" / "out") == bytes_of(tmp_path / "straight" / "out")


def test_labels_of_several_machines_lie_side_by_side(toy, tmp_path):
    folder, small = tmp_path / "kept", {"train": 1, "validation": 0, "test_id": 1, "test_ood": 1}
    for number, count in enumerate((30, 40)):
        one = settings(tmp_path / f"{number}" / "out", work_dir=tmp_path / f"{number}" / "work", frame_counts=small)
        killed_after(toy, one, count)
        keep_labels(one, tmp_path / f"kept{number}")
        shutil.copytree(tmp_path / f"kept{number}", folder, dirs_exist_ok=True)
    once = settings(tmp_path / "out", labels_from=(folder,))
    assert len(list(folder.glob("*/*.parquet"))) == 2
    assert sum(table.num_rows for table in kept_tables((folder,), recipe_of(WB97X))) == 40, "the first 30 came twice"
    frames = frames_to_label(once)
    assert len(missing_of(frames, once)) == len(frames) - 40


def test_what_is_kept_is_kept_once(toy, tmp_path):
    once = settings(tmp_path / "out")
    killed_after(toy, once, 20)
    assert keep_labels(once, tmp_path / "kept").n_new == 20
    again = keep_labels(once, tmp_path / "kept")
    assert again.path is None
    assert again.text() == "no new labels: the folder contains 20 of 120"
    relabel(once, one_thread)
    rest = keep_labels(once, tmp_path / "kept")
    assert (rest.n_new, rest.n_before) == (100, 20)
    assert "the folder contains 120 of 120" in rest.text()
    assert rest.path.stat().st_size / rest.n_new < 1_000


def test_a_row_has_the_geometry_who_it_is_and_both_labels(toy, tmp_path):
    once = settings(tmp_path / "out")
    relabel(once, one_thread)
    table = read_kept(keep_labels(once, tmp_path / "kept").path, recipe_of(WB97X))
    source = {
        (row["molecule_id"], row["trajectory"], row["frame"]): row
        for split in ("train", "test_id", "test_ood")
        for row in pq.read_table(MINI_DIRECTORY / f"task2/{split}-00000-of-00001.parquet").to_pylist()
    }
    for row in table.to_pylist():
        before = source[row["molecule_id"], row["trajectory"], row["frame"]]
        for name in ("smiles", "left", "spacer", "right", "n_atoms", "atomic_numbers", "positions"):
            assert row[name] == before[name]
        assert (row["source_energy"], row["source_forces"]) == (before["energy"], before["forces"])
        energy, forces = toy_label(None, np.array(before["atomic_numbers"]), np.reshape(before["positions"], (-1, 3)))
        assert row["energy"] == energy
        np.testing.assert_array_equal(row["forces"], (forces - forces.mean(axis=0)).astype(np.float32).ravel())


@pytest.fixture
def kept(toy, tmp_path):
    once = settings(tmp_path / "out")
    killed_after(toy, once, 5)
    return keep_labels(once, tmp_path / "kept").path


def rewrite(path, table, **metadata):
    """With a checksum that is right, so that what is wrong is found by what it is."""
    document = json.loads(table.schema.metadata[METADATA_KEY]) | {"sha256": digest_of(table)} | metadata
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(document)}), path)


def with_column(table, name, values):
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))


def first_changed(table, name, change):
    return with_column(table, name, [change(table[name][0].as_py()), *table[name].to_pylist()[1:]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: first_changed(t, "energy", lambda _: float("nan")), "row 0 has an energy of nan eV"),
        (lambda t: first_changed(t, "energy", lambda _: 3.0), "row 0 has an energy of 3.0 eV; expected a negative"),
        (lambda t: first_changed(t, "forces", lambda f: [200.0, *f[1:]]), "row 0 has a force of 200 eV/Å; expected"),
        (lambda t: first_changed(t, "forces", lambda f: [float("nan"), *f[1:]]), "row 0 has a force of nan eV/Å"),
        (lambda t: first_changed(t, "forces", lambda f: [f[0] + 1.0, *f[1:]]), "row 0 has forces that sum to 1 eV/Å"),
        (
            lambda t: first_changed(t, "forces", lambda f: f[:-3]),
            "row 0 has forces of a length that does not match its atoms",
        ),
        (lambda t: first_changed(t, "positions", lambda p: [p[0] + 1e-6, *p[1:]]), "a key does not match its geometry"),
        (lambda t: t.drop_columns(["left"]), r"its columns are key, molecule_id, .*; expected key, molecule_id"),
    ],
)
def test_rows_that_cannot_be_labels_are_named(kept, change, message):
    table = pq.read_table(kept)
    changed = change(table)
    document = {"sha256": "0"} if changed.schema.names != table.schema.names else {}
    if document:
        pq.write_table(changed, kept)
    else:
        rewrite(kept, changed)
    with pytest.raises(DataError, match=rf"{kept.name} has no usable labels: {message}.*; restore it from"):
        read_kept(kept, recipe_of(WB97X))


def test_a_file_that_is_not_as_it_was_written_is_named(kept):
    table = first_changed(pq.read_table(kept), "source_energy", lambda energy: energy + 1e-9)
    pq.write_table(table, kept)
    with pytest.raises(DataError, match="its rows do not match its checksum; restore it from version control"):
        read_kept(kept, recipe_of(WB97X))
    kept.write_bytes(kept.read_bytes()[:-10])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_kept(kept, recipe_of(WB97X))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"level_of_theory": {"method": "toy", "program": {"pyscf": "2.0"}}},
            "its labels have another recipe",
        ),
        ({"format": "kept labels 9"}, "its format is 'kept labels 9'; expected 'kept labels 1'"),
    ],
)
def test_a_file_of_another_recipe_or_format_is_refused(kept, metadata, message):
    rewrite(kept, pq.read_table(kept), **metadata)
    with pytest.raises(DataError, match=message):
        read_kept(kept, recipe_of(WB97X))


def test_a_folder_of_another_recipe_is_refused(toy, kept, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "label_metadata", lambda _: {"method": "toy", "program": {"toy": "2"}})
    once = settings(tmp_path / "out", labels_from=(tmp_path / "kept",))
    with pytest.raises(
        UsageError, match=r"kept has labels of wb97x-[0-9a-f]{12}; expected wb97x-[0-9a-f]{12}, the recipe"
    ):
        relabel(once, one_thread)
    with pytest.raises(UsageError, match=r"--labels-from .*absent: no such folder"):
        relabel(settings(tmp_path / "out", labels_from=(tmp_path / "absent",)), one_thread)


def test_two_labels_of_a_geometry_that_disagree_are_told(kept):
    table = pq.read_table(kept)
    other = first_changed(table, "energy", lambda energy: energy - 0.01)
    write_kept(other, kept.parent.parent, recipe_of(WB97X), {})
    with pytest.raises(
        DataError, match=r"the labels of geometry [0-9a-f]{32} in .* and in an earlier file differ by 0.01 eV"
    ):
        list(kept_tables((kept.parent.parent,), recipe_of(WB97X)))


def test_the_name_of_a_file_is_that_of_its_content(kept):
    table = pq.read_table(kept)
    assert kept.stem == digest_of(table)[:16]
    assert table.schema.equals(KEPT_SCHEMA)
    assert digest_of(table.slice(0, 4)) != digest_of(table)


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_computed(toy, capsys, tmp_path):
    command = ["relabel", "mini", "--labels", "wb97x", "--task", "task2", "--out", str(tmp_path / "out")]
    assert main([*command, "--program", "gpu4pyscf"]) == SetupError.exit_code
    assert "--program gpu4pyscf: " in capsys.readouterr().err
    assert toy["asked"] == 0


def test_nothing_to_keep_is_said(toy, tmp_path):
    with pytest.raises(UsageError, match="--keep-labels: none of the 120 labels is finished in"):
        keep_labels(settings(tmp_path / "out"), tmp_path / "kept")


def test_the_command_keeps_and_takes_up_again(toy, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("dataset_builders.engines.choice.local_processes", lambda workers: one_thread())
    subset = ["--subset", "train=1", "validation=0", "test_id=1", "test_ood=2"]
    command = ["relabel", "mini", "--labels", "wb97x", "--task", "task2", *subset]
    first = [*command, "--out", str(tmp_path / "first")]
    toy["fails_after"] = 60
    assert main([*first, "--shard", "1/1"]) == IncompleteError.exit_code
    assert main([*first, "--keep-labels", str(tmp_path / "kept")]) == 0
    assert "kept 60 new labels in" in capsys.readouterr().out
    toy.update(asked=0, fails_after=10**9)
    second = [*command, "--out", str(tmp_path / "second"), "--labels-from", str(tmp_path / "kept")]
    assert main([*second, "--shard", "1/1"]) == 0
    assert toy["asked"] == 60


EMBEDDED = sorted((MINI_DIRECTORY.parent / "labels").glob("*/*.parquet"))


@pytest.mark.parametrize("path", EMBEDDED, ids=lambda path: path.stem)
def test_labels_in_the_repository_are_those_of_frames_of_mini(path):
    document = json.loads(pq.read_schema(path).metadata[METADATA_KEY])
    text = json.dumps(document["level_of_theory"], sort_keys=True)
    level = next(level for level in LEVELS.values() if path.parent.name.startswith(level.name))
    assert path.parent.name == f"{level.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    assert document["source_level_of_theory"]["method"] == "GFN2-xTB"
    rows = read_kept(path, Recipe(path.parent.name, document["level_of_theory"], level.net_force)).to_pylist()
    mini = {
        (row["molecule_id"], row["trajectory"], row["frame"]): row
        for split in ("train", "test_id", "test_ood")
        for task in ("task1", "task2", "task3", "task4")
        for row in pq.read_table(MINI_DIRECTORY / task / f"{split}-00000-of-00001.parquet").to_pylist()
    }
    shared = [
        (row, mini[name]) for row in rows if (name := (row["molecule_id"], row["trajectory"], row["frame"])) in mini
    ]
    assert shared
    for row, before in shared:
        assert row["positions"] == before["positions"]
        assert (row["source_energy"], row["source_forces"]) == (before["energy"], before["forces"])
        apart = np.array(row["forces"]) - np.array(before["forces"])
        assert 0.02 < np.abs(apart).mean() < 0.4, "the distance between two levels, and no other frame's forces"


def test_text_that_is_not_utf8_is_one_error(tmp_path):
    """Arrow reads such bytes as text without a look at them."""
    shipped = EMBEDDED[0]
    table = pq.read_table(shipped)
    recipe = Recipe("any", json.loads(table.schema.metadata[METADATA_KEY])["level_of_theory"], net_force=1.0)
    assert read_kept(shipped, recipe).num_rows == table.num_rows
    place = table.schema.get_field_index("smiles")
    _, offsets, content = table.column(place).combine_chunks().buffers()
    damaged = pa.StringArray.from_buffers(table.num_rows, offsets, pa.py_buffer(b"\xff" + content.to_pybytes()[1:]))
    pq.write_table(table.set_column(place, table.schema.field(place), damaged), tmp_path / "damaged.parquet")
    with pytest.raises(DataError, match=r"damaged\.parquet cannot be read as Parquet .*Invalid UTF8"):
        read_kept(tmp_path / "damaged.parquet", recipe)
