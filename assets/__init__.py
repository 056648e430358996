"""The bundled checkpoint and its card, as package data."""
