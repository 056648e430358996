"""OSC, MIDI and sound."""
