"""Molecules, conformers and labels: MMFF94, GFN-xTB, DFT, atom environments, and levels of theory."""
