"""Sums of money: whole fen of CNY, never a part of one. Pure."""

MAX_FEN = 10**13
"""More than any order can cost: a number beyond it is damage, not money. A hundred billion yuan."""


def is_fen(value: object) -> bool:
    """Whether a value is a sum: a whole number from 0 to MAX_FEN; neither a float nor a truth value."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_FEN
