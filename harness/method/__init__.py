"""Evaluates a method as one entry: a model for each task, trained with one or several seeds, and one result."""
