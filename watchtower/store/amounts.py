"""How days and money stand among the daily sums of bills: a day as days since 1970, an amount as three whole numbers.

An amount is exact to 36 digits behind the point, which no number of 64 bits holds, so it is kept in limbs: whole units,
10^-18 and 10^-36, all of the amount's sign.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Context, Decimal
from typing import Any, Final

LONGEST_FRACTION: Final = 36  # digits behind the point
LIMBS: Final = ("units", "atto", "rest")
HALF: Final = 10**9  # limbs are summed in two halves, so that no sum can leave 64 bits
_LIMB: Final = HALF**2
_EPOCH: Final = date(1970, 1, 1)
_EXACT: Final = Context(prec=100)


def day_number(day: date) -> int:
    return (day - _EPOCH).days


def day_of(number: int) -> date:
    return _EPOCH + timedelta(days=number)


def to_limbs(amount: Decimal | None) -> tuple[int | None, int | None, int | None]:
    if amount is None:
        return None, None, None
    whole = int(amount.scaleb(LONGEST_FRACTION, _EXACT))
    sign = -1 if whole < 0 else 1
    rest, low = divmod(abs(whole), _LIMB)
    units, high = divmod(rest, _LIMB)
    return sign * units, sign * high, sign * low


def from_limbs(limbs: Iterable[int]) -> Decimal:
    """Each may be a sum of limbs, and so larger than one."""
    total = 0
    for limb in limbs:
        total = total * _LIMB + limb
    return exact(total, LONGEST_FRACTION)


def from_halves(row: Any) -> Decimal:
    """row: with the sums `units_high`, `units_low` and so on; None where there was nothing to sum."""
    halves = ((getattr(row, f"{limb}_high") or 0, getattr(row, f"{limb}_low") or 0) for limb in LIMBS)
    return from_limbs(int(high) * HALF + int(low) for high, low in halves)


def exact(number: int, scale: int) -> Decimal:
    """number · 10^-scale, without zeros at its end that nobody wrote."""
    while scale and number % 10 == 0:
        number //= 10
        scale -= 1
    return Decimal(number).scaleb(-scale, _EXACT)
