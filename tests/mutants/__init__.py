"""Mistakes that are made in the program on purpose, and the tool that finds out which tests notice them."""
