"""Claims about weights on disk: bit for bit, or refused with a reason; nothing is unpickled."""

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from vae_helpers.checkpoints import architecture, load_vae, save_vae
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.networks import VAE
from vae_helpers.training import fit


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 5), max_size=3),
    st.integers(1, 6),
    st.floats(1e-6, 1e6) | st.none(),
    st.sampled_from(["relu", "tanh"]),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([VAE, ConditionalVAE]),
)
def test_a_saved_vae_loads_bit_for_bit(
    tmp_path_factory, latent_dim, hidden, pixels, sigma2, activation, dtype, kind
):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    vae = kind(latent_dim, hidden, pixels=pixels, sigma2=sigma2, activation=activation).to(dtype)
    save_vae(vae, path)
    loaded = load_vae(str(path))
    assert type(loaded) is kind
    assert architecture(loaded) == architecture(vae)
    assert loaded.state_dict().keys() == vae.state_dict().keys()
    for ours, theirs in zip(loaded.parameters(), vae.parameters(), strict=True):
        assert ours.dtype == dtype
        assert ours.requires_grad
        assert torch.equal(ours, theirs)
    before = path.read_bytes()
    save_vae(loaded, path)
    assert path.read_bytes() == before


def test_the_device_is_the_caller_s_or_refused(path):
    save_vae(VAE(pixels=5), path)
    assert {p.device.type for p in load_vae(path).parameters()} == {"cpu"}
    assert {p.device.type for p in load_vae(path, device="meta").parameters()} == {"meta"}
    with pytest.raises(ValueError, match=r"this machine has, cpu.*; found 'cuda:99'"):
        load_vae(path, device="cuda:99")


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c[: len(c) // 2],
        lambda c: c[:-1],
        lambda c: c + b"x",
        lambda c: c[:5],
        lambda _: b"",
        lambda _: pickle.dumps({"a": 1}),
    ],
    ids=["half", "short", "long", "header", "empty", "pickle"],
)
def test_a_damaged_file_is_refused_and_left(path, damage):
    save_vae(VAE(pixels=5), path)
    path.write_bytes(damage(path.read_bytes()))
    damaged = path.read_bytes()
    message = rf"expected a vae file .* at {path}; found [\d,]+ bytes .*\. Pass another"
    with pytest.raises(ValueError, match=message):
        load_vae(path)
    assert path.read_bytes() == damaged


def test_a_file_that_is_missing_or_of_another_kind_is_refused(path):
    with pytest.raises(FileNotFoundError, match=r"a vae file at .*; found none\. Check"):
        load_vae(path)
    fit(VAE(pixels=5), torch.ones(3, 5), epochs=1, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match=r"expected a vae file .*; found checkpoint\. Pass an"):
        load_vae(path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="found a safetensors file of another program"):
        load_vae(path)


def test_saving_and_training_never_touch_pickle(path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pickle was used")

    for module, name in [
        *((pickle, name) for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler")),
        *((torch, name) for name in ("load", "save")),
    ]:
        monkeypatch.setattr(module, name, refuse)
    for epochs in (1, 2):
        options = {"epochs": epochs, "checkpoint": path, "resume": True, "progress": False}
        fit(VAE(pixels=5), torch.ones(3, 5), **options)
    save_vae(VAE(pixels=5), path)
    load_vae(path)
