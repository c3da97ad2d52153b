"""Basis of all other rooms: the packed batch, the interface of a potential, and the code that a number depends on."""
