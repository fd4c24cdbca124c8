"""Damaged images and archives, made without end; the invariant: the counts add up, nothing crashes or grows."""
