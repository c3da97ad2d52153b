"""What every other room stands on: errors, units, arrays, whole files, the console, and calls to the Hub."""
