"""Some frames computed again with the checkpoint that a reviewer has."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dataset_builders.core.errors import ModelError
from harness.core.batch import Prediction, StructureBatch
from harness.models.registry import ModelSource
from harness.submission import spot_check
from harness.submission.spot_check import SpotCheck, spot_check_entry
from harness.submission.write import write_entry
from harness.trust.pickles import sha256_of
from tests.harness.submission.forging import MACE, ZERO_SHOT, evaluated
from tests.harness.toy_potential import Harmonic

CHECK = SpotCheck(n_frames=12, seed=3, tolerance=1.0)


class Off(Harmonic):
    """A toy that is off by a little, or fails."""

    energy_off = 0.0
    force_off = 0.0
    n_failures = 0

    def compute(self, batch: StructureBatch) -> Prediction:
        found = Harmonic.compute(self, batch)
        forces = found.forces.copy()
        forces[0, 0] += self.force_off
        energy = found.energy.copy()
        energy[-1] += self.energy_off
        return Prediction(energy, forces, dict.fromkeys(range(self.n_failures), "no SCF"))


@pytest.fixture
def toy(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Off:
    """What loading the checkpoint gives."""
    toy = Off(replace(ZERO_SHOT, files=dict(made.run.result.model.files)))
    files = {name: sha256 for name, sha256 in toy.traits.files.items() if name == "m.model"}
    toy.traits = replace(toy.traits, files=files)

    @contextlib.contextmanager
    def loaded(source: ModelSource, options: Any) -> Iterator[Off]:
        assert options.dtype == "float64"
        yield toy

    monkeypatch.setattr(spot_check, "loaded", loaded)
    return toy


def found(made: Any, dataset: Path, check: SpotCheck = CHECK, path: Path | None = None) -> list[tuple[str, str]]:
    model = ModelSource("m.model", MACE, path or made.checkpoint)
    return [(each.kind, each.text) for each in spot_check_entry(made.entry, [str(dataset)], [model], check)]


def test_frames_of_its_own_checkpoint_are_the_same(made: SimpleNamespace, toy: Off, tiny_dataset: Path) -> None:
    ((kind, text),) = found(made, tiny_dataset)
    assert kind == "proved"
    assert re.fullmatch(
        r"12 frames \(seed 3\) recomputed: forces differ by at most [\de.-]+ meV/Å, energies by at most [\de.-]+ meV, "
        r"within 1 meV/Å and meV",
        text,
    )
    assert sum(toy.sizes) == 12


@pytest.mark.parametrize(("energy", "force", "n_wrong"), [(2e-3, 0.0, 1), (0.0, 2e-3, 1), (5e-4, 5e-4, 0)])
def test_other_predictions_are_found(
    made: SimpleNamespace, toy: Off, tiny_dataset: Path, energy: float, force: float, n_wrong: int
) -> None:
    toy.energy_off, toy.force_off = energy, force
    ((kind, text),) = found(made, tiny_dataset)
    assert kind == ("fault" if n_wrong else "proved")
    assert f"{n_wrong} frames differ by more than 1 meV/Å and meV" in text or not n_wrong


def test_a_frame_that_fails_here_is_a_fault(made: SimpleNamespace, toy: Off, tiny_dataset: Path) -> None:
    toy.n_failures = 2
    ((kind, text),) = found(made, tiny_dataset)
    assert (kind, text) == ("fault", "2 of 12 frames of the spot check failed")


def test_no_more_frames_are_asked_for_than_there_are(made: SimpleNamespace, toy: Off, tiny_dataset: Path) -> None:
    ((_, text),) = found(made, tiny_dataset, replace(CHECK, n_frames=10_000))
    assert text.startswith("80 frames (seed 3)")  # 60 of the test splits, and 20 of training for the reference shift


def test_which_frames_depends_on_the_seed_alone(made: SimpleNamespace, tiny_dataset: Path) -> None:
    plan = SimpleNamespace(n_frames=1000)
    first, again, other = (spot_check._places(plan, replace(CHECK, seed=seed)) for seed in (1, 1, 2))  # type: ignore[arg-type]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(set(first.tolist())) == 12


def test_another_checkpoint_is_not_loaded(
    made: SimpleNamespace, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "m.model"
    other.write_bytes(b"other weights")
    monkeypatch.setattr(spot_check, "loaded", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(
        ModelError, match=r"m\.model is not the checkpoint of any run of toy-.*: the sha256 of its files differ"
    ):
        found(made, tiny_dataset, path=other)


def entry_with(made: SimpleNamespace, dataset: Path, folder: Path, **traits: Any) -> Any:
    """The checkpoint and entry of a run whose model has other traits."""
    run = evaluated(made.checkpoint, made.record, dataset, folder / "results", **traits)
    return SimpleNamespace(
        checkpoint=made.checkpoint,
        run=run,
        entry=write_entry([run.directory], folder / "entries", made.options).directory,
    )


def test_code_is_no_file_of_the_checkpoint(
    made: SimpleNamespace, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made.checkpoint.parent, tmp_path / "export")
    second = tmp_path / "export" / "scale.npz"
    second.write_bytes(b"scale")
    files = {"scale.npz": sha256_of(second), "recipes": "0" * 64, "recipes.small": "1" * 64}
    entry = entry_with(made, tiny_dataset, tmp_path, files=files)
    traits = replace(ZERO_SHOT, files={"m.model": sha256_of(made.checkpoint)} | files)
    monkeypatch.setattr(spot_check, "loaded", lambda *_: contextlib.nullcontext(Harmonic(traits)))
    for place in (tmp_path / "export", tmp_path / "export" / "m.model"):
        ((kind, text),) = found(entry, tiny_dataset, path=place)
        assert (kind, text[:9]) == ("proved", "12 frames")
    second.write_bytes(b"another scale")
    with pytest.raises(ModelError, match="the sha256 of its files differ"):
        found(entry, tiny_dataset, path=tmp_path / "export")


def test_a_calculator_of_the_submitter_cannot_be_checked(
    made: SimpleNamespace, tiny_dataset: Path, tmp_path: Path
) -> None:
    entry = entry_with(made, tiny_dataset, tmp_path, family="ase", files={"calcs:ok": "0" * 64})
    with pytest.raises(ModelError, match=r"a spot check of \S+ of toy-\w+ is not possible: a function .*--calculator"):
        found(entry, tiny_dataset)


def test_energies_in_float32_may_round() -> None:
    energy = np.array([-16_000.0, 0.0])
    model = SimpleNamespace(dtype="float32")
    # float32 has 24 bits: a step at 16,000 is 2^(13 - 23) eV.
    assert spot_check._rounding_of_energy(energy, model)[0] == pytest.approx(4 * 2.0**-10 * 1e3)  # type: ignore[arg-type]
    assert not spot_check._rounding_of_energy(energy, SimpleNamespace(dtype="float64")).any()  # type: ignore[arg-type]
