"""Editing prompts: words, recent prompts, neighbours."""
