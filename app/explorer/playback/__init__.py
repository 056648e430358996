"""Playing the timeline: transport, editing keyframes, crossfades."""
