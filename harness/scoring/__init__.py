"""From predictions and labels to numbers with confidence intervals."""
