"""One file per model family, on the layers they share."""
