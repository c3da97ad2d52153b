"""What people read: the result table, model comparisons, gaps of controls, and cautions."""
