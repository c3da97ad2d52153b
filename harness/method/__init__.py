"""A method as one entry: a model for each task, trained once or with several seeds, with one result."""
