"""Files and code of third parties: what may be loaded, and what it cannot access."""
