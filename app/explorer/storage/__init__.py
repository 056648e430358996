"""What the explorer keeps on disk: settings, preferences, autosaves, layouts."""
