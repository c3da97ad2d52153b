"""Tasks: molecules as words of fragments and a spacer, regions of word space, and editions."""
