"""The operator's policy, one module for each rule."""
