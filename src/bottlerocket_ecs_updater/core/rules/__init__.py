"""The operator's policy, one module a rule."""
