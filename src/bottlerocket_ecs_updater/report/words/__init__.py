"""Sentences, colours, and text made safe to show."""
