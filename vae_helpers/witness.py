"""A formula and its check in one line: `agree` for two sides, `at_most` for a bound.

    agree("eq-elbo-gap", elbo + gap, log_p_x)

Each call compares its sides whole, and leaves a line below the cell: the equation's number, both
values, and how closely they agree. A check that fails, or that could not fail, is an error. The
names are the labels of the equations; the page "The ledger" collects the lines.
"""

import math

import torch
from torch import Tensor

Number = Tensor | float
ERRORS = 4  # standard errors: one honest estimate in 16,000 lies farther from the truth
MOST = 4  # numbers that a line shows; of more, it shows the mean


def agree(
    label: str,
    left: Number,
    right: Number,
    *,
    digits: int = 10,
    within: float | None = None,
    error: Number | None = None,
) -> None:
    """Show that left = right: two sides of one shape, computed in two ways. One may be a number.

    In every element |left − right| ≤ tolerance: 10^−digits of the largest number on either side; or
    `within`; or, where left is an estimate with this standard `error`, four of it. Sides that are
    whole numbers must be equal. An AssertionError says where they part, or that they could.
    """
    left, right, shown = _sides(label, left, right)
    larger = left.abs().maximum(right.abs())
    if error is not None:
        tolerance, how = ERRORS * _tensor(error).double(), f"within {ERRORS} standard errors"
    elif within is not None:
        tolerance, how = _tensor(within).double(), f"within {within:g}"
    elif shown:
        tolerance, how = 10.0**-digits * larger.max(), f"to {digits} digits"
    else:
        tolerance, how = torch.zeros(()).double(), "exactly"
    _check(label, left, right, (left - right).abs() <= tolerance, tolerance)
    zero = left.any() and right.any() and (tolerance >= larger).all()
    if zero or tolerance.isinf().any():
        raise AssertionError(
            f"{label}: expected a tolerance below the values, found {tolerance.max():.3g} beside "
            f"{larger.max():.3g}: either side could be 0; take more samples, or compare less"
        )
    sign = "=" if error is None and within is None else "≈"
    _show(label, left, sign, right, error, min(shown, digits), tolerance, how)


def at_most(label: str, lower: Number, upper: Number, *, error: Number | None = None) -> None:
    """Show that lower ≤ upper in every element, but for rounding in the tenth digit.

    With the standard `error` of the estimate lower, that it lies below by more than four of it. An
    AssertionError says where lower is larger.
    """
    lower, upper, shown = _sides(label, lower, upper)
    if error is None:
        sign, how, slack = "≤", "", 1e-10 * lower.abs().maximum(upper.abs()).max()
    else:
        sign, how = "<", f"by more than {ERRORS} standard errors"
        slack = -ERRORS * _tensor(error).double()
    _check(label, lower, upper, lower - upper <= slack, slack.abs())
    _show(label, lower, sign, upper, error, shown, slack.abs(), how)


class Line:
    """What a check leaves below its cell: for a terminal, for Jupyter, and for a page."""

    def __init__(self, label: str, said: str) -> None:
        self.label, self.said = label, said

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {
            "text/plain": f"✓ {self.label}: {self.said}",
            "text/html": f'✓ <a href="#{self.label}">{self.label}</a>: {self.said}',
            "text/markdown": f"✓ {{eq}}`{self.label}` {self.said}",
        }


def _tensor(value: Number) -> Tensor:
    """A tensor; a Python float keeps its 64 bits."""
    kind = torch.float64 if isinstance(value, float) else None
    return torch.as_tensor(value, dtype=kind).detach().cpu()


def _sides(label: str, left: Number, right: Number) -> tuple[Tensor, Tensor, int]:
    """Both sides in 64 bits, and how many of their digits can be shown; 0 for whole numbers."""
    sides = [_tensor(left), _tensor(right)]
    shapes = [tuple(side.shape) for side in sides]
    if shapes[0] != shapes[1] and () not in shapes:
        raise AssertionError(f"{label}: expected two sides of one shape, found {shapes}")
    if not min(side.numel() for side in sides):
        raise AssertionError(f"{label}: expected numbers, found none: nothing is compared")
    if sides[0].data_ptr() == sides[1].data_ptr() and sides[0].stride() == sides[1].stride():
        raise AssertionError(f"{label}: both sides are one tensor; compute one in another way")
    others = [value for side in sides for value in side[~side.isfinite()].tolist()]
    if others:
        raise AssertionError(f"{label}: expected finite numbers, found {others[0]}")
    kinds = [side.dtype for side in sides if side.is_floating_point()]
    shown = (5 if torch.float32 in kinds else 6) if kinds else 0
    return *torch.broadcast_tensors(*(side.double() for side in sides)), shown


def _check(label: str, left: Tensor, right: Tensor, passed: Tensor, tolerance: Tensor) -> None:
    """Raise unless all passed, with the pair that parts most."""
    if not passed.all():
        at = int((left - right).abs().where(~passed, -1.0).argmax())
        raise AssertionError(
            f"{label}: expected agreement within {tolerance.max():.3g}, found "
            f"{left.flatten()[at].item()} and {right.flatten()[at].item()}: element {at} of "
            f"{left.numel():,}, of which {int((~passed).sum()):,} part"
        )


def _show(
    label: str,
    left: Tensor,
    sign: str,
    right: Tensor,
    error: Number | None,
    digits: int,
    tolerance: Tensor,
    how: str,
) -> None:
    """Leave the line: all of a few numbers, or the mean of many."""
    from IPython.display import display

    errors = torch.zeros_like(left) if error is None else _tensor(error).double().expand_as(left)
    if errors.any():
        places = 1 - _power(errors[errors > 0].min())  # to the second digit of the error
    elif not digits and left.numel() <= MOST:
        places = 0
    else:
        places = (digits or 6) - 1 - _power(left.abs().maximum(right.abs()).max())
        places = min(places, -_power(tolerance.max())) if tolerance.any() else places
    if left.numel() > MOST:
        how = f"on average, and each of {left.numel():,} numbers {how}".rstrip()
        left, right, errors = left.mean(), right.mean(), torch.zeros(())
    lefts, rights, spreads = (
        [_number(value, places) for value in values.flatten().tolist()]
        for values in (left, right, errors)
    )
    lefts = [a if b == "0" else f"{a} ± {b}" for a, b in zip(lefts, spreads, strict=True)]
    said = f"{', '.join(lefts)} {sign} {', '.join(rights)}"
    display(Line(label, f"{said}, {how}" if how else said))


def _power(value: Number) -> int:
    """The power of ten of its first digit."""
    return math.floor(math.log10(value or 1.0))


def _number(value: float, places: int) -> str:
    """With so many decimal places; small and large ones with an exponent; 0 has no sign."""
    if -3 < places < 10 or not value:
        text = f"{value:,.{max(places, 0)}f}"
    else:
        text = f"{value:.{max(places + _power(abs(value)), 0)}e}"
    return text.replace("-", "−") if text.strip("-0.,") else "0"
