"""Springs to the centre of each molecule: an example of a family that lives in a package of its own.

This file is all that an installation of the benchmark reads of it until a model of the family is asked for.
"""

from harness.core.family import Family

FAMILY = Family(
    "springs",
    "mlip_ood_springs.adapter",
    package="mlip_ood_springs",
    methods=("springs",),
    files=("*.springs.json",),
    library_names=("springs",),
)
