"""Whether energies and forces are what their columns say, from the numbers alone."""
