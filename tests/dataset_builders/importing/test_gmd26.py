"""A small data set in the form of GMD-26: trajectories as its generator writes them, beside files of other kinds.

The files of GMD-26 itself are not available here. Known are the writer (ASE's `.traj`, a periodic box, a stress, labels
in a single-point calculator), the two trajectories of each molecule and the split of the second.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.cli import main
from dataset_builders.core.units import BOHR, HARTREE
from dataset_builders.folder.provenance import import_record_of
from dataset_builders.folder.schema import read_metadata
from dataset_builders.importing.import_map import read_import_map
from dataset_builders.tasks.task_document import read_task_file
from harness.cli import main as harness
from tests.dataset_builders.synthetic_folder import frame_of, path_of, total_energy

TASK_FILE = Path(__file__).parents[1] / "ethers.toml"
ETHERS = read_task_file(TASK_FILE)
WORDS = (*ETHERS.train_words(), *ETHERS.ood_words())

MAP = f'preset = "gmd-26"\ntask_file = "{TASK_FILE}"\n'
SMALL = f"{MAP}first_frames = {{ validation = 5, test_id = 20 }}\n"
FIRST = WORDS[0]


def atoms_of(smiles, trajectory, frame):
    positions, energy, forces = frame_of(smiles, trajectory, frame)
    atoms = Atoms(atomic_numbers_of(smiles), positions, cell=3 * [60.0], pbc=True)
    atoms.center()
    shift = total_energy("pbe-d3bj", smiles) - total_energy("gfn2-xtb", smiles)
    atoms.calc = SinglePointCalculator(atoms, energy=energy + shift, forces=forces, stress=np.zeros(6))
    return atoms


def name_of(word, trajectory):
    return f"data/{word.smiles.count('C')}_{word.smiles}/{word.smiles}_{trajectory}.traj"


def write_data_set(folder, n_primary, n_secondary):
    """The trajectories of the task, in a folder a molecule, and what else such a repo holds."""
    for word in WORDS:
        # Those of unseen molecules are not used.
        secondary = 3 if word in ETHERS.ood_words() else n_secondary
        for trajectory, n_frames in (("primary", n_primary), ("secondary", secondary)):
            path = folder / name_of(word, trajectory)
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, [atoms_of(word.smiles, trajectory, frame) for frame in range(n_frames)])
        write(path.with_name("last_step.traj"), [atoms_of(word.smiles, "primary", 0)])
        path.with_name(f"{word.smiles}_total.log").write_text("Time[ps] Etot/N[eV]\n")
    (folder / "trained_models").mkdir()
    (folder / "trained_models" / "primary.pt").write_bytes(b"PK\x03\x04")
    (folder / "README.md").write_text("A card\n")
    (folder / ".gitattributes").write_text("*.traj filter=lfs\n")
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """With 500 secondary frames."""
    return write_data_set(tmp_path_factory.mktemp("published"), 60, 500)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("pristine"), 12, 25)


@pytest.fixture
def gmd(pristine, tmp_path, monkeypatch):
    """With 25 secondary frames, to be spoiled."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pristine, "gmd")
    Path("map.toml").write_text(SMALL)
    return Path("gmd")


def imported(*sources, options=()):
    return main(["import", *map(str, sources), "--task-map", "map.toml", "--out", "edition", *options])


def rows_of(split):
    return pq.read_table(path_of(Path("edition"), "ethers-pbe", split)).to_pylist()


def record():
    found = import_record_of(read_metadata(pq.read_schema(path_of(Path("edition"), "ethers-pbe", "train"))))
    assert found is not None
    return found


def test_a_downloaded_folder_becomes_a_certified_edition(published, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("map.toml").write_text(MAP)
    assert imported(published) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "certified: train 120, validation 200, test_id 800, test_ood 60." in shown
    assert "8 other files were not read: README.md, data/" in shown
    assert {row["frame"] for row in rows_of("validation")} == set(range(100))
    assert {row["frame"] for row in rows_of("test_id")} == set(range(100, 500))
    assert {row["molecule_id"] for row in rows_of("test_ood")} == {"OMe-2-vinyl"}
    assert {row["trajectory"] for row in rows_of("train")} == {"primary"}
    assert record().first_frames.validation == 100
    assert record().files[0].name.startswith("data/")

    card = Path("edition", "README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "as published; ORCA according to the card of the data set, settings not stated" in card
    assert "validation is the first 100 secondary frames of a molecule and test_id those after them" in card
    # The frames of the fixture are independent.
    (inefficiency,) = re.findall(r"\| ethers-pbe \| secondary \| 2 \| 500 \| ([\d.]+) \|", card)
    assert float(inefficiency) < 2.0

    assert harness(["--model", "zero", "--dataset", "edition", "--labels", "pbe-d3bj", "--quiet", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["dataset"]["level_of_theory"] == "PBE-D3(BJ)/def2-TZVP"
    assert document["tasks"]["ethers"]["splits"]["test_id"]["n_frames"] == 800


def test_from_the_hub(pristine, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("map.toml").write_text(SMALL)
    files = {path.relative_to(pristine).as_posix(): path.read_bytes() for path in pristine.rglob("*") if path.is_file()}
    hub.add_repo("AmirMasoud/GMD", kind="dataset", files=files)
    assert imported("hf://datasets/AmirMasoud/GMD") == 0
    (repo,) = record().repos
    name, _, commit = repo.partition("@")
    assert (name, len(commit)) == ("AmirMasoud/GMD", 40)
    assert f"The files were read from {repo} on the Hub." in Path("edition", "README.md").read_text()
    assert imported(f"hf://datasets/{repo}") == 0


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("hf://datasets/AmirMasoud/GMD", 3, "AmirMasoud/GMD"),
        ("hf://AmirMasoud/GMD", 2, "expected hf://datasets/org/name[@revision]"),
        ("hf://datasets/AmirMasoud/GMD/data", 2, "expected hf://datasets/org/name[@revision]"),
    ],
)
def test_addresses_of_nothing(hub, gmd, capsys, address, code, message):
    assert imported(address) == code
    assert message in capsys.readouterr().err


def test_a_repo_without_trajectories(hub, gmd, capsys):
    hub.add_repo("AmirMasoud/GMD", kind="dataset", files={"README.md": b"A card\n", "data/a.bin": b"?"})
    assert imported("hf://datasets/AmirMasoud/GMD") == 3
    error = capsys.readouterr().err
    assert "has no trajectory that the map describes" in error
    assert "No public source states the names of the files of GMD-26" in error


def test_names_that_do_not_say_which_trajectory_they_are(gmd, capsys):
    """As the generator of GMD-26 names its trajectories: the map has to say which is which."""
    for path in sorted(gmd.rglob("*ary.traj")):
        path.rename(str(path).replace("primary", "total").replace("secondary", "final"))
    assert imported(gmd) == 2
    error = capsys.readouterr().err
    assert "none match data/" in error
    assert "No public source states the names of the files of GMD-26" in error
    Path("map.toml").write_text(f'{SMALL}primary = ["*_total.traj"]\nsecondary = ["*_final.traj"]\n')
    assert imported(gmd) == 0


def edited(gmd, word, trajectory, edit):
    path = gmd / name_of(word, trajectory)
    images = read(path, ":")
    edit(images)
    write(path, images)


def without_the_last(images):
    images.pop()


def with_one_more(images):
    images.append(atoms_of(FIRST.smiles, "secondary", len(images)))


@pytest.mark.parametrize(("edit", "n_frames"), [(without_the_last, 24), (with_one_more, 26)])
def test_secondary_trajectories_of_another_length(gmd, capsys, edit, n_frames):
    edited(gmd, FIRST, "secondary", edit)
    assert imported(gmd) == 3
    error = capsys.readouterr().err
    assert f"a secondary trajectory of {n_frames} frames; expected one file of 25: first_frames.validation = 5" in error
    assert not Path("edition").exists()
    assert imported(gmd, options=["--skip-mismatches"]) == 0
    assert FIRST.molecule_id not in {row["molecule_id"] for row in rows_of("test_id")}
    assert record().frames[FIRST.molecule_id]["secondary"].left_out == list(range(n_frames))
    capsys.readouterr()
    assert main(["certify", "edition", "--without-geometry"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "correlation in time of imported trajectories" in shown
    assert "tuning sees the beginning of the trajectory that tests" in shown


def test_a_secondary_trajectory_in_two_files(gmd, capsys):
    path = gmd / name_of(FIRST, "secondary")
    write(path.with_name("more_secondary.traj"), read(path, ":"))
    assert imported(gmd) == 3
    assert "a secondary trajectory of 25 frames after 25 in other files; expected one file" in capsys.readouterr().err


def test_a_stride_keeps_the_split(gmd, capsys):
    Path("map.toml").write_text(SMALL.replace("validation = 5", "validation = 10").replace("20", "15") + "stride = 2\n")
    assert imported(gmd) == 0
    assert {row["frame"] for row in rows_of("validation")} == set(range(5))
    assert {row["frame"] for row in rows_of("test_id")} == set(range(5, 13))
    Path("map.toml").write_text(SMALL + "stride = 2\n")
    assert imported(gmd) == 2
    expected = "first_frames.validation = 5 with stride = 2 gives 3 frames; expected a multiple of 5"
    assert expected in " ".join(capsys.readouterr().err.split())


def not_a_number(images):
    images[3].calc.results["forces"][0, 0] = np.nan


def unknown_element(images):
    results = images[3].calc.results
    images[3].numbers[0] = 0
    images[3].calc = SinglePointCalculator(images[3], **results)


def frame_of_primary(images):
    images[3] = atoms_of(FIRST.smiles, "primary", 3)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (not_a_number, "frame 3): positions, energy or forces that are not finite"),
        (unknown_element, "frame 3): 12 atoms, or elements that differ from the previous frames"),
        (frame_of_primary, "frame 3): the geometry of an earlier frame; expected each geometry once"),
    ],
)
def test_frames_that_do_not_fit(gmd, capsys, edit, message):
    edited(gmd, FIRST, "secondary", edit)
    assert imported(gmd) == 3
    error = capsys.readouterr().err
    assert name_of(FIRST, "secondary") in error
    assert message in error
    assert imported(gmd, options=["--skip-mismatches"]) == 0
    frames = [row["frame"] for row in rows_of("validation") if row["molecule_id"] == FIRST.molecule_id]
    assert frames == [0, 1, 2, 4]


def test_a_molecule_that_is_missing(gmd, capsys):
    shutil.rmtree((gmd / name_of(FIRST, "primary")).parent)
    assert imported(gmd) == 3
    assert f"no primary trajectory of {FIRST.smiles}; expected one, for ethers" in capsys.readouterr().err


def test_forces_in_atomic_units(gmd, capsys):
    def edit(images):
        for atoms in images:
            atoms.calc.results["forces"] *= BOHR / HARTREE

    for word in WORDS:
        for trajectory in ("primary", "secondary"):
            edited(gmd, word, trajectory, edit)
    assert imported(gmd) == 3
    assert "the forces look like hartree/bohr read as eV/angstrom" in capsys.readouterr().err
    assert not Path("edition", "README.md").exists()
    Path("map.toml").write_text(SMALL + '[labels]\nforce_unit = "hartree/bohr"\n')
    assert imported(gmd) == 0


def test_labels_of_another_level_than_the_card_says(gmd, capsys):
    Path("map.toml").write_text(SMALL + '[labels]\nlevel = "gfn2-xtb"\n')
    assert imported(gmd) == 3
    assert "the energies look like PBE-D3(BJ)/def2-TZVP" in capsys.readouterr().err


def test_another_method_replaces_the_level_of_the_preset(gmd):
    Path("map.toml").write_text(SMALL + '[labels]\nmethod = "PBE-D3(BJ)/def2-TZVP, as published"\n')
    assert imported(gmd) == 0
    assert Path("edition", "ethers").is_dir()


def test_pointers_of_git_lfs(gmd, capsys):
    (gmd / name_of(FIRST, "primary")).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert imported(gmd) == 3
    assert "is a pointer of Git LFS, not the file itself" in capsys.readouterr().err


def test_a_preset_that_is_not_known(gmd, capsys):
    Path("map.toml").write_text(SMALL.replace("gmd-26", "gmd-25"))
    assert imported(gmd) == 2
    assert "preset = 'gmd-25'; expected one of gmd-26" in capsys.readouterr().err


def test_the_map_of_the_page(tmp_path):
    page = Path(__file__).parents[3].joinpath("docs", "gmd-26.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "gmd.toml").write_text(text)
    how = read_import_map(tmp_path / "gmd.toml")
    assert (how.config, how.licence, how.n_validation, how.n_secondary) == ("task2-pbe", "CC-BY-4.0", 100, 500)
    for stated in ("`*primary*`", "`trained_models/*`", "`*last_step.traj`", f'"{how.computed}"'):
        assert stated in page
