"""Builds an edition: plan, work units, workers, and the data-set folder."""
