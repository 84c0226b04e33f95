"""Claims about `fit`: what it learns and measures, and that no accident loses a run."""

import json
import math
import signal
import time
import warnings

import pytest
import torch
from safetensors import safe_open
from torch import nn

from vae_helpers import training
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.data import binarize
from vae_helpers.evaluation import score
from vae_helpers.networks import VAE
from vae_helpers.objectives import elbo, elbo_terms, importance_weighted_bound
from vae_helpers.training import fit

IMAGES = torch.rand(50, 6, generator=torch.Generator().manual_seed(0)).round()
HELD_OUT = torch.rand(20, 6, generator=torch.Generator().manual_seed(1)).round()
LABELS = torch.arange(50) % 3


def small_vae(seed: int = 0, **sizes) -> VAE:
    torch.manual_seed(seed)
    return VAE(**({"latent_dim": 2, "hidden": (8, 5), "pixels": 6} | sizes))


def labelled_vae() -> ConditionalVAE:
    torch.manual_seed(0)
    return ConditionalVAE(2, (8,), classes=3, pixels=6)


def frozen_vae() -> VAE:
    vae = small_vae()
    vae.decoder.requires_grad_(False)
    return vae


def altered_vae() -> VAE:
    vae = small_vae()
    vae.decoder.layers[0] = nn.Linear(2, 5, bias=False)
    return vae


def held_out(vae: VAE) -> dict[str, float]:
    return {"held_out": score(vae, HELD_OUT).elbo.mean().item()}


def train(vae: VAE, **options) -> dict[str, list[float]]:
    """Fit quickly, with any of the settings replaced."""
    defaults = {"epochs": 3, "batch_size": 20, "lr": 0.01, "progress": False}
    return fit(vae, options.pop("images", IMAGES), **(defaults | options))


def weights(vae: VAE) -> list[torch.Tensor]:
    return [value.clone() for value in vae.state_dict().values()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def saved_history(path) -> dict[str, list[float]]:
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith("history.")]  # noqa: SIM118
        return {name.removeprefix("history."): file.get_tensor(name).tolist() for name in names}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


# Learning


def test_the_elbo_rises_above_that_of_every_model_that_ignores_z():
    two_patterns = torch.eye(2).repeat_interleave(3, dim=1).repeat(25, 1)  # (50, 6)
    history = train(small_vae(sigma2=0.05), images=two_patterns, epochs=60)
    # Without z the best image is grey: −6·0.25 / (2·0.05) − 3 log(2π·0.05) = −11.5 nats. With z
    # it can come near 3.5 − log 2 = 2.8, and this run reaches 1.7.
    assert history["elbo"][0] < -11
    assert history["elbo"][-1] > 0


def test_a_run_repeats_bit_for_bit_under_one_seed_and_differs_under_another():
    vaes = [small_vae() for _ in range(3)]
    histories = [train(vae, seed=s) for vae, s in zip(vaes, (1, 1, 2), strict=True)]
    assert histories[0] == histories[1] != histories[2]
    assert same(weights(vaes[0]), weights(vaes[1]))
    assert not same(weights(vaes[0]), weights(vaes[2]))


def test_a_run_neither_reads_nor_moves_the_global_generator_and_leaves_the_images():
    vaes, images = [small_vae() for _ in range(2)], IMAGES.clone()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = train(vaes[0], images=images, draw=binarize)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert train(vaes[1], images=images, draw=binarize) == first
    assert torch.equal(images, IMAGES)


def bound(vae, x, y, g, epoch):
    return importance_weighted_bound(vae, x, k=4, generator=g)


STEPS = {  # the model, the options of fit, and the objective of a batch by hand
    "the ELBO": (small_vae, {}, lambda vae, x, y, g, epoch: elbo(vae, x, generator=g)),
    "a frozen decoder": (frozen_vae, {}, None),
    "a layer of another kind": (altered_vae, {}, None),
    "labels": (
        labelled_vae,
        {"labels": LABELS},
        lambda vae, x, y, g, epoch: elbo(vae.given(y), x, generator=g),
    ),
    "a beta": (
        small_vae,
        {"beta": 3.0},
        lambda vae, x, y, g, epoch: elbo(vae, x, beta=3.0, generator=g),
    ),
    "a warmup": (
        small_vae,
        {"beta": 3.0, "warmup": 2},
        lambda vae, x, y, g, epoch: elbo(vae, x, beta=[0.0, 1.5, 3.0, 3.0][epoch], generator=g),
    ),
    "images drawn anew": (
        small_vae,
        {"images": 0.9 * IMAGES, "draw": binarize},
        lambda vae, x, y, g, epoch: elbo(vae, binarize(0.9 * x, generator=g), generator=g),
    ),
    "K samples": (lambda: small_vae(sigma2=None), {"k": 4}, bound),
    "K samples, grey": (small_vae, {"k": 4}, bound),
    "a schedule": (small_vae, {"lr": lambda epoch: 0.01 / (1 + epoch)}, None),
    "another optimizer": (small_vae, {"optimizer": torch.optim.SGD}, None),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_steps_are_those_of_the_plain_loop(name):
    make, options, objective = STEPS[name]
    vae, by_hand = make(), make()
    history = train(vae, epochs=4, seed=4, **options)
    objective = objective or STEPS["the ELBO"][2]
    kind = options.get("optimizer", torch.optim.Adam)
    optimizer = kind(by_hand.parameters(), lr=0.01)
    g = torch.Generator().manual_seed(4)
    for epoch in range(4):
        if callable(rate := options.get("lr")):
            optimizer.param_groups[0]["lr"] = rate(epoch)
        bounds = []
        for batch in torch.randperm(50, generator=g).split(20):
            optimizer.zero_grad()
            bounds.append(objective(by_hand, IMAGES[batch], LABELS[batch], g, epoch))
            (-bounds[-1].mean()).backward()
            optimizer.step()
    # One vector of weights rounds the end of small tensors otherwise, and so does the gradient.
    for ours, theirs in zip(weights(vae), weights(by_hand), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    if "beta" not in options:
        mean = torch.cat(bounds).mean().item()
        assert history["elbo"][-1] == pytest.approx(mean, rel=1e-4)


# Measuring


def test_history_has_one_number_an_epoch_and_the_elbo_is_that_of_its_terms():
    history = train(small_vae(), epochs=4, beta=2.0, measure=held_out)
    assert sorted(history) == ["elbo", "held_out", "kl", "log_likelihood"]
    assert all(isinstance(value, float) for values in history.values() for value in values)
    terms = zip(history["log_likelihood"], history["kl"], strict=True)
    assert history["elbo"] == [log_likelihood - kl for log_likelihood, kl in terms]
    assert len(history["elbo"]) == 4
    assert sorted(train(small_vae(sigma2=None), k=3)) == ["elbo"]


@pytest.mark.parametrize("batch_size", [1, 7, 50, 1000])
def test_averages_are_over_images_whatever_the_last_batch_holds(batch_size):
    vae = small_vae()
    # So small a step moves no weight far enough to be seen: at 1e-12 a weight of size 0.1
    # keeps all its float32 digits. The KL has no noise, so its mean over images is known.
    history = train(vae, epochs=1, batch_size=batch_size, lr=1e-12)
    kl = elbo_terms(vae, IMAGES).kl.mean().item()
    assert history["kl"][0] == pytest.approx(kl, rel=1e-5)  # float32, summed in another order


def test_what_is_measured_is_of_the_weights_after_the_epoch_and_changes_no_step():
    plain, measured = small_vae(), small_vae()
    history = train(measured, measure=held_out)
    assert train(plain)["elbo"] == history["elbo"]
    assert same(weights(plain), weights(measured))
    assert history["held_out"][-1] == held_out(measured)["held_out"]


# Stopping and going on


@pytest.mark.parametrize("options", [{}, {"measure": held_out}, {"draw": binarize, "k": 2}])
def test_a_run_in_two_parts_is_the_run_in_one(path, options):
    whole, parts, fresh = (small_vae(seed, sigma2=None) for seed in (0, 0, 9))
    expected = train(whole, epochs=6, **options)
    train(parts, epochs=2, checkpoint=path, **options)
    assert train(fresh, epochs=6, checkpoint=str(path), resume=True, **options) == expected
    assert same(weights(fresh), weights(whole))
    before = path.read_bytes()  # a finished run is returned as it is
    assert train(small_vae(9, sigma2=None), epochs=6, checkpoint=path, resume=True, **options)
    assert path.read_bytes() == before


# A run over these same images that goes on until it is stopped from outside.
ENDLESS = """
    import json, signal, sys, warnings
    import torch
    from vae_helpers import VAE, fit

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have it ignored
    warnings.simplefilter("default")
    images = torch.rand(50, 6, generator=torch.Generator().manual_seed(0)).round()
    torch.manual_seed(0)
    vae = VAE(2, (8, 5), pixels=6)
    history = fit(
        vae, images, epochs=10**9, batch_size=20, lr=0.01, checkpoint=sys.argv[1], progress=False
    )
    print(json.dumps(history))
"""


@pytest.fixture
def stopped(python, path):
    """Start the endless run, stop it by a signal; return its return code and what it printed."""

    def run_and_stop(number: int) -> tuple[int, str, str]:
        with python(ENDLESS, path) as process:
            deadline = time.monotonic() + 60
            while not path.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        assert path.exists(), err
        return process.returncode, out, err

    return run_and_stop


def test_a_killed_run_resumes_to_bit_identical_weights(stopped, path):
    code, out, _ = stopped(signal.SIGKILL)
    assert (code, out) == (-signal.SIGKILL, "")
    epochs = len(saved_history(path)["kl"]) + 3
    resumed, whole = small_vae(seed=9), small_vae()
    history = train(resumed, epochs=epochs, checkpoint=path, resume=True)
    assert history == train(whole, epochs=epochs)
    assert same(weights(resumed), weights(whole))


def test_ctrl_c_returns_the_finished_epochs_and_the_run_can_go_on(stopped, path):
    code, out, err = stopped(signal.SIGINT)
    assert code == 0, err
    history = json.loads(out)
    epochs = len(history["kl"])
    assert f"interrupted in epoch {epochs + 1}: the history of {epochs} finished epochs" in err
    # The signal may come in the instant between the file's replacement and the next line.
    saved = saved_history(path)
    assert {name: values[:epochs] for name, values in saved.items()} == history
    assert 1 <= epochs <= len(saved["kl"]) <= epochs + 1
    resumed, whole = small_vae(), small_vae()
    train(resumed, epochs=epochs + 2, checkpoint=path, resume=True)
    train(whole, epochs=epochs + 2)
    assert same(weights(resumed), weights(whole))


@pytest.mark.parametrize("where", ["train_epoch", "measure", "save"])
def test_ctrl_c_in_the_second_epoch_leaves_history_and_checkpoint_of_the_first(
    path, monkeypatch, where
):
    expected = train(small_vae(), epochs=1, measure=held_out)
    calls = []

    def interrupted(original):
        def call(*args, **kwargs):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return original(*args, **kwargs)

        return call

    measure = held_out
    if where == "measure":
        measure = interrupted(held_out)
    elif where == "save":
        save = interrupted(training.Checkpoint.save)
        monkeypatch.setattr(training.Checkpoint, "save", lambda *args: save(*args))
    else:
        monkeypatch.setattr(training, where, interrupted(training.train_epoch))
    with pytest.warns(UserWarning, match="interrupted in epoch 2: the history of 1 finished"):
        history = train(small_vae(), measure=measure, checkpoint=path)
    assert history == expected == saved_history(path)


# Losses that turn NaN, disks that are full


def poison_after(monkeypatch, vae: VAE, steps: int) -> None:
    """Put a NaN into the weights before the step after these."""
    original, calls = training.gradient_of, []

    def poisoned(*args, **kwargs):
        gradient = original(*args, **kwargs)

        def counted(*batch):
            calls.append(1)
            if len(calls) > steps:
                vae.decoder.layers[0].bias.data[0] = math.nan
            return gradient(*batch)

        return counted

    monkeypatch.setattr(training, "gradient_of", poisoned)


def test_a_loss_that_turns_nan_stops_the_run_and_keeps_the_last_good_checkpoint(
    path, tmp_path, monkeypatch
):
    good = tmp_path / "good.safetensors"
    train(small_vae(), epochs=2, checkpoint=good)
    vae = small_vae()
    poison_after(monkeypatch, vae, steps=2 * 3 + 1)  # three steps an epoch
    message = r"not finite in step 2 of epoch 3; .* of epoch 2, is kept in .*run.*\. Expected a fin"
    with pytest.raises(FloatingPointError, match=message):
        train(vae, epochs=5, checkpoint=path)
    assert path.read_bytes() == good.read_bytes()


def test_a_loss_that_turns_nan_at_once_leaves_no_checkpoint(path, monkeypatch):
    message = r"in step 1 of epoch 1; .*there is no checkpoint\. .*lower lr"
    for checkpoint in (path, None):
        vae = small_vae()
        poison_after(monkeypatch, vae, steps=0)
        with pytest.raises(FloatingPointError, match=message):
            train(vae, checkpoint=checkpoint)
    assert list(path.parent.iterdir()) == []


def test_weights_that_turn_nan_in_the_last_step_of_an_epoch_are_not_saved(path, monkeypatch):
    vae = small_vae()
    step = torch.optim.Adam.step

    def last_step(self, *args, **kwargs):
        step(self, *args, **kwargs)
        vae.decoder.layers[0].bias.data[0] = math.nan

    monkeypatch.setattr(torch.optim.Adam, "step", last_step)
    with pytest.raises(FloatingPointError, match="a weight is not finite of epoch 1"):
        train(vae, batch_size=50, checkpoint=path)
    assert not path.exists()


def test_a_full_disk_stops_the_run_and_keeps_the_old_checkpoint(path, full_disk):
    train(small_vae(), epochs=2, checkpoint=path)
    before = path.read_bytes()
    with full_disk(), pytest.raises(OSError, match="cannot write the file") as error:
        train(small_vae(), epochs=4, checkpoint=path, resume=True)
    assert error.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# What is refused before anything happens

REFUSED = [
    ({"epochs": 0}, "epochs must be a whole number of at least 1; found 0"),
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1; found 0"),
    ({"warmup": -1}, "warmup must be a whole number of at least 0; found -1"),
    ({"vae": lambda: small_vae(sigma2=None), "k": 0}, "k must be a whole number .*; found 0"),
    ({"lr": 0}, "lr must be positive and finite; found 0"),
    ({"beta": -1.0}, "beta must be at least 0 and finite; found -1"),
    ({"resume": True}, r"needs a file .* found checkpoint=None\. Pass the path"),
    ({"checkpoint": "no/run"}, "in a folder that exists; found no/run. Make the folder"),
    ({"images": IMAGES[:, :5]}, r"shape \(B, 6\) .*found \(50, 5\)\. Make VAE\(pixels=5\)"),
    ({"images": 0.9 * IMAGES[:, :5], "draw": binarize}, r"shape \(B, 6\) .*found \(1, 5\)"),
    ({"images": 255 * IMAGES, "draw": lambda x, generator: x / 255}, "finite values in"),
    ({"labels": LABELS}, "a VAE is trained with no labels; found labels"),
    ({"vae": labelled_vae}, "a ConditionalVAE is trained with labels; found none"),
    ({"vae": labelled_vae, "labels": LABELS[:9]}, "found 9 for 50 images"),
    ({"vae": labelled_vae, "labels": LABELS + 1}, "labels must lie in 0 to 2; found 1 to 3"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_is_changed(tmp_path, options, message):
    options = dict(options)
    vae = options.pop("vae", small_vae)()
    before = weights(vae)
    with pytest.raises(ValueError, match=message):
        train(vae, **options)
    assert same(weights(vae), before)


def refused(path, error, match, vae=None, **options) -> None:
    """Claim that the run is refused, and that neither the file nor the model is changed."""
    vae = vae or small_vae(seed=9)
    file, before = path.read_bytes(), weights(vae)
    with pytest.raises(error, match=match):
        train(vae, checkpoint=path, **options)
    assert path.read_bytes() == file
    assert same(weights(vae), before)
    assert list(path.parent.iterdir()) == [path]


OTHER = {"batch_size": 10, "lr": 0.02, "beta": 2.0, "warmup": 1, "seed": 1, "k": 2}


@pytest.mark.parametrize("name", ["images", *OTHER])
def test_a_checkpoint_of_another_recipe_is_refused(path, name):
    train(small_vae(), checkpoint=path)
    message = rf"another run: expected {name}.* = .*, found .*\. Pass what the"
    other = OTHER | {"images": 1 - IMAGES}
    refused(path, ValueError, message, resume=True, **{name: other[name]})


def test_a_run_does_not_go_on_with_other_labels_other_weights_frozen_or_other_precision(path):
    train(labelled_vae(), labels=LABELS, checkpoint=path, epochs=1)
    options = {"vae": labelled_vae(), "labels": LABELS.flip(0), "resume": True}
    refused(path, ValueError, "another run.*labels_crc32", **options)
    frozen = labelled_vae()
    frozen.decoder.requires_grad_(False)
    options = {"vae": frozen, "labels": LABELS, "resume": True}
    refused(path, ValueError, "another run.*trained", **options)
    double = {"vae": labelled_vae().double(), "images": IMAGES.double(), "labels": LABELS}
    refused(path, ValueError, "another run.*images_crc32", resume=True, **double)


def test_a_run_does_not_go_on_with_another_measure(path):
    train(small_vae(), checkpoint=path, epochs=1, measure=held_out)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"holds elbo, held_out, kl, .*; found a run that"):
        train(small_vae(), checkpoint=path, resume=True)
    assert path.read_bytes() == before


def test_a_file_that_is_no_checkpoint_of_this_run_is_refused(path):
    train(small_vae(), checkpoint=path)
    refused(path, FileExistsError, r"exists; expected a new checkpoint\. Go on .* resume=True")
    message = r"expected at most 2; found 3\. Ask for more epochs"
    refused(path, ValueError, message, resume=True, epochs=2)
    for sizes, found in [
        ({"latent_dim": 3}, "expected latent_dim = 3, found 2"),
        ({"hidden": (8, 6)}, r"expected hidden = \[8, 6\], found \[8, 5\]"),
        ({"sigma2": 1.0}, "expected sigma2 = 1.0, found 0.5"),
    ]:
        vae = small_vae(**sizes)
        refused(path, ValueError, f"another run: {found}", vae=vae, resume=True)
    path.write_bytes(b"somebody's letter")
    refused(path, ValueError, "expected a checkpoint file of safetensors", resume=True)


# The bar


@pytest.mark.parametrize(("progress", "hidden"), [(True, ""), (False, ""), (True, "1")])
def test_the_bar_shows_only_where_nobody_hides_it(capsys, monkeypatch, progress, hidden):
    monkeypatch.setenv("TQDM_DISABLE", hidden)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(small_vae(), progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    shown = progress and not hidden
    assert ("Training: 100%" in err and "3/3" in err and "nats" in err) is shown
    assert bool(err) is shown
