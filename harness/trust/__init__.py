"""Other people's files and code: what may be loaded, and what it cannot reach."""
