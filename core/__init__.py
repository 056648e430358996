"""From a request to a picture: models, checkpoints, text, and the engine. No GUI and no trainer."""
