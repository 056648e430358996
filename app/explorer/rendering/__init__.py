"""From requests to pictures in the window: render thread, thumbnails, grids, model loading."""
