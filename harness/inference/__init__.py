"""From geometries to predictions: batches of bounded size, on one process or several, kept shard by shard."""
