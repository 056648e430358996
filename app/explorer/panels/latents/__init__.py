"""Seeds, truncation, style mixing, placement, layers and dragged points."""
