"""Finding latents: directions and dragged points."""
