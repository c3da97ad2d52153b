"""Imports external trajectories into a data-set folder."""
