"""From what a user calls a model to a potential: found, its family detected, its training declared, loaded."""
