"""Flips single bits of files and cuts files short, and checks that whoever reads them says so."""

import io
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dataset_builders.core.errors import DataError, MlipOodError
from tests.faults.tally import Tally

_CUTS: Final = 4
_UNPROVED: Final = ("created", "cost")
"""Parts of a result that its predictions do not determine."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    Attributes:
        name: Its name.
        path: The file.
        read: Reads it as the project does, and returns all that a number could depend on.
    """

    name: str
    path: Path
    read: Callable[[], object]


def damage_file(kind: Kind, n_flips: int, seed: int) -> Tally:
    """Damages a file in many ways, one at a time, and restores it.

    Args:
        kind: The file.
        n_flips: Number of flipped bits.
        seed: Seed of their places.
    """
    whole, expected = kind.path.read_bytes(), kind.read()
    counts = {"flips": 0, "cuts": 0, "caught": 0, "harmless": 0}
    tally = Tally(kind.name, counts, struck=("flips", "cuts"), needed=("caught",))
    try:
        for what, content in _damaged(whole, n_flips, random.Random(f"{seed} {kind.name}")):
            tally.add("flips" if what.startswith("bit") else "cuts")
            kind.path.write_bytes(content)
            _try(tally, what, kind, expected)
    finally:
        kind.path.write_bytes(whole)
    return tally


def damages(n_flips: int, seed: int) -> Iterator[Tally]:
    """Damages one file of each kind that an evaluation depends on."""
    folder = Path(tempfile.mkdtemp(prefix="mlip-ood-damage-"))
    try:
        for kind in _kinds(folder):
            yield damage_file(kind, n_flips, seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _damaged(whole: bytes, n_flips: int, places: random.Random) -> Iterator[tuple[str, bytes]]:
    for _ in range(n_flips):
        place, bit = places.randrange(len(whole)), places.randrange(8)
        content = bytearray(whole)
        content[place] ^= 1 << bit
        yield f"bit {bit} of byte {place}", bytes(content)
    for _ in range(_CUTS):
        length = places.randrange(len(whole))
        yield f"cut to {length} bytes", whole[:length]


def _try(tally: Tally, what: str, kind: Kind, expected: object) -> None:
    """Reads a damaged file: it is refused, or everything in it is as before."""
    try:
        found = kind.read()
    except MlipOodError:
        tally.add("caught")
        return
    except Exception as cause:
        tally.lost([f"{what}: {type(cause).__name__}: {str(cause)[:200]}"])
        return
    if found == expected:
        tally.add("harmless")
    else:
        tally.lost([f"{what}: it was read as something else"])


def _kinds(folder: Path) -> Iterator[Kind]:
    from dataset_builders.folder.mini import MINI_DIRECTORY
    from harness.cli import main
    from harness.models.registry import REFERENCE_DIRECTORY

    data = Path(shutil.copytree(MINI_DIRECTORY, folder / "data", ignore=shutil.ignore_patterns("task[123]*")))
    yield Kind("Parquet of a data set", next((data / "task4").glob("test_ood-*.parquet")), _data_reader(data))
    checkpoint = Path(shutil.copytree(REFERENCE_DIRECTORY, folder / "checkpoint"))
    for name in ("model.safetensors", "config.json"):
        yield Kind(f"{name} of a checkpoint", checkpoint / name, _checkpoint_reader(checkpoint, checkpoint / name))
    with redirect_stdout(io.StringIO()):
        assert main(["--model", "mmff94", "--task", "task4", "--output", str(folder / "results"), "--quiet"]) == 0
    (run,) = (folder / "results" / "mmff94").iterdir()
    for path in (next((run / "predictions").glob("*.parquet")), run / "result.json", run / "run.json"):
        name = "Parquet of predictions" if path.suffix == ".parquet" else path.name
        yield Kind(name, path, lambda: _verified(run, folder))


def _data_reader(folder: Path) -> Callable[[], object]:
    """Opens a data set; one whose content hash differs is another, which results name."""
    from harness.data.dataset import open_dataset

    content = open_dataset(str(folder)).content_hash

    def read() -> object:
        found = open_dataset(str(folder)).content_hash
        if found != content:
            raise DataError(f"content hash {found}; expected {content}")
        return found

    return read


def _checkpoint_reader(folder: Path, path: Path) -> Callable[[], object]:
    """Loads a checkpoint; one whose file has another sha256 is another, which results name."""
    from harness.core.potential import LoadOptions
    from harness.models.registry import load_potential
    from harness.models.resolve import resolve_model
    from harness.trust.pickles import sha256_of

    whole = sha256_of(path)

    def read() -> object:
        traits = load_potential(resolve_model(str(folder)), LoadOptions(device="cpu")).traits
        if traits.files.get(path.name) != whole:
            raise DataError(f"sha256 {traits.files.get(path.name)}; expected {whole}")
        return traits

    return read


def _verified(run: Path, folder: Path) -> object:
    """The numbers of a run that `python -m harness verify` reproduces.

    A changed last digit is within the rounding of another processor, so it is no fault: verify says to look at it.
    """
    from harness.submission.verify import verify_entry
    from harness.submission.write import EntryOptions, assemble_entry

    work = Path(tempfile.mkdtemp(dir=folder))
    try:
        report = verify_entry(assemble_entry([run], work, EntryOptions(name="run")), ["mini"])
        said = [*report.faults, *report.of_kind("look")]
        if said:
            raise DataError(said[0].text)
        document: dict[str, Any] = json.loads((run / "result.json").read_text())
        return {key: value for key, value in document.items() if key not in _UNPROVED}
    finally:
        shutil.rmtree(work)
