"""Directions and saved latents in the explorer: their store, their search and their controller."""
