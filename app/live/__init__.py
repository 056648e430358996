"""Live control: OSC, MIDI and sound move the scene's controls. No GUI and no torch here."""
