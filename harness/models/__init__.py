"""From a model string to a potential: resolving it, detecting its family, declaring its training, loading it."""
