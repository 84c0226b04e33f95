"""What the chapters say and what stands witness for it, read from the notebooks alone.

A labelled equation is `$$ … $$ (eq-name)` in a markdown cell, a definition `$$ … $$ (def-name)`.
A witness is an assertion in a code cell of the same notebook with a comment on one of its lines:

    assert torch.isclose(elbo + gap, log_p_x, rtol=1e-10)  # witness: eq-elbo-gap
    assert (k - n).abs() < 4 * error  # witness: eq-a, eq-b; four standard errors

After a semicolon follows why the tolerance is what it is. Nothing here runs a cell; `witness.py`
does, inside a chapter's kernel.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SUPPORTED = (
    "torch.isclose(a, b, …), torch.allclose(a, b, …), math.isclose(a, b, …), torch.equal(a, b), "
    "a == b, a < b, a <= b, a > b, a >= b, abs(a - b) < tolerance, (a - b).abs() < tolerance, "
    "and any of these as (…).all()"
)
CLOSE = {  # the function: the names of its third and fourth argument
    "torch.isclose": ("rtol", "atol"),
    "torch.allclose": ("rtol", "atol"),
    "math.isclose": (),
    "torch.equal": (),
}
RELATIONS = {ast.Lt: "<", ast.LtE: "≤", ast.Gt: ">", ast.GtE: "≥", ast.Eq: "="}
COMMENT = re.compile(r"#\s*witness\b(.*)")
LABELS = re.compile(r":\s*([\w-]+(?:\s*,\s*[\w-]+)*)\s*(?:;\s*(.+?)\s*)?")
MATH = re.compile(r"\$\$(.*?)\$\$(?:[ \t]*\(([^()\s]+)\))?", re.DOTALL)
FENCE = re.compile(r"^(`{3,}|~{3,}|:{3,}).*?^\1", re.DOTALL | re.MULTILINE)


class ClaimError(ValueError):
    """An assertion that cannot be a witness; the message says what can."""


@dataclass(frozen=True)
class Equation:
    """A labelled formula, and the chapter and cell (from 0) that it stands in."""

    label: str
    latex: str
    chapter: str
    cell: int

    @property
    def is_definition(self) -> bool:
        """True where the label says so: a definition needs no witness."""
        return self.label.startswith("def-")


@dataclass(frozen=True)
class Claim:
    """What an assertion compares: two sides, how, and within which tolerance."""

    form: str  # "close" for isclose and allclose, "within" for |a − b| < t, "equal", or "order"
    left: ast.expr
    right: ast.expr
    relation: str = "="
    tolerances: Mapping[str, ast.expr] = field(default_factory=dict)


@dataclass(frozen=True)
class Witness:
    """An assertion, the equations it stands for, and why its tolerance is what it is."""

    labels: tuple[str, ...]
    chapter: str
    cell: int
    line: int  # of the assertion in its cell, from 1
    source: str
    claim: Claim
    reason: str = ""


@dataclass
class Chapter:
    """What one notebook holds, and what is wrong in it."""

    name: str
    title: str
    equations: list[Equation] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    stored: list[dict[str, Any]] = field(default_factory=list)  # the values of the last run
    complaints: list[str] = field(default_factory=list)

    def of(self, label: str) -> list[Witness]:
        """The witnesses of this equation."""
        return [witness for witness in self.witnesses if label in witness.labels]


# Assertions


def claim_of(test: ast.expr) -> Claim:
    """The two sides of an assertion.

    Raises:
        ClaimError: it has another form than those in `SUPPORTED`, or the same expression twice.
    """
    inner = _called(test, "all") or test
    claim = _close(inner) or _compared(inner)
    if claim is None:
        raise ClaimError(
            f"expected a form in which both sides can be seen, found `{ast.unparse(test)}`; "
            f"write one of {SUPPORTED}"
        )
    if ast.dump(claim.left) == ast.dump(claim.right):
        raise ClaimError(
            f"expected two computations, found `{ast.unparse(claim.left)}` on both sides; "
            "compute one of them in another way"
        )
    return claim


def _called(node: ast.expr, method: str) -> ast.expr | None:
    """The x of `x.method()`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    bare = not node.args and not node.keywords
    return node.func.value if bare and node.func.attr == method else None


def _close(node: ast.expr) -> Claim | None:
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in CLOSE or len(node.args) < 2:
        return None
    name = ast.unparse(node.func)
    left, right, *rest = node.args
    tolerances = dict(zip(CLOSE[name], rest, strict=False))
    tolerances |= {each.arg: each.value for each in node.keywords if each.arg}
    if name == "torch.equal":
        return Claim("equal", left, right)
    if name == "math.isclose":
        tolerances = {"rel_tol": ast.Constant(1e-9)} | tolerances
    else:
        tolerances = {"rtol": ast.Constant(1e-5), "atol": ast.Constant(1e-8)} | tolerances
    return Claim("close", left, right, tolerances=tolerances)


def _compared(node: ast.expr) -> Claim | None:
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return None
    left, right, relation = node.left, node.comparators[0], RELATIONS.get(type(node.ops[0]))
    if relation is None:
        return None
    if relation == "=":
        return Claim("equal", left, right)
    inside = _absolute(left)
    if isinstance(inside, ast.BinOp) and isinstance(inside.op, ast.Sub) and relation in "<≤":
        return Claim("within", inside.left, inside.right, tolerances={"tolerance": right})
    if inside is not None or _absolute(right) is not None:
        return None  # |a| < t hides the second side
    return Claim("order", left, right, relation)


def _absolute(node: ast.expr) -> ast.expr | None:
    """The x of `abs(x)`, `x.abs()`, `torch.abs(x)`, and of their `.max()`."""
    node = _called(node, "max") or node
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {"abs", "torch.abs", "math.fabs"}:
        return node.args[0] if len(node.args) == 1 else None
    return _called(node, "abs")


def marked(source: str) -> tuple[list[tuple[ast.Assert, tuple[str, ...], str]], list[str]]:
    """The assertions of a cell that carry a witness comment (with labels and reason), complaints.

    A cell that is no plain Python holds no witness.
    """
    if "witness" not in source:
        return [], []
    try:
        tree = ast.parse(source)
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, tokenize.TokenError):
        complaint = "a witness in a cell that is no plain Python"
        return [], [complaint] if COMMENT.search(source) else []
    return _marked(tree, tokens)


def _marked(tree: ast.Module, tokens: list[tokenize.TokenInfo]) -> tuple[list, list[str]]:
    asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    found, complaints = {}, []
    for token in tokens:
        match = COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
        if not match:
            continue
        said = LABELS.fullmatch(match[1].rstrip())
        line = token.start[0]
        node = next((a for a in asserts if a.lineno <= line <= (a.end_lineno or 0)), None)
        if not said:
            complaints.append(f"expected `# witness: eq-name`, found `{token.string}`")
        elif node is None:
            complaints.append(f"`{token.string}` stands on a line of no assertion")
        elif node.lineno in found:
            complaints.append(f"`{token.string}` is the second comment of one assertion")
        else:
            found[node.lineno] = node, tuple(re.split(r"\s*,\s*", said[1])), said[2] or ""
    return [found[line] for line in sorted(found)], complaints


# Notebooks


def witnesses_of(source: str, chapter: str = "", cell: int = 0) -> tuple[list[Witness], list[str]]:
    """The witnesses of a code cell, in their order, and what is wrong with others."""
    asserts, complaints = marked(source)
    witnesses = []
    for node, labels, reason in asserts:
        try:
            claim = claim_of(node.test)
        except ClaimError as error:
            complaints.append(f"the witness of {', '.join(labels)}: {error}")
            continue
        text = ast.unparse(node.test)
        witnesses.append(Witness(labels, chapter, cell, node.lineno, text, claim, reason))
    return witnesses, complaints


def equations_of(source: str, chapter: str = "", cell: int = 0) -> Iterator[Equation]:
    """The labelled formulas of a markdown cell."""
    for match in MATH.finditer(FENCE.sub("", source)):
        if match[2]:
            yield Equation(match[2], match[1].strip(), chapter, cell)


def read(name: str, notebook: Mapping[str, Any]) -> Chapter:
    """A chapter from the JSON of its notebook."""
    chapter = Chapter(name, name)
    values: dict[str, str] = {}  # what a name stands for, as far as one assignment says it
    for index, cell in enumerate(notebook["cells"]):
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        place = f"cell {index + 1}"
        if cell["cell_type"] == "markdown":
            if chapter.title == name and (title := re.match(r"# (.+)", source)):
                chapter.title = title[1].strip()
            chapter.equations += equations_of(source, name, index)
            if re.search(r"^:label:|\\label\{", source, re.MULTILINE):
                chapter.complaints.append(f"{place}: label an equation as `$$ … $$ (eq-name)`")
        elif cell["cell_type"] == "code":
            witnesses, complaints = witnesses_of(source, name, index)
            chapter.complaints += [f"{place}: {complaint}" for complaint in complaints]
            chapter.complaints += [f"{place}: {c}" for c in _same_computation(source, values)]
            chapter.witnesses += witnesses
            chapter.stored += cell.get("metadata", {}).get("witness", [])
    return chapter


def _same_computation(source: str, values: dict[str, str]) -> Iterator[str]:
    """Complaints of witnesses whose two sides are names for one expression; updates `values`."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    lines = {node.lineno: labels for node, labels, _ in marked(source)[0]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            if isinstance(node.targets[0], ast.Name):
                values[node.targets[0].id] = ast.dump(node.value)
        elif isinstance(node, ast.AugAssign | ast.For) and isinstance(node.target, ast.Name):
            values.pop(node.target.id, None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and node.lineno in lines:
            try:
                claim = claim_of(node.test)
            except ClaimError:
                continue
            sides = [
                values.get(side.id, side.id) if isinstance(side, ast.Name) else ast.dump(side)
                for side in (claim.left, claim.right)
            ]
            if sides[0] == sides[1]:
                yield (
                    f"the witness of {', '.join(lines[node.lineno])} compares two names of one "
                    f"expression, `{ast.unparse(claim.left)}` and `{ast.unparse(claim.right)}`"
                )


def problems(chapter: Chapter, book: list[Chapter]) -> list[str]:
    """What is wrong in this chapter, held against all chapters of the book."""
    found = list(chapter.complaints)
    everywhere = [equation.label for each in book for equation in each.equations]
    here = {equation.label for equation in chapter.equations}
    for equation in chapter.equations:
        place = f"cell {equation.cell + 1}"
        if not re.fullmatch(r"(eq|def)-[a-z0-9-]+", equation.label):
            found.append(f"{place}: expected a label eq-… or def-…, found {equation.label}")
        elif not equation.is_definition and not chapter.of(equation.label):
            found.append(
                f"{place}: {equation.label} has no witness; end an assertion of this notebook with "
                f"`# witness: {equation.label}`, or label a definition def-…"
            )
        if everywhere.count(equation.label) > 1:
            found.append(f"{place}: the label {equation.label} is given more than once")
    for witness in chapter.witnesses:
        for label in witness.labels:
            if label in here:
                continue
            where = [e.name for e in book if label in {equation.label for equation in e.equations}]
            why = f"stands in {', '.join(where)}" if where else "is no equation of the book"
            found.append(f"cell {witness.cell + 1}: a witness names {label}, which {why}")
    return found


def stale(chapter: Chapter) -> list[str]:
    """Where the stored values are not those of the present witnesses."""
    now = [(label, witness.source) for witness in chapter.witnesses for label in witness.labels]
    then = [(entry["label"], entry["claim"]) for entry in chapter.stored]
    return [
        f"{label}: `{claim}` {what}; run `make notebooks`"
        for what, these, those in (("has no values", now, then), ("is no witness now", then, now))
        for label, claim in these
        if (label, claim) not in those
    ]


def anchor(label: str, index: int = 0) -> str:
    """The id of the cell that holds this witness of an equation."""
    return f"witness-{label}" + (f"-{index + 1}" if index else "")
