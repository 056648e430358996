"""Augmentations of what a discriminator sees."""
