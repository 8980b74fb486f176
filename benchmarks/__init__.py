"""Measurements, made the same way everywhere: `python -m benchmarks` prints the machine, the settings and the figures.

Machines differ and drift, so rows of one run are compared with each other, and the first row is the yardstick of the others.
"""
