"""Claims about `train_vae`: it is the book's training and scoring, set by names and numbers."""

import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import pytest
import torch

from vae_helpers import training
from vae_helpers.checkpoints import load_vae
from vae_helpers.data import load_mnist
from vae_helpers.evaluation import active_units, score
from vae_helpers.experiment import train_vae
from vae_helpers.networks import VAE
from vae_helpers.sweep import sweep
from vae_helpers.training import fit

SHORT = {"images": 500, "epochs": 1}


def weights(vae: VAE) -> list[torch.Tensor]:
    return list(vae.state_dict().values())


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def by_hand():
    """A VAE trained and scored with other settings than the defaults, line by line."""
    images, _ = load_mnist("train")
    held_out, _ = load_mnist("test")
    torch.manual_seed(3)
    vae = VAE(3, (20, 10), sigma2=0.1)
    fit(vae, images[:500], epochs=2, beta=2.0, warmup=1, seed=3, progress=False)
    scores = score(vae, held_out, seed=3)
    rate, distortion = scores.kl.mean().item(), -scores.log_likelihood.mean().item()
    active = int(active_units(vae, held_out).sum())
    table = {"rate": rate, "distortion": distortion, "elbo": -rate - distortion}
    return vae, table | {"active_units": active}


SETTINGS = {
    **{"latent_dim": 3, "hidden": [20, 10], "sigma2": 0.1, "images": 500},
    **{"epochs": 2, "beta": 2.0, "warmup": 1, "seed": 3},
}


def test_a_run_trains_and_scores_as_the_lines_do_that_it_stands_for(by_hand, tmp_path):
    vae, expected = by_hand
    path = tmp_path / "vae.safetensors"
    assert train_vae(SETTINGS | {"weights": str(path)}) == expected
    assert same(weights(load_vae(path)), weights(vae))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("beta", 3.0), ("warmup", 2), ("seed", 4), ("epochs", 1), ("images", 400)),
        *(("latent_dim", 2), ("hidden", [20, 11]), ("sigma2", 0.2)),
    ],
)
def test_every_setting_counts(by_hand, name, value):
    assert train_vae(SETTINGS | {name: value}) != by_hand[1]


def test_the_defaults_are_the_book_s_network_and_training(monkeypatch):
    calls = []

    def look(vae, images, **settings):
        calls.append((vae, len(images), settings))
        raise ZeroDivisionError  # the rest takes a minute

    monkeypatch.setattr("vae_helpers.experiment.fit", look)
    with pytest.raises(ZeroDivisionError):
        train_vae({})
    ((vae, count, settings),) = calls
    torch.manual_seed(0)
    assert same(weights(vae), weights(VAE(4, (64, 32), sigma2=0.5)))
    assert count == 60_000
    expected = {"epochs": 50, "beta": 1.0, "warmup": 0, "seed": 0, "progress": False}
    assert settings == expected


def test_a_run_neither_reads_nor_moves_the_global_generator():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = train_vae(SHORT)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert train_vae(SHORT) == first


def test_runs_in_one_process_do_not_draw_each_other_s_first_weights(monkeypatch):
    configs = [SHORT | {"seed": seed} for seed in range(2)]
    alone = [train_vae(config) for config in configs]
    original = torch.manual_seed

    def seed_and_wait(seed):  # as a thread may be made to, at the worst of moments
        original(seed)
        time.sleep(0.3)

    monkeypatch.setattr(torch, "manual_seed", seed_and_wait)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(train_vae, configs)) == alone


def test_runs_are_the_same_bit_for_bit_alone_in_two_processes_and_in_two_threads(tmp_path):
    configs = [SHORT | {"seed": seed} for seed in range(4)]
    options = {"run": train_vae, "progress": False}
    alone = sweep(configs, folder=tmp_path / "alone", n_jobs=1, **options)
    beside = sweep(configs, folder=tmp_path / "beside", n_jobs=2, **options)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        threads = sweep(configs, folder=tmp_path / "threads", **options)
    assert alone == beside == threads
    assert len({run.scores["elbo"] for run in alone}) == 4


def test_ctrl_c_in_the_training_leaves_no_score_and_no_weights(monkeypatch, tmp_path):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train_epoch", interrupt)
    path = tmp_path / "vae.safetensors"
    with (
        pytest.warns(UserWarning, match="interrupted in epoch 1"),
        pytest.raises(KeyboardInterrupt),
    ):
        train_vae(SHORT | {"weights": str(path)})
    assert not path.exists()


# What is refused


def test_a_setting_of_another_name_is_refused():
    with pytest.raises(
        ValueError, match=r"set by beta, .*; found betta, lr\. Correct the spelling"
    ):
        train_vae(SHORT | {"lr": 1, "betta": 1})


@pytest.mark.parametrize("images", [0, -1, 60_001, 1.0, "2", True, None])
def test_a_number_of_images_that_mnist_does_not_have_is_refused(images):
    with pytest.raises(ValueError, match=r"from 1 to 60,000; found .*\. Leave it out for all"):
        train_vae({"images": images})


def test_weights_in_a_folder_that_is_missing_are_refused_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_helpers.experiment.fit", None)
    with pytest.raises(ValueError, match=r"in a folder that exists; found .*\. Make the folder"):
        train_vae(SHORT | {"weights": str(tmp_path / "no" / "vae.safetensors")})


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"device must be one that .* found 'cuda:99'"):
        train_vae(SHORT | {"device": "cuda:99"})


def test_a_sweep_runs_on_every_device_that_there_is_and_they_agree(tmp_path):
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    configs = [SHORT | {"device": device} for device in devices]
    rows = sweep(configs, run=train_vae, folder=tmp_path, n_jobs=2, progress=False)
    assert [row.config["device"] for row in rows] == devices
    # The devices draw other noise; after one epoch of three steps the scores hardly depend on it.
    assert all(
        row.scores["elbo"] == pytest.approx(rows[0].scores["elbo"], rel=0.02) for row in rows
    )
