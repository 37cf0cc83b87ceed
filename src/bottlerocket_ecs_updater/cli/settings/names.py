"""How alike two names of settings or flags must be for one to be suggested for the other."""

SIMILAR = 0.7
"""How similar an unknown name must be to a known one to be suggested as it (0 to 1)."""
