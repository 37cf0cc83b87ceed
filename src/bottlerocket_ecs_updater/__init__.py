"""The Bottlerocket ECS Updater: keeps the Bottlerocket container instances of an ECS cluster up to date."""

__version__ = "0.1.0"
