"""Certifies a data-set folder from its files alone: every row, every label, and the coverage of every OOD molecule."""
