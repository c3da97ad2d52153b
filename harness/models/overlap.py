"""Molecules of the test splits that are among the training molecules of a published model: a known leak.

A list of training molecules is a text file with one SMILES a line, as those of SPICE or ANI can be written out; what
follows the first blank or comma of a line is ignored. SMILES are compared after RDKit has read them, without atom
maps, explicit hydrogens and stereochemistry, since the molecules of the tasks have no stereocentres. A SMILES with
several components counts for each of them: a dimer shows both molecules.

A line may also be `sha256:` and the first 16 hex digits of the sha256 of such a SMILES, for lists that are shared
without their molecules. Lists of known checkpoints lie in `training_molecules` beside this file, named after the
checkpoint; none is public in a form that could be shipped so far.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from dataset_builders.core.errors import UsageError
from dataset_builders.core.hashes import SHORT_HASH, file_sha256
from dataset_builders.tasks.regions import Task, TaskName
from dataset_builders.tasks.words import Word

TestSplit = Literal["test_id", "test_ood"]

LISTS: Final = Path(__file__).parent / "training_molecules"
HASHED: Final = "sha256:"
_DIGITS: Final = 16
_END: Final = re.compile(r"[\s,;]")
"""Ends a SMILES, which contains none of these."""

_MOST_UNREADABLE: Final = 0.5


@dataclass(frozen=True, slots=True)
class TrainingMolecules:
    """The training molecules of a model.

    Attributes:
        source: Name and hash of the list.
        keys: Hash of the canonical SMILES of each molecule.
        n_unreadable: Lines that are no SMILES.
    """

    source: str
    keys: frozenset[str]
    n_unreadable: int

    def in_task(self, task: Task) -> dict[TestSplit, tuple[str, ...]]:
        """The test molecules of a task that are on the list, by split."""
        words: dict[TestSplit, tuple[Word, ...]] = {
            "test_id": tuple(task.train_words()),
            "test_ood": tuple(task.ood_words()),
        }
        return {
            split: tuple(word.molecule_id for word in of_split if key_of(word.smiles) in self.keys)
            for split, of_split in words.items()
        }


def training_molecules(path: Path) -> TrainingMolecules:
    """Reads a list of training molecules.

    Raises:
        UsageError: If it cannot be read, is empty, or most of its lines are no SMILES.
    """
    keys: set[str] = set()
    unreadable: list[tuple[int, str]] = []
    n_lines = 0
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                text = _END.split(line.strip(), maxsplit=1)[0]
                if not text or text.startswith("#"):
                    continue
                n_lines += 1
                found = _keys_of_line(text)
                keys |= found
                if not found:
                    unreadable.append((number, text))
        digest = file_sha256(path)
    except (OSError, UnicodeDecodeError) as cause:
        raise UsageError(
            f"--training-smiles {path} cannot be read ({cause}); expected a text file with one SMILES a line"
        ) from cause
    if not n_lines:
        raise UsageError(f"--training-smiles {path} is empty; expected one SMILES a line")
    if len(unreadable) > _MOST_UNREADABLE * n_lines:
        first, text = unreadable[0]
        raise UsageError(
            f"--training-smiles {path}: {len(unreadable)} of {n_lines} lines are no SMILES, such as line {first} "
            f"({text[:40]!r}); expected one SMILES a line, first on the line"
        )
    return TrainingMolecules(f"{path.name} (sha256 {digest[:SHORT_HASH]})", frozenset(keys), len(unreadable))


def list_of(checkpoint: str | None, lists: Path = LISTS) -> TrainingMolecules | None:
    """The list of a known checkpoint that the package ships; `None` if it ships none."""
    path = lists / f"{checkpoint}.txt"
    return training_molecules(path) if checkpoint is not None and path.is_file() else None


def overlap_with(
    molecules: TrainingMolecules, tasks: Sequence[Task]
) -> dict[TaskName, dict[TestSplit, tuple[str, ...]]]:
    """The test molecules on a list, by task and split."""
    return {task.name: molecules.in_task(task) for task in tasks}


def key_of(smiles: str) -> str:
    """Hash of a SMILES that is canonical already."""
    return hashlib.sha256(smiles.encode()).hexdigest()[:_DIGITS]


def canonical(smiles: str) -> tuple[str, ...]:
    """The canonical SMILES of each component; empty if RDKit cannot read the SMILES."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None:
            return ()
        for atom in molecule.GetAtoms():
            atom.SetAtomMapNum(0)
        parts = Chem.GetMolFrags(Chem.RemoveHs(molecule), asMols=True)
        return tuple(Chem.MolToSmiles(part, isomericSmiles=False) for part in parts)


def _keys_of_line(text: str) -> set[str]:
    if text.startswith(HASHED):
        digits = text.removeprefix(HASHED).lower()
        is_hash = len(digits) >= _DIGITS and all(digit in "0123456789abcdef" for digit in digits)
        return {digits[:_DIGITS]} if is_hash else set()
    return {key_of(smiles) for smiles in canonical(text)}
