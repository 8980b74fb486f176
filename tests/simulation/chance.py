"""Numbers that follow from the seed and from nothing else: not from the order of hashing, not from the process."""

from hashlib import blake2b
from random import Random


def stream(seed: int, *names: object) -> Random:
    """A sequence of random numbers of one's own, so that what one part draws does not shift what another part draws."""
    return Random(draw_int(seed, *names))


def draw(seed: int, *subject: object) -> float:
    """A number in [0, 1) that belongs to a subject, whenever it is asked for."""
    return draw_int(seed, *subject) / 2**56


def draw_int(seed: int, *subject: object) -> int:
    text = "\0".join(map(str, (seed, *subject)))
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest(), "big")
