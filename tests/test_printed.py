"""Claims about `pages/printed.py`: what another machine may print, and what it may not."""

import shutil
import subprocess
import sys

import nbformat
import pytest
from built_site import ROOT
from nbformat.v4 import new_code_cell, new_notebook, new_output
from printed import same

ROWS = "σ² = 0.5:  −486.21 nats\nσ² = 1.0: −1034.05 nats\n"


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ("no number", "no number"),
        ("0.1234 nats", "0.1235 nats"),
        ("9.99 nats", "10.00 nats"),
        ("  9.99|", " 10.00|"),
        ("-0.001", "0.000"),
        ("−0.00", "0.00"),
        ("[0.1299, 0.5]", "[0.13, 0.5]"),
        ("1.10e-16", "1.11e-16"),
        ("9.99e-07", "1.00e-06"),
        ("84% of 400", "85% of 400"),
        ("15.79 ± 0.32", "15.74 ± 0.31"),
        ("481 ± 20", "484 ± 20"),
        ("13,818.2", "13,818.3"),
    ],
)
def test_the_last_place_and_a_part_of_the_error_may_differ(stored, found):
    assert same(stored, found)
    assert same(found, stored)


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ("0.1234 nats", "0.1236 nats"),  # two in the last place
        ("0.1234 nats", "0.1334 nats"),  # a place before it
        ("0.1234 nats", "0.12344 nats"),
        ("0.50", "0.5"),
        ("1.234", "-1.234"),
        ("−1.234", "1.234"),
        ("0.001", "-0.001"),
        ("1.1e-16", "1.1e-15"),
        ("1e-10", "1e-9"),
        ("1.1e-16", "1.4e-16"),
        ("13,818 means", "13,819 means"),  # a count
        ("K = 10", "K = 11"),
        ("0.5 nats", "0.5 bits"),
        ("0.5 nats", "0.5  nats"),
        ("  0.5|", " 0.5|"),
        ("0.5 nats", "nan nats"),
        ("True", "False"),
        ("15.79 ± 0.32", "15.70 ± 0.32"),
        ("15.79 ± 0.32", "15.79 ± 0.34"),
        ("15.79, 0.32", "15.74, 0.32"),  # no error, no allowance
        ("torch 2.13.0", "torch 2.13.1"),
        ("L_10", "L_11"),
        (ROWS, ROWS.splitlines()[0] + "\n"),
        (ROWS, "\n".join(reversed(ROWS.splitlines())) + "\n"),
        (ROWS, ROWS.replace("\n", " ", 1)),
    ],
)
def test_nothing_else_may_differ(stored, found):
    assert not same(stored, found)
    assert not same(found, stored)


@pytest.mark.parametrize(("printed", "outcome"), [("0.1235", "passed"), ("0.1244", "failed")])
def test_nbval_compares_by_the_rule(tmp_path, printed, outcome):
    shutil.copy(ROOT / "notebooks" / "conftest.py", tmp_path)
    cell = new_code_cell(f"print({printed})", execution_count=1)
    cell.outputs = [new_output("stream", name="stdout", text="0.1234\n")]
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    options = ["-q", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path]
    command = [sys.executable, "-m", "pytest", *options, tmp_path / "a.ipynb"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert f"1 {outcome}" in run.stdout, run.stdout + run.stderr
