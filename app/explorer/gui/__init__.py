"""Parts of the window that are not panels: theme, widgets, viewport, menus, dialogs."""
