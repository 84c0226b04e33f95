"""What a page prints holds on every machine: when two printed texts say the same.

Another processor adds in another order, so the last digit of a number may be another. The rule:

- Words, spaces, line breaks and whole numbers must be equal. Columns must stay as wide as they are.
- A number with decimal places, an exponent or a percent sign may differ by one in its last place.
- A number with its error, a ± b, may differ by a fifth of b.

A number that moves more is printed with fewer digits, or said in words and asserted.
"""

import re
from decimal import Decimal

PART = Decimal("0.2")  # of an error: what its number may move by
NUMBER = re.compile(
    r"""(?P<space>\ *)
    (?P<sign>(?<![\w.,)])[-+−])?(?<![\w.])
    (?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?:e(?P<exponent>[-+−]?\d+))?(?!\w|\.\d)
    (?P<percent>\ ?%)?""",
    re.VERBOSE,
)


class Printed(str):
    """Text that equals another by the rule."""

    def __eq__(self, other: object) -> bool:
        """Whether both say the same."""
        return isinstance(other, str) and same(str(self), str(other))

    def __ne__(self, other: object) -> bool:
        """Not that."""
        return not self == other

    __hash__ = str.__hash__


def same(stored: str, found: str) -> bool:
    """Whether a page that prints `stored` is true on the machine that printed `found`."""
    if NUMBER.sub("\0", stored) != NUMBER.sub("\0", found):
        return False
    ours, theirs = list(NUMBER.finditer(stored)), list(NUMBER.finditer(found))
    return all(
        _near(a, b, _error(stored, a, following))
        for a, b, following in zip(ours, theirs, [*ours, None][1:], strict=True)
    )


def _near(a: re.Match[str], b: re.Match[str], error: Decimal) -> bool:
    """Whether two numbers that stand in the same place of a text are one."""
    if a[0] == b[0]:
        return True
    if a["space"] != b["space"] and len(a[0]) != len(b[0]):
        return False  # no column of a table, and moved
    apart = abs(_value(a) - _value(b))
    if apart == 0:
        return a["digits"] == b["digits"] and not _value(a)  # 0.0 and -0.0
    place = min(_last_place(a), _last_place(b))
    rounded = place < 1 or any(m["exponent"] or m["percent"] for m in (a, b))
    return apart <= max(place * rounded, PART * error)


def _error(text: str, number: re.Match[str], following: re.Match[str] | None) -> Decimal:
    """The b of a ± b, or 0."""
    if following and text[number.end() : following.start()].strip() == "±":
        return _value(following)
    return Decimal(0)


def _value(number: re.Match[str]) -> Decimal:
    value = Decimal(number["digits"].replace(",", "")).scaleb(_power(number))
    return -value if number["sign"] in ("-", "−") else value


def _last_place(number: re.Match[str]) -> Decimal:
    return Decimal(1).scaleb(_power(number) - len(number["digits"].partition(".")[2]))


def _power(number: re.Match[str]) -> int:
    return int((number["exponent"] or "0").replace("−", "-"))
