"""Frames of water as text, as files have them."""

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from dataset_builders.chemistry.levels import other_level
from dataset_builders.importing.import_map import ImportMap
from dataset_builders.tasks.regions import TASKS

PROPERTIES = "Properties=species:S:1:pos:R:3:forces:R:3"
ROWS = (
    "O 0.00000000 0.00000000 0.11730000 0.01000000 0.02000000 -0.03000000",
    "H 0.00000000 0.75720000 -0.46920000 0.04000000 0.05000000 -0.06000000",
    "H 0.00000000 -0.75720000 -0.46920000 -0.05000000 -0.07000000 0.09000000",
)


def frame_text(comment=f"{PROPERTIES} energy=-2079.5", rows=ROWS):
    return "\n".join([str(len(ROWS)), comment, *rows, ""])


def how(**changes):
    """A map that takes everything as it stands."""
    values = {
        "task": TASKS["task2"],
        "level": other_level("HF", "somehow"),
        "computed": "somehow",
        "temperature": 300.0,
        "patterns": {"primary": ("*",), "secondary": ()},
        "ignored": (),
        "naming_hint": "",
        "stride": 1,
        "first_frames": None,
        "source": "a test",
        "licence": "MIT",
        "energy_key": None,
        "forces_key": None,
        "gradients_key": None,
        "energy_factor": 1.0,
        "length_factor": 1.0,
        "force_factor": 1.0,
        "spin": None,
        "ignored_keys": (),
    }
    return ImportMap(**(values | changes))


def images(count=3, **info):
    found = []
    for index in range(count):
        atoms = Atoms("OHH", np.array([row.split()[1:4] for row in ROWS], float) + 0.001 * index, info=dict(info))
        atoms.calc = SinglePointCalculator(
            atoms, energy=-2079.5 + index, forces=np.array([row.split()[4:] for row in ROWS], float)
        )
        found.append(atoms)
    return found
