"""Claims about `vae_helpers.witness`: what a line says, and that no check passes what is wrong."""

import pytest
import torch

from vae_helpers.witness import Line, agree, at_most

X = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(3, 4)
NAN, INF = float("nan"), float("inf")
EACH = "on average, and each of 12 numbers"


@pytest.fixture
def line(monkeypatch):
    """What the last check left."""
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    return lambda: shown.pop()._repr_mimebundle_()["text/plain"]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda: agree("eq-a", -2.5, -2.5 - 1e-11), "−2.50000 = −2.50000, to 10 digits"),
        (lambda: agree("eq-a", 1 / 3, 1 / 3 + 1e-6, digits=5), "0.33333 = 0.33333, to 5 digits"),
        (lambda: agree("eq-a", 481.47, 481.473, within=0.005), "481.470 ≈ 481.473, within 0.005"),
        (lambda: agree("eq-a", 12_345, torch.tensor(12_345)), "12,345 = 12,345, exactly"),
        (lambda: agree("eq-a", X > 0, X.exp() > 1), f"0.66667 = 0.66667, {EACH} exactly"),
        (
            lambda: agree("eq-a", 1.4003, 1.4, error=0.0021),
            "1.4003 ± 0.0021 ≈ 1.4000, within 4 standard errors",
        ),
        (lambda: agree("eq-a", X.float(), 1 * X, digits=5), f"0.5000 = 0.5000, {EACH} to 5 digits"),
        (
            lambda: agree("eq-a", X[0, :2], X[0, :2] + 0.01, error=torch.tensor([0.02, 0.1])),
            "−1.000 ± 0.020, −0.727 ± 0.100 ≈ −0.990, −0.717, within 4 standard errors",
        ),
        (lambda: agree("eq-a", 1e-7, 1e-7 + 1e-19), "1.00000e−07 = 1.00000e−07, to 10 digits"),
        (lambda: agree("eq-a", -1e-12, 0, within=1e-9), "0 ≈ 0, within 1e-09"),
        (lambda: at_most("eq-a", 0.0, 1e-12), "0 ≤ 1.00000e−12"),
        (lambda: at_most("eq-a", X, X + 1), f"0.50000 ≤ 1.50000, {EACH}"),
        (lambda: at_most("eq-a", X, X * 1), f"0.50000 ≤ 0.50000, {EACH}"),
        (
            lambda: at_most("eq-a", -2.5, -2.0, error=0.1),
            "−2.50 ± 0.10 < −2.00, by more than 4 standard errors",
        ),
    ],
)
def test_a_line_shows_both_sides_and_how_closely_they_agree(line, check, said):
    check()
    assert line() == f"✓ eq-a: {said}"


def test_a_line_leads_to_its_equation_on_the_page_and_in_jupyter():
    shown = Line("eq-a", "1 = 1")._repr_mimebundle_()
    assert shown["text/markdown"] == "✓ {eq}`eq-a` 1 = 1"
    assert '<a href="#eq-a">' in shown["text/html"]


def one_off(x: torch.Tensor, by: float) -> torch.Tensor:
    changed = x.clone()
    changed[1, 2] += by
    return changed


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda: agree("eq-a", 1.0, 1.0 + 3e-10), "found 1.0 and 1.0000000003"),
        (lambda: agree("eq-a", X, one_off(X, 1e-9)), "element 6 of 12, of which 1 part"),
        (lambda: agree("eq-a", 1.0, -1.0), "found 1.0 and -1.0"),
        (lambda: agree("eq-a", 5, 6), "found 5.0 and 6.0"),
        (lambda: agree("eq-a", 5.0, 5.003, within=0.002), "within 0.002"),
        (lambda: agree("eq-a", 5.0, 5.05, error=0.012), "within 0.048"),
        (lambda: agree("eq-a", X, X[:, :1]), "of one shape, found"),
        (lambda: agree("eq-a", NAN, NAN), "finite numbers, found nan"),
        (lambda: at_most("eq-a", -INF, 1.0), "finite numbers, found -inf"),
        (lambda: at_most("eq-a", 1.0 + 1e-9, 1.0), "found 1.000000001 and 1.0"),
        (lambda: at_most("eq-a", one_off(X, 1.0), X + 0.5), "element 6 of 12"),
        (lambda: at_most("eq-a", 1.0, 1.03, error=0.01), "found 1.0 and 1.03"),
    ],
)
def test_sides_that_part_are_shown_where_they_part(check, said):
    with pytest.raises(AssertionError, match=r"^eq-a: ") as error:
        check()
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda: agree("eq-a", X, X.view(3, 4)), "one tensor"),
        (lambda: at_most("eq-a", X, X.detach()), "one tensor"),
        (lambda: agree("eq-a", X[:0], X[:0] + 1), "nothing is compared"),
        (lambda: agree("eq-a", 1.0, 1.1, within=2.0), "either side could be 0"),
        (lambda: agree("eq-a", 0.01, 0.02, error=0.1), "either side could be 0"),
        (lambda: agree("eq-a", 1.0, 1.1, digits=0), "either side could be 0"),
        (lambda: agree("eq-a", 1.0, 2.0, error=INF), "either side could be 0"),
        (lambda: agree("eq-a", 0.0, 2.0, error=INF), "found inf beside 2"),
        (lambda: agree("eq-a", 1.0, 2.0, error=NAN), "found 1.0 and 2.0"),
        (lambda: at_most("eq-a", 1.0, 2.0, error=NAN), "found 1.0 and 2.0"),
    ],
)
def test_a_check_that_could_not_fail_is_refused(check, said):
    with pytest.raises(AssertionError, match=said):
        check()


def test_a_check_changes_neither_side_nor_the_random_numbers(line):
    left, state = X.clone().requires_grad_(), torch.get_rng_state()
    agree("eq-a", left, X * 1)
    assert torch.equal(left, X)
    assert torch.equal(torch.get_rng_state(), state)
