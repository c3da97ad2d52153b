"""Potentials: one small adapter file for each model family."""
