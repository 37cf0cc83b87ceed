"""Settings: flags, variables and the settings file."""
