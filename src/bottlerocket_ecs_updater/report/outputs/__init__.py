"""The outputs of a run: log, terminal, messages, metrics, pages."""
