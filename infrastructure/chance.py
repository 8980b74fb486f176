"""Chance for pauses and choices, from a generator of our own: background threads leave the program's global one and its seed alone."""

from random import Random

chance = Random()
