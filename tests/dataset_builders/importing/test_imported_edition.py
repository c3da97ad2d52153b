"""Trajectories of three molecules, made of the words of a small task, with labels of MMFF94."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from dataset_builders.certify.audit import certify
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.cli import main
from dataset_builders.core.units import BOHR, HARTREE
from dataset_builders.folder.provenance import import_record_of
from dataset_builders.folder.schema import read_metadata
from dataset_builders.importing.import_map import read_import_map
from dataset_builders.importing.imported_edition import import_trajectories
from dataset_builders.publish.published_edition import certified_edition
from dataset_builders.tasks.task_document import read_task_file
from harness.cli import main as harness
from tests.dataset_builders.folder_moves import check_replacing
from tests.dataset_builders.synthetic_folder import edit_rows, frame_of, path_of, total_energy

TASK_FILE = Path(__file__).parents[1] / "ethers.toml"
ETHERS = read_task_file(TASK_FILE)

MAP = f"""\
task_file = "{TASK_FILE}"
source = "a test"
licence = "MIT"
primary = ["*-primary.extxyz"]
secondary = ["*-secondary.extxyz"]

[labels]
method = "PBE0/def2-SVP"
"""
N_FRAMES = {"primary": 12, "secondary": 30}


def atoms_of(word, trajectory, frame, order, shift):
    positions, energy, forces = frame_of(word.smiles, trajectory, frame)
    atoms = Atoms(atomic_numbers_of(word.smiles)[order], positions[order] + shift)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces[order])
    return atoms


def write_trajectory(word, trajectory, change=lambda images: images):
    """A file whose atoms stand in an order of its own, somewhere in space."""
    random = np.random.default_rng(len(word.molecule_id) + len(trajectory))
    order = random.permutation(len(atomic_numbers_of(word.smiles)))
    images = [
        atoms_of(word, trajectory, frame, order, random.normal(0.0, 20.0, 3)) for frame in range(N_FRAMES[trajectory])
    ]
    path = Path(f"{word.molecule_id}-{trajectory}.extxyz")
    write(path, change(images))
    return str(path)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files of the whole task; those of the unseen molecule for both trajectories."""
    monkeypatch.chdir(tmp_path)
    Path("map.toml").write_text(MAP)
    words = (*ETHERS.train_words(), *ETHERS.ood_words())
    return [write_trajectory(word, trajectory) for word in words for trajectory in N_FRAMES]


def imported(files, *options, out="data"):
    return main(["import", *files, "--task-map", "map.toml", "--out", out, *options])


def rows_of(config, split, folder="data"):
    return pq.read_table(path_of(Path(folder), config, split)).to_pylist()


def test_trajectories_become_a_certified_data_set(files, capsys):
    assert imported(files) == 0
    shown = capsys.readouterr().out
    assert "OMe-2-H-primary.extxyz        primary     OMe-2-H      12" in shown
    assert "certified: train 24, validation 20, test_id 40, test_ood 12." in " ".join(shown.split())
    assert certify(Path("data")).ok
    assert {row["frame"] for row in rows_of("ethers", "validation")} == {0, 1, 2, 3, 4, 25, 26, 27, 28, 29}
    assert {row["frame"] for row in rows_of("ethers", "test_id")} == set(range(5, 25))
    assert {row["subset"] for row in rows_of("ethers", "test_ood")} == {"near"}


def test_labels_come_back_with_the_atoms_in_the_order_of_the_smiles(files):
    assert imported(files) == 0
    for split in ("train", "validation", "test_id", "test_ood"):
        for row in rows_of("ethers", split):
            positions, energy, forces = frame_of(row["smiles"], row["trajectory"], row["frame"])
            assert row["atomic_numbers"] == atomic_numbers_of(row["smiles"]).tolist()
            assert row["energy"] == pytest.approx(energy, abs=1e-7)
            stored = np.reshape(row["positions"], (-1, 3))
            match = [order_of(stored, positions - positions.mean(axis=0)), order_of(row["forces"], forces)]
            # Which of the hydrogens of a CH2 is called the first is for the import to choose, but once for all columns.
            assert (match[0] == match[1]).all()


def order_of(found, expected):
    """For each atom the one of the original that it is, by the nearest vector."""
    distances = np.linalg.norm(np.reshape(found, (-1, 1, 3)) - expected[None], axis=2)
    assert distances.min(axis=1).max() < 1e-5
    return distances.argmin(axis=1)


def test_the_harness_evaluates_it(files, capsys):
    assert imported(files) == 0
    capsys.readouterr()
    assert harness(["--model", "zero", "--dataset", "data", "--quiet", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["dataset"]["edition"], document["dataset"]["level_of_theory"]) == ("imported", "PBE0/def2-SVP")
    assert document["tasks"]["ethers"]["splits"]["test_ood"]["n_frames"] == 12


def test_card_and_licence_are_those_of_the_source(files):
    assert imported(files) == 0
    card = Path("data", "README.md").read_text()
    assert "license: mit" in card
    assert "They are external data, including the labels of ethers: a test." in card
    assert "- PBE0/def2-SVP; computed: not stated." in card
    assert "ETKDGv3" not in card
    assert Path("data", "LICENSE.md").read_text().endswith("Licence: MIT\n")
    edition = certified_edition(Path("data"), "org/name")
    assert edition.licence == Path("data", "LICENSE.md").read_text()


def test_a_licence_that_the_hub_does_not_know(files):
    Path("map.toml").write_text(MAP.replace('"MIT"', '"Ask the authors"'))
    assert imported(files) == 0
    assert "license: other\n" in Path("data", "README.md").read_text()
    assert "license_name: Ask the authors" in Path("data", "README.md").read_text()


def test_units_and_keys(files):
    for name in files:
        images = read(name, ":")
        for atoms in images:
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            atoms.calc = None
            atoms.positions /= BOHR
            atoms.info["dft_energy"], atoms.arrays["dft_forces"] = energy / HARTREE, forces / HARTREE * BOHR
        write(name, images)
    keys = 'energy_unit = "hartree"\nlength_unit = "bohr"\nenergy_key = "dft_energy"\nforces_key = "dft_forces"\n'
    Path("map.toml").write_text(MAP + keys)
    assert imported(files) == 0
    row = rows_of("ethers", "test_ood")[3]
    _, energy, forces = frame_of(row["smiles"], "primary", 3)
    assert row["energy"] == pytest.approx(energy, abs=1e-5)
    order_of(row["forces"], forces)


def take_to_pbe(files):
    """Energies as that level has them, in place of those of GFN2-xTB."""
    smiles = {word.molecule_id: word.smiles for word in (*ETHERS.train_words(), *ETHERS.ood_words())}
    for name in files:
        each = smiles[name.rpartition("-")[0]]
        images = read(name, ":")
        for atoms in images:
            atoms.calc.results["energy"] += total_energy("pbe-d3bj", each) - total_energy("gfn2-xtb", each)
        write(name, images)


def test_a_named_level_names_the_configuration(files):
    take_to_pbe(files)
    Path("map.toml").write_text(MAP.replace('method = "PBE0/def2-SVP"', 'level = "pbe-d3bj"'))
    assert imported(files) == 0
    assert [path.name for path in Path("data").iterdir() if path.is_dir()] == ["ethers-pbe"]
    assert certify(Path("data")).certificate.summaries[0].method == "PBE-D3(BJ)/def2-TZVP"


def test_a_stride(files):
    Path("map.toml").write_text("stride = 3\n" + MAP)
    assert imported(files) == 0
    rows = rows_of("ethers", "test_ood")
    assert [row["frame"] for row in rows] == [0, 1, 2, 3]
    assert [row["energy"] for row in rows] == pytest.approx(
        [frame_of(rows[0]["smiles"], "primary", 3 * frame)[1] for frame in range(4)], abs=1e-7
    )


def without_labels(atoms):
    atoms.calc = None


def not_a_number(atoms):
    atoms.calc.results["forces"][0, 0] = np.nan


def broken_bond(atoms):
    atoms.positions[0] += 3.0


def charged(atoms):
    atoms.info["charge"] = 1


def pulled(atoms):
    atoms.calc.results["forces"] += 1.0


def other_element(atoms):
    atoms.numbers[atoms.numbers == 8] = 16


SPOILED = [
    (without_labels, "no energy"),
    (not_a_number, "positions, energy or forces that are not finite"),
    (broken_bond, "Å long, limit"),
    (charged, "charge 1"),
    (pulled, "forces that sum to"),
    (other_element, "12 atoms, or elements that differ from the previous frames"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_frame_that_does_not_fit(files, capsys, spoil, message):
    word = ETHERS.train_words()[0]

    def change(images):
        spoil(images[3])
        return images

    write_trajectory(word, "primary", change)
    assert imported(files) == 3
    error = capsys.readouterr().err
    assert "OMe-2-H-primary.extxyz (OMe-2-H frame 3): " in error
    assert message in error
    assert not Path("data").exists()
    assert imported(files, "--skip-mismatches") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert message in shown
    assert "left out: 1." in shown
    assert [row["frame"] for row in rows_of("ethers", "train") if row["molecule_id"] == "OMe-2-H"] == [
        0, 1, 2, *range(4, 12)
    ]  # fmt: skip
    metadata = read_metadata(pq.read_schema(path_of(Path("data"), "ethers", "train")))
    assert import_record_of(metadata).frames["OMe-2-H"]["primary"].left_out == [3]
    assert certify(Path("data")).ok


def test_a_geometry_twice(files, capsys):
    write_trajectory(ETHERS.train_words()[0], "primary", lambda images: [*images[:5], *images[4:]])
    assert imported(files) == 3
    assert "(OMe-2-H frame 5): the geometry of an earlier frame" in capsys.readouterr().err


def test_a_secondary_trajectory_that_is_the_primary_one_rotated_and_rounded(files, capsys):
    """It would bring frames of training into the test split."""
    word = ETHERS.train_words()[0]

    def turned(images):
        for atoms in images:
            forces, energy = atoms.get_forces(), atoms.get_potential_energy()
            atoms.rotate(90, "z")
            atoms.positions = np.round(atoms.positions, 6)
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces @ [[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
        return images

    write_trajectory(word, "primary")
    write(f"{word.molecule_id}-secondary.extxyz", turned(read(f"{word.molecule_id}-primary.extxyz", ":")))
    assert imported(files) == 3
    assert "frame 0): the geometry of an earlier frame" in capsys.readouterr().err


def test_a_molecule_that_is_not_in_the_task(files, capsys):
    positions, energy, forces = frame_of("CC(C)O", "primary", 0)
    atoms = Atoms(atomic_numbers_of("CC(C)O"), positions)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    write("strange-primary.extxyz", [atoms])
    assert imported([*files, "strange-primary.extxyz"]) == 3
    assert "strange-primary.extxyz: a geometry of CC(C)O; expected a molecule of ethers" in capsys.readouterr().err
    assert imported([*files, "strange-primary.extxyz"], "--skip-mismatches") == 0


def test_a_molecule_without_files(files, capsys):
    rest = [name for name in files if name != "vinyl-2-H-secondary.extxyz"]
    assert imported(rest) == 3
    assert "ethers (vinyl-2-H): no secondary trajectory of C=CCC; expected one, for ethers" in capsys.readouterr().err
    assert imported(rest, "--skip-mismatches") == 0
    assert harness(["--model", "zero", "--dataset", "data", "--quiet"]) == 0


def test_without_a_training_molecule_the_task_is_not_certified(files, capsys):
    rest = [name for name in files if not name.startswith("vinyl")]
    assert imported(rest, "--skip-mismatches") == 3
    assert "was written, but is not certified" in capsys.readouterr().err
    assert not Path("data", "README.md").exists()


def test_a_file_that_ends_in_the_middle(files, capsys):
    path = Path(files[0])
    path.write_text(path.read_text()[:5000])
    assert imported(files, "--skip-mismatches") == 3
    assert "OMe-2-H-primary.extxyz ends in frame 3, after 9 of 12 atoms" in capsys.readouterr().err


def test_a_blank_line_loses_no_frame(files, capsys):
    """ASE stops at it; the frames behind it were lost, and none said to be left out."""
    path = Path(files[0])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:70], "\n", *lines[70:]]))
    assert imported(files, "--skip-mismatches") == 3
    assert "line 71 is blank where frame 5 should begin, and text follows in line 72" in capsys.readouterr().err
    assert not Path("data").exists()


def test_a_name_with_an_at_sign_is_that_of_the_file(files):
    """ASE would read `OMe-2-H-primary.extxyz` and take the frames behind the sign."""
    name = "OMe-2-H-primary.extxyz@:3"
    Path(name).write_text(Path("vinyl-2-H-primary.extxyz").read_text())
    Path("map.toml").write_text(MAP.replace('primary = ["', 'primary = ["*@:3", "'))
    rest = [file for file in files if file != "vinyl-2-H-primary.extxyz"]
    assert imported([*rest, name]) == 0
    record = import_record_of(read_metadata(pq.read_schema(path_of(Path("data"), "ethers", "train"))))
    (found,) = [file for file in record.files if file.name == name]
    assert (found.molecule_id, found.n_frames) == ("vinyl-2-H", 12)
    assert found.sha256 == hashlib.sha256(Path(name).read_bytes()).hexdigest()


def commented(path, text):
    """Adds to the comment line of each frame."""
    Path(path).write_text(Path(path).read_text().replace("Properties=", f"{text} Properties="))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("converged=F", "converged False: the calculation did not converge; compute it again"),
        ("SCF_converged=0", "SCF_converged 0: the calculation did not converge; compute it again"),
        ("charge=1", "charge 1; expected a neutral molecule, with 0"),
        ("Charge=1", "Charge 1; expected a neutral molecule, with 0"),
        ("spin=3", "spin 3, which is not a closed shell"),
        (
            "spin=1",
            "spin 1, a closed shell if this is the multiplicity, but not if it is 2S or S; state which in the map",
        ),
    ],
)
def test_the_state_of_all_frames_is_reported_as_what_it_is(files, capsys, text, message):
    commented(files[0], text)
    assert imported(files) == 3
    error = capsys.readouterr().err
    assert f"1 mismatches:\n  OMe-2-H-primary.extxyz (OMe-2-H frame 0 and 11 more): {message}" in error
    assert not Path("data").exists()


def test_what_the_map_says_of_spin_and_other_keys(files):
    commented(files[0], "spin=1 charge=0 charge_scheme=mbis")
    Path("map.toml").write_text(MAP + 'spin = "multiplicity"\nignored_keys = ["charge_scheme"]\n')
    assert imported(files) == 0
    Path("map.toml").write_text(MAP + 'spin = "S"\nignored_keys = ["charge_scheme"]\n')
    assert imported(files) == 3


def test_converged_frames_and_other_meanings_of_the_key(files):
    commented(files[0], "converged=T")
    commented(files[1], "is_converged=F")
    Path("map.toml").write_text(MAP + 'ignored_keys = ["is_converged"]\n')
    assert imported(files) == 0


def test_labels_that_no_frame_has_are_reported_as_what_they_are(files, capsys):
    Path(files[0]).write_text(Path(files[0]).read_text().replace("energy=", "dft_energy="))
    assert imported(files) == 3
    expected = (
        "(OMe-2-H frame 0 and 11 more): no energy; found dft_energy, which labels.energy_key in the map can select"
    )
    assert expected in capsys.readouterr().err


def test_gradients(files):
    for name in files:
        images = read(name, ":")
        for atoms in images:
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            atoms.calc = None
            atoms.info["total_energy"], atoms.arrays["total_gradient"] = energy / HARTREE, -forces / HARTREE * BOHR
        write(name, images)
    keys = 'energy_unit = "hartree"\nenergy_key = "total_energy"\ngradients_key = "total_gradient"\n'
    Path("map.toml").write_text(MAP + keys + 'gradient_unit = "hartree/bohr"\n')
    assert imported(files) == 0
    row = rows_of("ethers", "test_ood")[3]
    order_of(row["forces"], frame_of(row["smiles"], "primary", 3)[2])


def test_one_frame_a_file(files, capsys):
    for name in files:
        write(name, read(name, "0"))
    for options in ((), ("--skip-mismatches",)):
        assert imported(files, *options) == 3
        assert "no frame is left for test_id, so nothing was written" in capsys.readouterr().err
    assert not Path("data").exists()


def test_files_that_are_none(files, capsys):
    Path("empty-primary.extxyz").write_text("")
    Path("folder-primary.extxyz").mkdir()
    Path("loop-primary.extxyz").symlink_to("loop-primary.extxyz")
    odd = os.fsdecode(b"\xff-primary.extxyz")
    Path(odd).write_text(Path(files[0]).read_text())
    for name, code, message in (
        ("empty-primary.extxyz", 3, "empty-primary.extxyz has no frame"),
        ("folder-primary.extxyz", 3, "folder-primary.extxyz has no trajectory that the map describes: 0 files"),
        ("loop-primary.extxyz", 3, "loop-primary.extxyz, frame 0 or later: it cannot be read"),
        ("absent-primary.extxyz", 3, "absent-primary.extxyz, frame 0 or later: it cannot be read"),
        (odd, 2, "is not in UTF-8"),
    ):
        assert imported([*files, name], "--skip-mismatches") == code
        assert message in capsys.readouterr().err


def test_files_named_twice_or_of_no_trajectory(files, capsys):
    assert imported([*files, files[0]]) == 2
    assert "files are given twice" in capsys.readouterr().err
    assert imported([*files, "map.toml"]) == 2
    assert "none match map.toml" in capsys.readouterr().err


def test_rows_that_are_gone_are_noticed(files):
    assert imported(files) == 0
    edit_rows(path_of(Path("data"), "ethers", "train"), lambda rows: rows.pop(2))
    (problem,) = certify(Path("data")).problems
    assert str(problem) == (
        "ethers (OMe-2-H primary): 11 frames in train, without frame 2; expected 12 frames, as in the metadata"
    )


def test_a_folder_of_another_origin(files, capsys):
    assert imported(files) == 0
    text = MAP.replace('method = "PBE0/def2-SVP"', 'level = "pbe-d3bj"')
    Path("map.toml").write_text(text.replace('"a test"', '"another"'))
    assert imported(files) == 2
    assert "data contains ethers, which comes from 'a test' under 'MIT'" in capsys.readouterr().err
    Path("map.toml").write_text(text)
    take_to_pbe(files)
    assert imported(files) == 0
    assert certify(Path("data")).ok


_DECLARED = TASK_FILE.read_text().replace("[[", "[[task.").replace("[fragments]", "[task.fragments]")
OTHER_TASK = "[task]\n" + _DECLARED.replace('"ethers"', '"others"')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("[*]OC", "[*]OCC"), "OMe-2-H is CCOCC in others and CCOC in ethers"),
        (
            lambda text: "stride = 2\n" + text,
            "data contains ethers, which has frames of OMe-2-H with stride = 1, but the map says stride = 2",
        ),
        (
            lambda text: text.replace("PBE0/def2-SVP", "B3LYP/def2-SVP"),
            "data contains ethers with labels of 'PBE0/def2-SVP', but this import has labels of 'B3LYP/def2-SVP'",
        ),
        (
            lambda text: (
                text.replace('"others"', '"ethers"')
                .replace('method = "PBE0/def2-SVP"', 'level = "pbe-d3bj"')
                .replace("ether meets", "ester meets")
            ),
            "data contains ethers with another declaration of ethers than that of the map",
        ),
    ],
    ids=["fragment", "stride", "method", "declaration"],
)
def test_a_second_import_that_could_not_be_certified_changes_nothing(files, capsys, change, message):
    assert imported(files) == 0
    before = {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}
    task_file = MAP.splitlines(keepends=True)[0]
    Path("map.toml").write_text(change(MAP.replace(task_file, "") + OTHER_TASK))
    assert imported(files) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()} == before


def test_a_second_task_of_the_same_frames(files):
    assert imported(files) == 0
    Path("map.toml").write_text(MAP.replace(MAP.splitlines(keepends=True)[0], "") + OTHER_TASK)
    assert imported(files) == 0
    assert certify(Path("data")).ok


def test_stopped_between_two_moves_or_refused_one_no_configuration_is_lost(files, monkeypatch):
    assert imported(files) == 0

    def write():
        how = read_import_map(Path("map.toml"))
        import_trajectories(files, how, Path("data"))

    check_replacing(monkeypatch, write, Path("data") / "ethers", lambda: certify(Path("data")))
