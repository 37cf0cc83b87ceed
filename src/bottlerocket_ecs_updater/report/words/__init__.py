"""Sentences, colours, and sanitized text."""
