"""Claims about devices: each that is there works, and one that is not is named beside them."""

import pytest
import torch

from vae_helpers.checkpoints import load_vae, save_vae
from vae_helpers.checks import check_device
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.data import binarize
from vae_helpers.evaluation import active_units, log_aggregate_posterior, refine, score
from vae_helpers.networks import VAE
from vae_helpers.objectives import importance_weighted_bound
from vae_helpers.training import fit


@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_this_machine_has_is_taken_and_else_it_says_what_that_is(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    there = ["cpu", "meta", *["cuda", "cuda:0", "cuda:1"][: count + 1 if count else 0]]
    for name in there:
        assert check_device(name) == check_device(torch.device(name)) == torch.device(name)
    for name in {"cuda", "cuda:0", "cuda:1", "cuda:2", "gpu", "", "mps:7", None}.difference(there):
        with pytest.raises(ValueError, match=rf"this machine has, cpu.*; found '{name}'"):
            check_device(name)


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_all_stays_on_the_device_and_training_resumes_there_bit_for_bit(device, tmp_path):
    torch.manual_seed(0)
    save_vae(VAE(2, (5,), pixels=6, sigma2=None), tmp_path / "vae")
    whole, parts = (load_vae(tmp_path / "vae", device=device) for _ in "ab")
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(0)).to(device)
    history = fit(whole, x, epochs=3, draw=binarize)
    fit(parts, x, epochs=1, draw=binarize, checkpoint=tmp_path / "run")
    resumed = fit(parts, x, epochs=3, draw=binarize, checkpoint=tmp_path / "run", resume=True)
    assert resumed == history
    weights = list(parts.parameters())
    assert all(map(torch.equal, weights, whole.parameters()))

    generator = torch.Generator(device).manual_seed(0)
    x, labels = binarize(x, generator=generator), (torch.arange(40) % 3).to(device)
    conditional = ConditionalVAE(2, (5,), classes=3, pixels=6, sigma2=None).to(device)
    fit(conditional, x, labels=labels, epochs=1)
    mu, logvar = (values.detach() for values in whole.encode(x))
    results = [
        score(whole, x).elbo,
        score(conditional, x, labels=labels).elbo,
        importance_weighted_bound(whole, x, k=3, generator=generator),
        active_units(whole, x),
        log_aggregate_posterior(mu, mu, logvar),
        refine(whole, x, steps=2, generator=generator).mu,
        whole.sample(2, generator=generator),
    ]
    assert {values.device.type for values in [*weights, x, *results]} == {device}
    assert all(values.isfinite().all() for values in results)
