"""What to compute next: more frames, more molecules, more fragments or more pairs of fragments, at equal effort."""
