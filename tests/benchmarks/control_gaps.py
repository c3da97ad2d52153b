"""How much of a gap comes from the make-up of the OOD molecules alone.

An OOD molecule may have a larger share of the atoms that a method describes badly: a duplicated fragment
has twice the polar atoms, a longer chain has more CH2. This gives each atom of the OOD molecules the mean
ID force error of its environment (the heavy atom it is or sits on, and all within one bond) and prints the gap
that would follow, beside the one measured. Where they agree, the OOD molecules are not harder in themselves.

    python -m tests.benchmarks.control_gaps results/gfn1-xtb/<key> results/mmff94/<key>
"""

import argparse
import functools
from collections import defaultdict
from pathlib import Path

import numpy as np

from dataset_builders.environments import environment_of_atom
from dataset_builders.mmff94 import molecule
from harness.batching import make_plan
from harness.dataset import open_dataset
from harness.joining import join_task
from harness.manifest import Manifest
from harness.rows import read_split
from harness.run import SHARDS_NAME
from harness.scan import scan_dataset
from harness.shards import PredictionReader

RADIUS = 1


@functools.cache
def environments_of_atoms(smiles):
    """The environment of each atom; a hydrogen has that of its heavy neighbour, marked."""
    texts = []
    for atom in molecule(smiles).GetAtoms():
        is_heavy = atom.GetAtomicNum() > 1
        centre = atom.GetIdx() if is_heavy else atom.GetNeighbors()[0].GetIdx()
        texts.append((is_heavy, environment_of_atom(smiles, centre, RADIUS)))
    return texts


def errors_by_environment(split, smiles):
    """Absolute force errors (eV/Å, mean of three components) of the atoms of each environment."""
    error = np.abs(split.predicted.forces.astype(float) - split.reference.forces).mean(axis=1)
    found = defaultdict(list)
    environments = [environment for text in smiles for environment in environments_of_atoms(text)]
    for environment, value in zip(environments, error, strict=True):
        found[environment].append(value)
    return {environment: np.array(values) for environment, values in found.items()}


def gaps(run: Path):
    manifest = Manifest.load(run)
    dataset = open_dataset(manifest.dataset.id)
    plan = make_plan(scan_dataset(dataset, manifest.tasks), manifest.batch_atoms)
    reader = PredictionReader(plan, run / SHARDS_NAME, manifest.identity)
    for task in manifest.tasks:
        frames = join_task(dataset, task, manifest.model.protocol, plan, reader)
        seen = errors_by_environment(frames.test_id, read_split(dataset, task, "test_id").smiles)
        unseen = errors_by_environment(frames.test_ood, read_split(dataset, task, "test_ood").smiles)
        id_mae, ood_mae = (np.concatenate(list(part.values())).mean() for part in (seen, unseen))
        n_atoms = sum(len(values) for values in unseen.values())
        expected = sum(seen[environment].mean() * len(values) for environment, values in unseen.items()) / n_atoms
        yield task, ood_mae / id_mae, expected / id_mae


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="+", type=Path, help="folder of a finished run")
    for run in parser.parse_args().run:
        print(f"{run.parent.name:<12} gap measured / expected from ID errors of the same environments")
        for task, measured, expected in gaps(run):
            print(f"{task:<12} {measured:.2f} / {expected:.2f}")


if __name__ == "__main__":
    main()
