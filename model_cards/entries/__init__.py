"""The numbers of a result as the Hub keeps them, and checks of those that others wrote."""
