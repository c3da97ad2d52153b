"""Builds an edition: plan, units of work, workers, and the data-set folder."""
