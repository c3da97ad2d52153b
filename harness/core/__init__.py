"""What every other room stands on: the packed batch, what a potential is, and the code that a number depends on."""
