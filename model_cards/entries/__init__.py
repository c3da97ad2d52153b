"""The numbers of a result in the Hub's format, and checks of numbers that others published."""
