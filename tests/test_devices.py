"""Claims about devices: each that is there works, and one that is not is named beside them."""

import pytest
import torch

from vae_helpers.checkpoints import load_vae, save_vae
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.data import binarize
from vae_helpers.devices import check_device
from vae_helpers.evaluation import active_units, log_aggregate_posterior, refine, score
from vae_helpers.networks import VAE
from vae_helpers.objectives import importance_weighted_bound
from vae_helpers.training import fit


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


# Everything runs on every device that this machine has

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture
def images(device):
    return torch.rand(40, 6, generator=torch.Generator().manual_seed(0)).round().to(device)


@pytest.fixture
def vae(device):
    torch.manual_seed(0)
    return VAE(2, (5,), pixels=6, sigma2=None).to(device)


def test_fit_trains_on_the_device_and_resumes_there_bit_for_bit(vae, images, device, tmp_path):
    start = {name: value.clone() for name, value in vae.state_dict().items()}
    whole = fit(vae, images, epochs=3, validation=images, progress=False)
    trained = {name: value.clone() for name, value in vae.state_dict().items()}
    assert {value.device.type for value in trained.values()} == {device}
    vae.load_state_dict(start)
    options = {"validation": images, "checkpoint": tmp_path / "run", "progress": False}
    fit(vae, images, epochs=1, **options)
    vae.load_state_dict(start)
    assert fit(vae, images, epochs=3, resume=True, **options) == whole
    assert all(torch.equal(value, trained[name]) for name, value in vae.state_dict().items())


def test_labels_go_along(images, device):
    torch.manual_seed(0)
    vae = ConditionalVAE(2, (5,), classes=3, pixels=6).to(device)
    labels = (torch.arange(40) % 3).to(device)
    history = fit(vae, images, labels=labels, epochs=2, progress=False)
    assert history.epochs == 2
    assert score(vae, images, labels=labels).elbo.device.type == device


def test_evaluation_stays_on_the_device(vae, images, device):
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        mu, logvar = vae.encode(images)
        results = [
            score(vae, images).elbo,
            importance_weighted_bound(vae, images, k=3, generator=generator),
            active_units(vae, images),
            log_aggregate_posterior(mu, mu, logvar),
        ]
    results.append(refine(vae, images, steps=2, generator=generator).mu)
    assert {values.device.type for values in results} == {device}
    assert all(values.isfinite().all() for values in results)


def test_binarization_draws_on_the_device(images, device):
    generator = torch.Generator(device).manual_seed(0)
    assert binarize(images / 2, generator=generator).device.type == device


def test_weights_load_onto_the_device(vae, device, tmp_path):
    save_vae(vae, tmp_path / "vae")
    assert next(load_vae(tmp_path / "vae", device=device).parameters()).device.type == device
