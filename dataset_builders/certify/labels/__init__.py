"""Checks energies and forces from the numbers alone, without the program that computed them."""
