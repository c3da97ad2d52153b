"""Mathematics of the controls: a force field of bonds, angles and torsions, and similarity to training frames."""
