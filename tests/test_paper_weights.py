"""Claims about the training of a paper's network: its schedule, its rounds, what a kill leaves."""

import argparse
import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import groupby
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from vae_helpers.checkpoints import Checkpoint, load_vae
from vae_helpers.objectives import importance_weighted_bound

SCRIPT = Path(__file__).resolve().parents[1] / "data" / "make_paper_weights.py"
GREY = torch.rand(60, 784, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def paper(monkeypatch, tmp_path) -> ModuleType:
    """The script, which writes into a folder of the test."""
    spec = spec_from_file_location("make_paper_weights", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "load_mnist", lambda split, **_: (GREY, None))
    return module


def options(**changed) -> argparse.Namespace:
    given = {"k": 2, "epochs": [2, 1], "lr": [1e-3, 3e-4], "batch_size": 20, "seed": 0}
    return argparse.Namespace(**(given | {"precision": "highest", "device": "cpu"} | changed))


@pytest.mark.parametrize(
    ("base", "lengths"),
    [(1e-3, [3**i for i in range(8)]), (3e-4, [15] * 8)],
    ids=["the paper's 3280 epochs, each stage three times as long", "120 epochs, in equal stages"],
)
def test_the_schedule_has_eight_rates(paper, base, lengths):
    epochs = sum(lengths)
    rates = [paper.learning_rate(base, epoch, epochs) for epoch in range(epochs)]
    stages = [(rate, len(list(group))) for rate, group in groupby(rates)]
    assert [length for _, length in stages] == lengths
    assert [rate for rate, _ in stages] == pytest.approx([base * 10 ** (-i / 7) for i in range(8)])


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(paper, tmp_path, monkeypatch):
    paper.train(options(), GREY, GREY, "whole")
    original, saved = Checkpoint.save, []

    def killed(*args):
        original(*args)
        saved.append(1)
        if len(saved) in (1, 2):  # within the first round, and between the two
            raise SystemExit

    monkeypatch.setattr(Checkpoint, "save", killed)
    for _ in range(2):
        with pytest.raises(SystemExit):
            paper.train(options(), GREY, GREY, "parts")
    paper.train(options(), GREY, GREY, "parts")
    whole, parts = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert not list(tmp_path.glob("parts.round*"))
    log = (tmp_path / "parts_log.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch", "1", "2", "3"]
    recipe = json.loads((tmp_path / "parts.json").read_text(encoding="utf-8"))
    assert recipe == {name: value for name, value in vars(options()).items() if name != "device"}


def test_training_raises_the_bound(paper, tmp_path):
    two = torch.eye(2).repeat_interleave(392, dim=1).repeat(30, 1)
    paper.train(options(epochs=[30], lr=[1e-3]), two, two, "two")
    log = (tmp_path / "two_log.csv").read_text(encoding="utf-8").splitlines()
    held_out = [float(line.split(",")[2]) for line in log[1:]]
    # A guess of one half a pixel would have −543; at the end 784 pixels hold two images.
    assert held_out[-1] > -20 > held_out[0]


def test_each_group_of_the_test_can_be_made_again_alone(paper, monkeypatch):
    vae = paper.paper_network(GREY)
    images = GREY.repeat(4, 1)
    monkeypatch.setattr(
        paper,
        "importance_weighted_bound",
        lambda vae, x, k, generator: importance_weighted_bound(vae, x, k=3, generator=generator),
    )
    first, second = (paper.test_bound(vae, images, group) for group in (0, 1))
    assert first.shape == second.shape == (100,)
    assert torch.equal(paper.test_bound(vae, images, 1), second)


def test_where_there_are_weights_only_the_test_is_made_again(paper, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paper, "test_bound", lambda vae, images, group: torch.full((100,), -9.0))
    monkeypatch.setattr(paper, "load_mnist", lambda split, **_: (GREY.repeat(4, 1)[:200], None))
    command = ["make_paper_weights.py", "--k", "2", "--epochs", "1", "--lr", "1e-3"]
    monkeypatch.setattr(sys, "argv", command)
    paper.main()
    before = (tmp_path / "paper_k2.safetensors").read_bytes()
    (tmp_path / "paper_k2_test.safetensors").unlink()
    paper.main()
    assert (tmp_path / "paper_k2.safetensors").read_bytes() == before
    assert "NLL 9.00" in capsys.readouterr().out
    assert load_file(tmp_path / "paper_k2_test.safetensors")["bound"].shape == (200,)
    assert load_vae(tmp_path / "paper_k2.safetensors").sigma2 is None


def test_rounds_without_a_rate_of_their_own_are_refused(paper, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_paper_weights.py", "--epochs", "2", "3"])
    with pytest.raises(SystemExit):
        paper.main()
    assert "found 2 numbers of epochs and 1 learning rates" in capsys.readouterr().err
