"""Where a run is shown: log, terminal, messages, metrics, pages."""
