"""Nouns: what the decision is made about."""
