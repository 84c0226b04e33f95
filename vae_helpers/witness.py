"""A formula and its check in one line: `agree` for two sides, `at_most` for a bound.

    agree("eq-elbo-gap", elbo + gap, log_p_x)

Each call compares its sides whole, and leaves a line below the cell: the equation's number, both
values, and how closely they agree. A check that fails, or that could not fail, is an error. The
names are the labels of the equations; the page "The ledger" collects the lines.
"""

import math
from collections.abc import Callable

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
    whole numbers must be equal.

    Raises:
        AssertionError: the sides differ, or the check would pass as well if they did.
    """
    left, right, shown = _sides(label, left, right)
    larger = left.abs().maximum(right.abs())
    if error is not None:
        tolerance, how = ERRORS * _tensor(error).double(), f"within {ERRORS} standard errors"
    elif within is not None:
        tolerance, how = _tensor(within).double(), f"within {within:g}"
    elif not shown:
        tolerance, how = torch.zeros(()).double(), "exactly"
    else:
        tolerance, how = 10.0**-digits * larger.max(), f"to {digits} digits"
    _try(label, lambda a, b: (a - b).abs() <= tolerance, left, right, tolerance)
    if left.any() and right.any() and (tolerance >= larger).all():
        raise AssertionError(
            f"{label}: expected a tolerance below the values, found {tolerance.max():.3g} beside "
            f"{larger.max():.3g}: either side could be 0; take more samples, or compare less"
        )
    sign = "=" if error is None and within is None else "≈"
    _show(label, left, sign, right, error, min(shown, digits), tolerance, how)


def at_most(label: str, lower: Number, upper: Number, *, error: Number | None = None) -> None:
    """Show that lower ≤ upper in every element, but for rounding in the tenth digit.

    With the standard `error` of the estimate lower, that it lies below by more than four of it.

    Raises:
        AssertionError: lower is larger, or the check would pass as well if it were.
    """
    lower, upper, shown = _sides(label, lower, upper)
    if error is None:
        slack = 1e-10 * lower.abs().maximum(upper.abs()).max()
    else:
        slack = -ERRORS * _tensor(error).double()
    _try(label, lambda a, b: a - b <= slack, lower, upper, slack.abs())
    sign, how = ("≤", "") if error is None else ("<", f"by more than {ERRORS} standard errors")
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
    for side in sides:
        if not side.isfinite().all():
            found = side[~side.isfinite()][0].item()
            raise AssertionError(f"{label}: expected finite numbers, found {found}")
    kinds = [side.dtype for side in sides if side.is_floating_point()]
    shown = (5 if torch.float32 in kinds else 6) if kinds else 0
    return *torch.broadcast_tensors(*(side.double() for side in sides)), shown


def _try(label: str, holds: Callable, left: Tensor, right: Tensor, tolerance: Tensor) -> None:
    """Raise unless the claim holds everywhere, and nowhere with a side a little too far off."""
    if not (passed := holds(left, right)).all():
        at = int((left - right).abs().where(~passed, torch.tensor(-1.0).double()).argmax())
        raise AssertionError(
            f"{label}: expected agreement within {tolerance.max():.3g}, found "
            f"{left.flatten()[at].item()} and {right.flatten()[at].item()}: element {at} of "
            f"{left.numel():,}, of which {int((~passed).sum()):,} part"
        )
    step = 2 * tolerance + (1e-9 * left.abs().maximum(right.abs()).max() or 1.0)
    for sides in ((right + step, right), (left, left - step)):
        if holds(*sides).any():
            raise AssertionError(f"{label}: holds as well with a side off by {step.max():.3g}")


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
        left, right, errors = left.mean()[None], right.mean()[None], torch.zeros(1)
    shown = [
        ", ".join(
            _number(value, places) + (f" ± {_number(spread, places)}" if spread else "")
            for value, spread in zip(side.flatten().tolist(), spreads.flatten(), strict=True)
        )
        for side, spreads in ((left, errors), (right, torch.zeros_like(right)))
    ]
    display(Line(label, f"{shown[0]} {sign} {shown[1]}" + f", {how}" * bool(how)))


def _power(value: Tensor) -> int:
    """The power of ten of its first digit."""
    return math.floor(math.log10(value or 1.0))


def _number(value: float, places: int) -> str:
    """With so many decimal places; small and large ones with an exponent; 0 has no sign."""
    if -3 < places < 10:
        text = f"{value:,.{max(places, 0)}f}"
    else:
        text = f"{value:.{max(places + _power(torch.tensor(abs(value))), 0)}e}"
    return text.replace("-", "−") if text.strip("-0.,") else "0"
