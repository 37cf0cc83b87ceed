"""Measures the figures in the documentation: `make bench` writes docs/develop/benchmarks.md.

Rollouts run in virtual time over the simulated world, so their minutes are those of its host model (`hosts.py`). CPU,
memory and start-up are measured on this machine. The product uses nothing from here.
"""
