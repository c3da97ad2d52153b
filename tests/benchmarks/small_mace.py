"""Writes a small MACE with random weights for the elements of the data set, for the other benchmarks.

python -m tests.benchmarks.small_mace small.model --channels 16
"""

import argparse
from pathlib import Path

import numpy as np

from harness.networks.mace_package import importing_mace
from tests.harness.potentials.molecules import saved, small_mace

ELEMENTS = (1, 6, 7, 8, 9, 16, 17)


def main() -> None:
    with importing_mace():
        from e3nn import o3
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--channels", type=int, default=16)
    arguments = parser.parse_args()
    channels = arguments.channels
    model = small_mace(
        r_max=5.0,
        num_bessel=8,
        max_ell=2,
        hidden_irreps=o3.Irreps(f"{channels}x0e+{channels}x1o"),
        MLP_irreps=o3.Irreps(f"{channels}x0e"),
        radial_MLP=[channels, channels],
        num_elements=len(ELEMENTS),
        atomic_numbers=list(ELEMENTS),
        atomic_energies=np.zeros((1, len(ELEMENTS))),
    )
    print(f"{saved(model, arguments.path)}: {sum(each.numel() for each in model.parameters()):,} parameters, float64")


if __name__ == "__main__":
    main()
