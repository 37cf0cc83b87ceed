"""Stories that are invented by the hundred, each held to every promise."""
