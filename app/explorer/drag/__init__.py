"""Dragging points in the picture: the session and the worker process around `core.edit.point_drag`."""
