"""Data sets: Postcards, and folders of captioned pictures."""
