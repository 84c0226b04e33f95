"""Claims about devices: one that is there is returned, any other named beside those there are."""

import pytest
import torch

from vae_helpers.devices import check_device


def test_the_processor_is_always_there():
    assert check_device("cpu") == torch.device("cpu")
    assert check_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "", "mps:7", None])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device):
    with pytest.raises(ValueError, match=r"this machine has, cpu.*; found '"):
        check_device(device)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_graphics_cards_are_counted(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    for index in range(3):
        name = f"cuda:{index}"
        if index < count:
            assert check_device(name) == torch.device(name)
        else:
            with pytest.raises(ValueError, match=f"found '{name}'"):
                check_device(name)
    if count:
        assert check_device("cuda") == torch.device("cuda")
    else:
        with pytest.raises(ValueError, match="found 'cuda'"):
            check_device("cuda")
