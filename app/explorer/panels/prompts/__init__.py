"""Typing and editing prompts, classes and their blends."""
