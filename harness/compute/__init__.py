"""From a packed batch to tensors on a device and back: precision, memory, neighbours, and overlapping steps."""
