"""What the figures of the documentation come from: `make bench` measures, and writes docs/develop/benchmarks.md.

Rolls run in virtual time over the simulated world, so their minutes are those of its host model (`hosts.py`).
CPU, memory and start-up are measured on the machine at hand. Never here: anything that the product needs.
"""
