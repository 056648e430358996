"""The explorer: a window in which a prompt, a seed and a few sliders become a living picture."""
