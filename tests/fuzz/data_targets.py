"""Targets: data sets, trajectories and declarations that others wrote."""

import gzip
import io
from pathlib import Path

from tests.fuzz.target import Reading, Target

ETHERS = Path(__file__).parents[1] / "dataset_builders" / "ethers.toml"


def _dataset(folder: Path) -> Path:
    """One task of a tiny data set."""
    import shutil

    from tests.harness.small_dataset import write_dataset

    write_dataset(folder / "data")
    shutil.rmtree(folder / "data" / "task4")
    return folder / "data"


_PART = "data/task1/test_ood-00000-of-00001.parquet"


def _declaring(folder: Path) -> list[bytes]:
    """The file as it is, and one whose metadata declare an edition, an import and the frames of the config."""
    import pyarrow.parquet as pq

    from dataset_builders.folder.schema import with_metadata

    table = pq.read_table(folder / _PART)
    stream = io.BytesIO()
    imported = {
        "edition": "imported",
        "level_of_theory": {"method": "MMFF94", "basis": "x"},
        "subset": {"train": 100, "validation": 1, "test_id": 1, "test_ood": 1},
        "imported": {
            "source": "a", "licence": "mit", "stride": 1, "temperature": 300.0,
            "files": [
                {"name": "a", "sha256": "0" * 64, "trajectory": "primary", "molecule_id": "OH-6-H", "n_frames": 3},
            ],
            "frames": {"OH-6-H": {"primary": {"n_frames": 3, "left_out": [1]}}},
        },
    }  # fmt: skip
    pq.write_table(table.replace_schema_metadata(with_metadata(imported).metadata), stream)
    return [(folder / _PART).read_bytes(), stream.getvalue()]


def _scanned(folder: Path) -> Reading:
    """Opens, pins and scans a data set, as an evaluation does."""
    data = _dataset(folder)
    seeds = _declaring(folder)

    def read() -> object:
        from harness.data.dataset import open_levels
        from harness.data.scan import scan_splits, stream_needed

        found = open_levels(str(data))
        keys = [("task1", "test_ood"), ("task1", "test_id")]
        return [scan_splits({key: stream_needed(each, key) for key in keys}) for each in found]

    return Reading(read, seeds[:1])


def _certified(folder: Path) -> Reading:
    """Certifies a data set, and reads what its files say of themselves."""
    data = _dataset(folder)
    seeds = _declaring(folder)

    def read() -> object:
        from dataset_builders.certify.audit import certify

        return certify(data).text()

    return Reading(read, seeds)


def _exported(folder: Path) -> Reading:
    """Reads rows of a data set for a trainer."""
    data = _dataset(folder)

    def read() -> object:
        from harness.train.task_data import pin_training_files, read_training_split

        pinned = pin_training_files(data, "task1")
        return len(read_training_split(pinned, "task1", "validation"))

    path = folder / "data/task1/validation-00000-of-00001.parquet"
    return Reading(read, [path.read_bytes()])


def _trajectory(folder: Path, name: str) -> Reading:
    from ase.io import write

    from dataset_builders.importing.trajectories import read_frames
    from tests.dataset_builders.trajectory_text import frame_text, how, images

    path = folder / name
    seeds = [(frame_text() * 2).encode()]
    if not name.endswith("xyz"):
        write(path, images(), format={"traj": "traj", "db": "db", "json": "json"}[path.suffix[1:]])
        seeds = [path.read_bytes()]
    else:
        comment = (
            'Properties=species:S:1:pos:R:3:Z:I:1:forces:R:3 energy=1.0 charge=0 spin=1 Lattice="9 0 0 0 9 0 0 0 9"'
        )
        rows = ("O 0 0 0.1 8 0 0 0.5", "H 0 0.7 -0.4 1 0.1 0 0", "H 0 -0.7 -0.4 1 0 0 0.25")
        seeds += [frame_text(comment, rows).encode(), gzip.compress(seeds[0], mtime=0)]
    mapping = how(energy_factor=27.2, force_factor=51.4)
    return Reading(lambda: [type(frame) for frame in read_frames(path, mapping)], seeds)


def _imported(folder: Path) -> Reading:
    """A whole import: identification of the molecule, its rows, and what the report says of them."""
    from dataset_builders.chemistry.mmff94 import atomic_numbers_of
    from dataset_builders.chemistry.sampling import embed
    from dataset_builders.importing.molecule_frames import Collector
    from dataset_builders.importing.source_files import SourceFile
    from dataset_builders.tasks.words import word
    from tests.dataset_builders.trajectory_text import how

    smiles = word("OH", 2, "H").smiles
    from ase.data import chemical_symbols

    symbols, positions = [chemical_symbols[n] for n in atomic_numbers_of(smiles)], embed(smiles, 1)
    lines = []
    for frame in range(3):
        lines += [str(len(symbols)), f"Properties=species:S:1:pos:R:3:forces:R:3 energy={-4200.0 + 0.1 * frame}"]
        lines += [
            f"{symbol} {x * (1.0 + 0.01 * frame):.6f} {y:.6f} {z:.6f} 0.1 0.2 -0.3"
            for symbol, (x, y, z) in zip(symbols, positions, strict=True)
        ]

    def read() -> object:
        collector = Collector(how())
        collector.add_file(SourceFile(folder / "a.extxyz", "a.extxyz", "primary"))
        return [str(each) for each in collector.all_problems()], collector.record(), collector.n_rows()

    return Reading(read, ["\n".join([*lines, ""]).encode()])


def _task_file(folder: Path) -> Reading:
    from dataset_builders.certify.soundness import require_sound
    from dataset_builders.tasks.task_document import read_task_file

    def read() -> object:
        task = read_task_file(folder / "task.toml")
        require_sound([task])
        return task

    return Reading(read, [ETHERS.read_bytes()])


def _import_map(folder: Path) -> Reading:
    from dataset_builders.importing.import_map import read_import_map

    text = (
        'task = "task2"\nprimary = ["a*.xyz"]\nsecondary = ["b/*.xyz"]\nstride = 2\nsource = "somewhere"\n'
        'licence = "MIT"\n\n[labels]\nmethod = "B3LYP/def2"\nenergy_unit = "hartree"\nforces_key = "f"\n'
        'force_unit = "hartree/bohr"\ntemperature = 400.0\nignored_keys = ["q"]\nspin = "multiplicity"\n'
    )
    declared = ETHERS.read_text(encoding="utf-8").replace("[[", "[[task.").replace("[fragments]", "[task.fragments]")
    own = text.replace('task = "task2"\n', "") + "\n[task]\n" + declared

    def read() -> object:
        found = read_import_map(folder / "map.toml")
        return found.config

    return Reading(read, [text.encode(), own.encode()])


def _kept(folder: Path) -> Reading:
    """Labels that an earlier run kept, or that came with the package."""
    import pyarrow.parquet as pq

    from dataset_builders.folder.schema import read_metadata
    from dataset_builders.relabel.kept_labels import Recipe, read_kept

    kept = (Path(__file__).parents[2] / "dataset_builders" / "data" / "labels").glob("*/*.parquet")
    path = min(kept, key=lambda each: (each.stat().st_size, each.name))
    recipe = Recipe("wb97m-d3bj", read_metadata(pq.read_schema(path))["level_of_theory"], net_force=1.0)
    return Reading(lambda: read_kept(folder / "kept.parquet", recipe), [path.read_bytes()])


TARGETS = (
    Target("parquet", "parquet", _PART, _scanned),
    Target("parquet-certify", "parquet", _PART, _certified, seconds=30.0),
    Target("parquet-train", "parquet", "data/task1/validation-00000-of-00001.parquet", _exported),
    Target("kept-labels", "parquet", "kept.parquet", _kept),
    Target("extxyz", "text", "a.extxyz", lambda folder: _trajectory(folder, "a.extxyz")),
    Target("import", "text", "a.extxyz", _imported),
    Target("traj", "bytes", "a.traj", lambda folder: _trajectory(folder, "a.traj")),
    Target("ase-db", "bytes", "a.db", lambda folder: _trajectory(folder, "a.db")),
    Target("ase-json", "json", "a.json", lambda folder: _trajectory(folder, "a.json")),
    Target("task-file", "toml", "task.toml", _task_file),
    Target("import-map", "toml", "map.toml", _import_map),
)
