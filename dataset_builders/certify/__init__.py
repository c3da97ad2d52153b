"""Certifies a data-set folder from its files alone: every row, every label, every part of an OOD molecule."""
