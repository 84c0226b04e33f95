"""What a witness saw: both sides of an assertion, at the moment it was made, in the kernel.

`install` is called in a chapter's kernel. From then on every assertion that carries a witness
comment hands its two sides to a `Probe`, which notes them and then tries to deceive the assertion:
once with the left side changed, once with the right. An assertion that lets a change pass proves
nothing, and the probe says so with an error. The cell computes what it always did, no more random
numbers are drawn, and no name appears in the chapter's namespace.
"""

import ast
import builtins
import json
import math
import re
import sys
from collections.abc import Callable
from typing import Any

import ledger
import numpy as np

PROBE = "__witness__"
STEP = 0.01  # of the larger side: the change that an equality and an inequality must notice
NOISE = 64  # rounding errors; a difference below that many is not the same on another machine


class WitnessError(AssertionError):
    """An assertion that holds, and would hold if what it claims were wrong."""


def install(shell: Any) -> None:
    """Watch the assertions of the cells that this IPython shell runs from now on."""
    probe = Probe()
    setattr(builtins, PROBE, probe)
    shell.events.register("pre_run_cell", lambda info: probe.begin(info.raw_cell))
    shell.ast_transformers.append(probe)


class Probe:
    """Rewrites the assertions of a cell, and is then called by them in place of the check."""

    def __init__(self) -> None:
        self.begin("")

    def begin(self, source: str) -> None:
        """Forget the last cell; the next tree is this source's."""
        self.source = source
        self.witnesses = ledger.witnesses_of(source)[0]
        self.seen: dict[int, Sighting] = {}

    def visit(self, tree: ast.Module) -> ast.Module:
        """The tree, its witnesses rewritten to `assert __witness__(index, check, left, …)`."""
        if not self.witnesses or ast.dump(tree) != ast.dump(ast.parse(self.source)):
            return tree
        lines = {witness.line: index for index, witness in enumerate(self.witnesses)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert) and node.lineno in lines:
                node.test = self._call(lines[node.lineno], node.test)
        return ast.fix_missing_locations(tree)

    def _call(self, index: int, test: ast.expr) -> ast.expr:
        claim = ledger.claim_of(test)
        names = {id(claim.left): "__left", id(claim.right): "__right"}
        check = ast.parse("lambda __left, __right: None", mode="eval").body
        check.body = _Name(names).visit(test)
        tolerances = ast.Dict(
            [ast.Constant(k) for k in claim.tolerances], [*claim.tolerances.values()]
        )
        called = ast.Name(PROBE, ast.Load())
        arguments = [ast.Constant(index), check, claim.left, claim.right, tolerances]
        return ast.copy_location(ast.Call(called, arguments, []), test)

    def __call__(
        self, index: int, check: Callable[[Any, Any], Any], left: Any, right: Any, tolerances: dict
    ) -> bool:
        """What the assertion asserts; notes the sides where it holds."""
        if not check(left, right):
            return False
        witness = self.witnesses[index]
        name = f"the witness of {', '.join(witness.labels)}, `{witness.source}`"
        if same_object(left, right):
            raise WitnessError(f"{name}: both sides are one object; compute one in another way")
        try:
            for side, sides in mutations(witness.claim, left, right, tolerances):
                if check(*sides):
                    raise WitnessError(f"{name} holds as well with its {side} side changed")
        except (TypeError, AttributeError, RuntimeError, ValueError) as error:
            raise WitnessError(f"{name}: its sides cannot be changed to try it: {error}") from error
        sighting = Sighting(witness.claim, left, right, tolerances)
        last = self.seen.setdefault(index, sighting)
        sighting.passes = last.passes + (sighting is not last)
        if sighting.strain >= last.strain:
            self.seen[index] = sighting
        else:
            last.passes = sighting.passes
        return True

    def report(self) -> str:
        """What the witnesses of the last cell saw, as JSON: a list for the cell's metadata."""
        return json.dumps(
            [
                {"label": label, "claim": witness.source, **self.seen[index].shown}
                for index, witness in enumerate(self.witnesses)
                if index in self.seen
                for label in witness.labels
            ]
        )


class _Name(ast.NodeTransformer):
    """Puts names in the place of these nodes."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names

    def visit(self, node: ast.AST) -> ast.AST:
        name = self.names.get(id(node))
        return ast.Name(name, ast.Load()) if name else self.generic_visit(node)


# Attempts to deceive an assertion


def is_tensor(value: Any) -> bool:
    """Whether this is a tensor of torch, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def same_object(left: Any, right: Any) -> bool:
    """Whether the sides share one memory; small Python numbers always do, and do not count."""
    if is_tensor(left) and is_tensor(right):
        where = [(each.data_ptr(), each.shape, each.stride()) for each in (left, right)]
        return left is right or (where[0] == where[1] and left.numel() > 0)
    return isinstance(left, np.ndarray | list) and left is right


def mutations(claim: ledger.Claim, left: Any, right: Any, tolerances: dict) -> Any:
    """The sides with one of them changed, so that the claim is wrong; the name of that side first.

    An equality's side is shifted by one hundredth of the larger side, that of |a − b| < t by ten t
    (and is also dropped, where neither is 0 by itself). An inequality's side takes the other's
    value and passes it by one hundredth.
    """
    if claim.form == "order":
        up = STEP * size(left, right) * (1 if claim.relation in "<≤" else -1)
        yield "left", (like(left, right + up), right)
        yield "right", (left, like(right, left - up))
        return
    step = 10 * tolerances["tolerance"] if claim.form == "within" else None
    yield "left", (shifted(left, step, right), right)
    yield "right", (left, shifted(right, step, left))
    if claim.form == "within" and not (vanishes(left) or vanishes(right)):
        yield "left (by 0: its tolerance is too wide)", (left * 0, right)
        yield "right (by 0: its tolerance is too wide)", (left, right * 0)


def vanishes(value: Any) -> bool:
    """Whether this side is 0, exactly and everywhere."""
    return not np.any(array(value))


def like(value: Any, other: Any) -> Any:
    """`other`, with the type and shape that it has beside `value`."""
    if is_tensor(value):
        return sys.modules["torch"].zeros_like(value) + other
    return np.zeros_like(value) + other if isinstance(value, np.ndarray) else other


def shifted(value: Any, step: Any, other: Any) -> Any:
    """The value with every element changed: by `step`, or by a hundredth of the larger side."""
    if isinstance(value, str):
        return value + "′"
    if isinstance(value, tuple | list):
        return type(value)([shifted(each, step, each) for each in value] or [0])
    kind = array(value).dtype.kind
    if kind == "b":
        return not value if isinstance(value, bool) else ~value
    if step is None:
        step = 1 if kind in "iu" else STEP * size(value, other)
    return value + step


def size(*values: Any) -> float:
    """The largest finite magnitude among these, or 1 where there is none but 0."""
    largest = 0.0
    for value in values:
        magnitudes = np.abs(array(value).astype(float))
        largest = max(largest, magnitudes.max(initial=0.0, where=np.isfinite(magnitudes)))
    return largest or 1.0


def array(value: Any) -> np.ndarray:
    """Any number, tensor or array as an array."""
    return value.detach().cpu().numpy() if is_tensor(value) else np.asarray(value)


# What the ledger shows


class Sighting:
    """Both sides where they differ most, as short text that another machine would write too."""

    def __init__(self, claim: ledger.Claim, left: Any, right: Any, tolerances: dict) -> None:
        self.passes = 1  # how often the assertion was made: more than once in a loop
        self.strain = 0.0  # how close it came to failing
        self.texts: dict[str, str] = {}
        sides = [array(left), array(right)]
        if isinstance(left, tuple | list | str) or any(
            side.dtype.kind not in "biuf" for side in sides
        ):
            self._note(_short(left), claim.relation, _short(right), "0", "0")
            return
        left_array, right_array = np.broadcast_arrays(*sides)
        if left_array.size == 0:
            self._note("none", claim.relation, "none", "0", "0")
            return
        if left_array.size > 1:
            self.texts["shape"] = " × ".join(map(str, left_array.shape))
        floating = [side for side in (left, right) if array(side).dtype.kind == "f"]
        precision = max((np.finfo(array(side).dtype).eps for side in floating), default=0.0)
        if claim.form == "equal":
            self._equal(left_array, right_array)
        elif claim.form == "order":
            self._order(claim.relation, left_array, right_array, precision)
        else:
            self._near(left_array, right_array, tolerances, precision)

    @property
    def shown(self) -> dict[str, str]:
        """The texts for a cell's metadata."""
        return self.texts | ({"passes": str(self.passes)} if self.passes > 1 else {})

    def _note(self, left: str, relation: str, right: str, difference: str, tolerance: str) -> None:
        self.texts |= {
            "left": left,
            "relation": relation,
            "right": right,
            "difference": difference,
            "tolerance": tolerance,
        }

    def _equal(self, left: np.ndarray, right: np.ndarray) -> None:
        at = int(np.argmax(np.abs(left.astype(float)))) if left.size > 1 else 0
        self._note(number(left.flat[at]), "=", number(right.flat[at]), "0", "0")

    def _order(self, relation: str, left: np.ndarray, right: np.ndarray, precision: float) -> None:
        with np.errstate(invalid="ignore"):
            margin = (right.astype(float) - left) * (1 if relation in "<≤" else -1)
        margin = np.where(np.isnan(margin), 0.0, margin)
        at = int(np.argmin(margin))
        pair = float(left.flat[at]), float(right.flat[at])
        noise = NOISE * precision * max(map(abs, pair))
        self.strain = -float(margin.flat[at])
        gap = float(margin.flat[at])
        self._note(
            number(pair[0], noise),
            relation,
            number(pair[1], noise),
            "0" if abs(gap) <= noise else rounded(gap),
            "",
        )

    def _near(
        self, left: np.ndarray, right: np.ndarray, tolerances: dict, precision: float
    ) -> None:
        left, right = left.astype(float), right.astype(float)
        with np.errstate(invalid="ignore"):
            difference = np.where(left == right, 0.0, np.abs(left - right))
        given = {name: array(value).astype(float) for name, value in tolerances.items()}
        if "tolerance" in given:
            allowed = given["tolerance"]
        elif "rel_tol" in given:
            reach = given["rel_tol"] * np.maximum(np.abs(left), np.abs(right))
            allowed = np.maximum(reach, given.get("abs_tol", 0.0))
        else:
            allowed = given["atol"] + given["rtol"] * np.abs(right)
        allowed = np.broadcast_to(allowed, difference.shape)
        magnitude = np.where(np.isfinite(left), np.abs(left), 0.0)
        grey = difference.max() <= 1e-9 * magnitude.max()  # which is largest is a matter of luck
        at = int(np.argmax(magnitude if grey else difference))
        self.strain = float(difference.max())
        pair = float(left.flat[at]), float(right.flat[at])
        tolerance = float(allowed.flat[at])
        noise = NOISE * precision * max(map(abs, pair))
        if "tolerance" in given:  # an absolute one says by itself what is small
            noise = max(noise, 1e-3 * tolerance)
        self._note(
            number(pair[0], noise),
            "≈",
            number(pair[1], noise),
            rounded_up(float(difference.max()), noise, max(map(abs, pair)), tolerance),
            rounded(tolerance),
        )


def _short(value: Any) -> str:
    text = repr(tuple(value)) if isinstance(value, tuple | list) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"


def number(value: Any, small: float = 0.0) -> str:
    """Six significant digits; 0 for what is not above `small`."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    value = float(value)
    return "0" if abs(value) <= small else rounded(value, 6)


def rounded(value: float, digits: int = 2) -> str:
    """So many significant digits, and exponents without zeros in front: 1e-8."""
    return re.sub(r"e\+?(-?)0*(\d)", r"e\1\2", f"{value:.{digits}g}")


def rounded_up(difference: float, noise: float, scale: float, tolerance: float) -> str:
    """A difference: two digits, or where rounding errors show a power of ten above it.

    Never more than the tolerance that it passed.
    """
    if difference > 1e-6 * scale and difference > noise:
        return rounded(difference)
    bound = max(difference, noise)
    if bound == 0.0:
        return "0"
    power = 10.0 ** math.ceil(math.log10(bound))
    if power <= tolerance:
        return f"< 1e{round(math.log10(power))}"
    return f"< {rounded(tolerance)}"
