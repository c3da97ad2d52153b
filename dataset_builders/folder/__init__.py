"""A data-set folder: its configurations, the files of its splits, and their columns."""
