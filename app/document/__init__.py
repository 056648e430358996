"""The document under the window: scene, history, controls, paths and their file format. Values only."""
