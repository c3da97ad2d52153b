"""What the Hub says of repos and users."""
