"""What people read: the table, models compared, gaps of controls, and cautions."""
