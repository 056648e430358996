"""Mouse gestures, as the list of shortcuts shows them."""

from __future__ import annotations

GESTURES: tuple[tuple[str, str], ...] = (
    ("Drag the picture", "walk through the seeds"),
    ("Drag it with Alt, Ctrl or Shift", "move, turn or scale its content, where the model can"),
    ("Turn the wheel over the picture", "walk in finer or coarser steps"),
    ("Press and pull, while points are dragged", "a point, and where it is to go"),
    ("Shift and drag, while points are dragged", "what may change: a rectangle"),
    ("Right click on a point or the rectangle", "take it away"),
    ("Wheel over a word of the prompt", "change its weight"),
    ("Right click on a word of the prompt", "mute it, or give it a list of your own"),
    ("Double-click the pad", "back to the first prompt"),
    ("Drag a slider", "change it; the whole drag is one step to undo"),
    ("Ctrl or Alt while dragging a slider", "ten times finer"),
    ("Double-click a slider", "type a value; it may go beyond the slider's ends"),
    ("Drag a number", "change it; with Shift faster, with Alt slower"),
    ("Drag a panel's tab", "dock it elsewhere"),
    ("Drop a file on the window", "open it"),
)
"""(gesture, what it does)."""
