"""Imports trajectories that others computed."""
