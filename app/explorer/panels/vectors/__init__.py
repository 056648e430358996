"""Directions and saved latents."""
