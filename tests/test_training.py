"""Claims about `fit`: what it learns and measures, and that no accident loses a run."""

import dataclasses
import json
import math
import signal
import time
import warnings

import pytest
import torch
from safetensors import safe_open

from vae_helpers import training
from vae_helpers.conditional import ConditionalVAE
from vae_helpers.networks import VAE
from vae_helpers.objectives import elbo
from vae_helpers.training import History, fit

IMAGES = torch.rand(50, 6, generator=torch.Generator().manual_seed(0)).round()
HELD_OUT = torch.rand(20, 6, generator=torch.Generator().manual_seed(1)).round()


def small_vae(seed: int = 0, **sizes) -> VAE:
    torch.manual_seed(seed)
    return VAE(**({"latent_dim": 2, "hidden": (8, 5), "pixels": 6} | sizes))


def train(vae: VAE, **options) -> History:
    """Fit quickly, with any of the settings replaced."""
    defaults = {"epochs": 3, "batch_size": 20, "lr": 0.01, "progress": False}
    return fit(vae, options.pop("images", IMAGES), **(defaults | options))


def weights(vae: VAE) -> list[torch.Tensor]:
    return [value.clone() for value in vae.state_dict().values()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def close(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    """Equal but for the last bit: Adam on one vector rounds the end of small tensors otherwise."""
    return all(torch.allclose(x, y, rtol=1e-5, atol=1e-7) for x, y in zip(a, b, strict=True))


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
    assert history.elbo[0] < -11
    assert history.elbo[-1] > 0


def test_a_run_repeats_bit_for_bit_under_one_seed_and_differs_under_another():
    vaes = [small_vae() for _ in range(3)]
    histories = [train(vae, seed=s) for vae, s in zip(vaes, (1, 1, 2), strict=True)]
    assert histories[0] == histories[1] != histories[2]
    assert same(weights(vaes[0]), weights(vaes[1]))
    assert not same(weights(vaes[0]), weights(vaes[2]))


def test_a_run_neither_reads_nor_moves_the_global_generator():
    vaes = [small_vae() for _ in range(2)]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = train(vaes[0], validation=HELD_OUT)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert train(vaes[1], validation=HELD_OUT) == first


def test_the_steps_are_those_of_adam_on_the_mean_elbo_of_shuffled_batches():
    vae, by_hand = small_vae(), small_vae()
    train(vae, epochs=2, seed=4)
    adam = torch.optim.Adam(by_hand.parameters(), lr=0.01, fused=True)
    g = torch.Generator().manual_seed(4)
    for _ in range(2):
        for batch in torch.randperm(50, generator=g).split(20):
            adam.zero_grad()
            (-elbo(by_hand, IMAGES[batch], generator=g).elbo.mean()).backward()
            adam.step()
    assert close(weights(vae), weights(by_hand))


def test_beta_weighs_the_kl_and_a_warmup_raises_it_from_zero_in_equal_steps():
    vae, by_hand = small_vae(), small_vae()
    train(vae, epochs=4, beta=3.0, warmup=2, batch_size=50)
    adam = torch.optim.Adam(by_hand.parameters(), lr=0.01, fused=True)
    g = torch.Generator().manual_seed(0)
    for beta in [0.0, 1.5, 3.0, 3.0]:
        (batch,) = torch.randperm(50, generator=g).split(50)
        adam.zero_grad()
        (-elbo(by_hand, IMAGES[batch], beta=beta, generator=g).elbo.mean()).backward()
        adam.step()
    assert close(weights(vae), weights(by_hand))


def test_a_larger_beta_ends_with_a_smaller_rate():
    rates = [train(small_vae(), epochs=30, beta=beta).kl[-1] for beta in (0.1, 1.0, 10.0)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 2 * rates[2]


def test_validation_is_scored_with_the_elbo_itself_whatever_beta():
    vae = small_vae()
    history = train(vae, epochs=1, beta=7.0, validation=HELD_OUT)
    scores = elbo(vae, HELD_OUT, generator=torch.Generator().manual_seed(0))
    assert history.validation_kl == [scores.kl.mean().item()]
    assert history.validation_elbo[0] == pytest.approx(scores.elbo.mean().item())


@pytest.mark.parametrize(("name", "value"), [("beta", 2.0), ("warmup", 1)])
def test_a_run_does_not_go_on_under_another_weight(path, name, value):
    train(small_vae(), checkpoint=path, epochs=1)
    with pytest.raises(ValueError, match=f"another recipe.*{name} = {value}, found"):
        train(small_vae(), checkpoint=path, resume=True, **{name: value})


@pytest.mark.parametrize("beta", [-1.0, math.inf, math.nan])
def test_a_weight_that_is_negative_or_not_finite_is_refused(beta):
    with pytest.raises(ValueError, match="beta must be finite and not negative"):
        train(small_vae(), beta=beta)


@pytest.mark.parametrize("warmup", [-1, 1.5, True, None])
def test_a_warmup_that_is_no_number_of_epochs_is_refused(warmup):
    with pytest.raises(ValueError, match="warmup must be a whole number of epochs"):
        train(small_vae(), warmup=warmup)


# Labels

LABELS = torch.arange(50) % 3


def labelled_vae() -> ConditionalVAE:
    torch.manual_seed(0)
    return ConditionalVAE(2, (8,), classes=3, pixels=6)


def test_a_labelled_run_takes_the_steps_of_the_elbo_given_the_labels():
    vae, by_hand = labelled_vae(), labelled_vae()
    train(vae, labels=LABELS, epochs=2)
    adam = torch.optim.Adam(by_hand.parameters(), lr=0.01, fused=True)
    g = torch.Generator().manual_seed(0)
    for _ in range(2):
        for batch in torch.randperm(50, generator=g).split(20):
            adam.zero_grad()
            given = by_hand.given(LABELS[batch])
            (-elbo(given, IMAGES[batch], generator=g).elbo.mean()).backward()
            adam.step()
    assert close(weights(vae), weights(by_hand))


def test_a_labelled_run_resumes_and_not_with_other_labels(path):
    whole = labelled_vae()
    train(whole, labels=LABELS, epochs=3)
    parts = labelled_vae()
    train(parts, labels=LABELS, epochs=1, checkpoint=path)
    with pytest.raises(ValueError, match=r"another recipe.*labels_crc32"):
        train(labelled_vae(), labels=LABELS.flip(0), checkpoint=path, resume=True)
    parts = labelled_vae()
    train(parts, labels=LABELS, epochs=3, checkpoint=path, resume=True)
    assert same(weights(parts), weights(whole))


def test_validation_labels_belong_to_the_validation_images():
    vae = labelled_vae()
    history = train(
        vae, labels=LABELS, validation=HELD_OUT, validation_labels=LABELS[:20], epochs=1
    )
    g = torch.Generator().manual_seed(0)
    expected = elbo(vae.given(LABELS[:20]), HELD_OUT, generator=g).kl.mean().item()
    assert history.validation_kl == [expected]


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (small_vae, {"labels": LABELS}, "a VAE is trained with no labels; found labels"),
        (labelled_vae, {}, "a ConditionalVAE is trained with labels; found none"),
        (labelled_vae, {"labels": LABELS[:9]}, "found 9 labels for 50 images"),
        (labelled_vae, {"labels": LABELS + 1}, "labels must lie in 0 to 2; found 1 to 3"),
        (
            labelled_vae,
            {"labels": LABELS, "validation": HELD_OUT},
            "a ConditionalVAE is trained with labels; found none",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused_and_nothing_is_changed(model, options, message):
    vae = model()
    before = weights(vae)
    with pytest.raises(ValueError, match=message):
        train(vae, **options)
    assert same(weights(vae), before)


def test_the_images_are_not_changed():
    images = IMAGES.clone()
    train(small_vae(), images=images, validation=images)
    assert torch.equal(images, IMAGES)


# Measuring


def test_history_has_one_number_an_epoch():
    history = train(small_vae(), epochs=4, validation=HELD_OUT)
    assert history.epochs == 4
    lists = [*dataclasses.asdict(history).values(), history.elbo, history.validation_elbo]
    assert [len(values) for values in lists] == [4] * 6
    assert all(isinstance(value, float) for values in lists for value in values)


def test_history_holds_no_validation_where_none_was_given():
    history = train(small_vae())
    assert history.validation_elbo == history.validation_kl == []


def test_elbo_is_log_likelihood_minus_kl():
    history = train(small_vae(), validation=HELD_OUT)
    pairs = zip(history.log_likelihood, history.kl, strict=True)
    assert history.elbo == [a - b for a, b in pairs]
    pairs = zip(history.validation_log_likelihood, history.validation_kl, strict=True)
    assert history.validation_elbo == [a - b for a, b in pairs]


@pytest.mark.parametrize("batch_size", [1, 7, 20, 50, 1000])
def test_averages_are_over_images_whatever_the_last_batch_holds(batch_size):
    vae = small_vae()
    # So small a step moves no weight far enough to be seen: at 1e-12 a weight of size 0.1
    # keeps all its float32 digits. The KL has no noise, so its mean over images is known.
    history = train(vae, epochs=1, batch_size=batch_size, lr=1e-12)
    kl = elbo(vae, IMAGES).kl.mean().item()
    assert history.kl[0] == pytest.approx(kl, rel=1e-5)  # float32, summed in another order


def test_the_log_likelihood_is_averaged_over_images_too():
    vae = small_vae()
    history = train(vae, epochs=1, batch_size=20, lr=1e-12, seed=3)
    g = torch.Generator().manual_seed(3)
    batches = torch.randperm(50, generator=g).split(20)
    parts = torch.cat([elbo(vae, IMAGES[b], generator=g).log_likelihood for b in batches])
    assert len(parts) == 50
    assert history.log_likelihood[0] == pytest.approx(parts.mean().item(), rel=1e-5)  # as above


def test_validation_changes_nothing_in_the_training():
    vaes = [small_vae() for _ in range(2)]
    histories = [train(vaes[0]), train(vaes[1], validation=HELD_OUT)]
    assert histories[0].elbo == histories[1].elbo
    assert same(weights(vaes[0]), weights(vaes[1]))


def test_validation_scores_the_weights_after_the_epoch_with_the_same_noise_each_time():
    vae = small_vae()
    history = train(vae, validation=HELD_OUT, seed=5)
    score = elbo(vae, HELD_OUT, generator=torch.Generator().manual_seed(5))
    assert history.validation_kl[-1] == score.kl.mean().item()
    assert history.validation_log_likelihood[-1] == score.log_likelihood.mean().item()
    still = train(small_vae(), validation=HELD_OUT, lr=1e-12)
    assert len(set(still.validation_elbo)) == 1


# Checkpoints: stopping and going on


@pytest.mark.parametrize("validation", [None, HELD_OUT])
def test_a_run_in_two_parts_is_the_run_in_one(path, validation):
    whole, parts = small_vae(), small_vae()
    expected = train(whole, epochs=6, validation=validation)
    train(parts, epochs=2, validation=validation, checkpoint=path)
    fresh = small_vae(seed=9)  # whose weights the checkpoint must replace
    assert train(fresh, epochs=6, validation=validation, checkpoint=path, resume=True) == expected
    assert same(weights(fresh), weights(whole))


def test_a_checkpoint_changes_nothing_in_the_run(path):
    vaes = [small_vae() for _ in range(2)]
    assert train(vaes[0]) == train(vaes[1], checkpoint=str(path))
    assert same(weights(vaes[0]), weights(vaes[1]))


def test_a_finished_run_is_returned_as_it_is(path):
    vae = small_vae()
    history = train(vae, checkpoint=path)
    before = path.read_bytes()
    fresh = small_vae(seed=9)
    assert train(fresh, checkpoint=path, resume=True) == history
    assert same(weights(fresh), weights(vae))
    assert path.read_bytes() == before


def test_resume_without_a_file_starts_the_run(path):
    assert train(small_vae(), checkpoint=path, resume=True) == train(small_vae())
    assert len(saved_history(path)["kl"]) == 3


# A run over these same images that goes on until it is stopped from outside.
ENDLESS = """
    import dataclasses, json, signal, sys, warnings
    import torch
    from vae_helpers.networks import VAE
    from vae_helpers.training import fit

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have it ignored
    warnings.simplefilter("default")
    images = torch.rand(50, 6, generator=torch.Generator().manual_seed(0)).round()
    torch.manual_seed(0)
    vae = VAE(2, (8, 5), pixels=6)
    history = fit(
        vae, images, epochs=10**9, batch_size=20, lr=0.01, checkpoint=sys.argv[1], progress=False
    )
    print(json.dumps(dataclasses.asdict(history)))
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
    assert history.epochs == epochs
    assert same(weights(resumed), weights(whole))


def test_ctrl_c_returns_the_finished_epochs_and_the_run_can_go_on(stopped, path):
    code, out, err = stopped(signal.SIGINT)
    assert code == 0, err
    history = json.loads(out)
    epochs = len(history["kl"])
    assert epochs >= 1
    assert f"interrupted in epoch {epochs + 1}: the history of {epochs} finished epochs" in err
    # The signal may come in the instant between the file's replacement and the next line.
    saved = saved_history(path)
    assert {name: values[:epochs] for name, values in saved.items()} == history
    assert len(saved["kl"]) <= epochs + 1
    resumed, whole = small_vae(), small_vae()
    train(resumed, epochs=epochs + 2, checkpoint=path, resume=True)
    train(whole, epochs=epochs + 2)
    assert same(weights(resumed), weights(whole))


@pytest.mark.parametrize("where", ["_train_epoch", "score", "save_checkpoint"])
def test_ctrl_c_in_the_second_epoch_leaves_history_and_checkpoint_of_the_first(
    path, monkeypatch, where
):
    expected = train(small_vae(), epochs=1, validation=HELD_OUT)
    original, calls = getattr(training, where), []

    def interrupt(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(training, where, interrupt)
    with pytest.warns(UserWarning, match="interrupted in epoch 2: the history of 1 finished"):
        history = train(small_vae(), validation=HELD_OUT, checkpoint=path)
    assert history == expected
    assert len(history.validation_elbo) == 1
    assert saved_history(path) == dataclasses.asdict(expected)


# Checkpoints that do not fit. What was there stays, and so does the model.


def refused(path, error, match, vae=None, **options) -> None:
    """Claim that the run is refused, and that neither the file nor the model is changed."""
    vae = vae or small_vae(seed=9)
    file, before = path.read_bytes(), weights(vae)
    with pytest.raises(error, match=match):
        train(vae, checkpoint=path, **options)
    assert path.read_bytes() == file
    assert same(weights(vae), before)
    assert list(path.parent.iterdir()) == [path]


def test_an_existing_file_is_not_overwritten_without_resume(path):
    train(small_vae(), checkpoint=path)
    refused(path, FileExistsError, r"earlier run\. Go on with resume=True, or delete it")
    path.write_bytes(b"somebody's letter")
    refused(path, FileExistsError, "resume=True")


def test_a_checkpoint_of_another_architecture_is_refused(path):
    train(small_vae(), checkpoint=path)
    for sizes, message in [
        ({"latent_dim": 3}, "expected latent_dim = 3, found 2"),
        ({"hidden": (8, 6)}, r"expected hidden = \[8, 6\], found \[8, 5\]"),
        ({"sigma2": 1.0}, "expected sigma2 = 1.0, found 0.5"),
    ]:
        vae = small_vae(**sizes)
        refused(path, ValueError, f"another architecture: {message}", vae=vae, resume=True)


@pytest.mark.parametrize(
    "other",
    [
        {"images": IMAGES[:40]},
        {"images": 1 - IMAGES},
        {"validation": HELD_OUT},
        {"batch_size": 10},
        {"lr": 0.02},
        {"seed": 1},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_checkpoint_of_another_recipe_is_refused(path, other):
    train(small_vae(), checkpoint=path)
    name = next(iter(other))
    message = rf"another recipe: expected .*{name}.* = .*, found .*\. Pass what the file was made"
    refused(path, ValueError, message, resume=True, **other)


def test_a_checkpoint_cut_short_is_refused(path):
    train(small_vae(), checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, ValueError, r"cut short .* expected .* found .* bytes .*\. Delete", resume=True)


def test_a_file_of_another_kind_is_refused(path):
    path.write_bytes(b"somebody's letter")
    refused(path, ValueError, r"expected a safetensors file of checkpoint; found", resume=True)


def test_a_checkpoint_past_the_epochs_asked_for_is_refused(path):
    train(small_vae(), checkpoint=path)
    message = r"expected at most 2; found 3\. Ask for more epochs"
    refused(path, ValueError, message, resume=True, epochs=2)


# Losses that turn NaN, disks that are full


def poison_after(monkeypatch, vae: VAE, steps: int) -> None:
    """Put a NaN into the weights before the step after these."""
    original, calls = training._gradient, []

    def poisoned(*args):
        take_gradient = original(*args)

        def counted(indices, beta):
            calls.append(1)
            if len(calls) > steps:
                vae.decoder.layers[0].bias.data[0] = math.nan
            return take_gradient(indices, beta)

        return counted

    monkeypatch.setattr(training, "_gradient", poisoned)


def test_a_loss_that_turns_nan_stops_the_run_and_keeps_the_last_good_checkpoint(
    path, tmp_path, monkeypatch
):
    good = tmp_path / "good.safetensors"
    train(small_vae(), epochs=2, checkpoint=good)
    vae = small_vae()
    poison_after(monkeypatch, vae, steps=2 * 3 + 1)  # three steps an epoch
    message = (
        r"loss is nan in step 2 of epoch 3; .* of epoch 2, is kept in .*run.*\. Expected a finite"
    )
    with pytest.raises(FloatingPointError, match=message):
        train(vae, epochs=5, checkpoint=path)
    assert path.read_bytes() == good.read_bytes()


def test_a_loss_that_turns_nan_at_once_leaves_no_checkpoint(path, monkeypatch):
    for checkpoint, kept in [(path, "before the first checkpoint"), (None, "no checkpoint was")]:
        vae = small_vae()
        poison_after(monkeypatch, vae, steps=0)
        with pytest.raises(FloatingPointError, match=f"in step 1 of epoch 1; .*{kept}.*lower lr"):
            train(vae, checkpoint=checkpoint)
    assert list(path.parent.iterdir()) == []


def test_a_learning_rate_that_is_far_too_high_is_found_out(path):
    with pytest.raises(FloatingPointError, match=r"step \d of epoch \d; .*lower lr"):
        train(small_vae(), epochs=20, lr=1e30, checkpoint=path)


def test_weights_that_turn_nan_in_the_last_step_of_an_epoch_are_not_saved(path, monkeypatch):
    vae = small_vae()
    step = torch.optim.Adam.step

    def last_step(self, *args, **kwargs):
        step(self, *args, **kwargs)
        vae.decoder.layers[0].bias.data[0] = math.nan

    monkeypatch.setattr(torch.optim.Adam, "step", last_step)
    with pytest.raises(FloatingPointError, match="a weight is not finite after step 1 of epoch 1"):
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


# Settings and images that are refused before anything happens


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 1.0, "2", None, True])
def test_counts_that_are_no_positive_whole_numbers_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .* at least 1; found .*\. The defaults"):
        train(small_vae(), **{name: value})


@pytest.mark.parametrize("lr", [0, -1e-3, math.nan, math.inf])
def test_a_learning_rate_that_is_not_positive_and_finite_is_refused(lr):
    with pytest.raises(ValueError, match=r"lr must be positive and finite; found .*\. Try 1e-3"):
        train(small_vae(), lr=lr)


def test_resume_without_a_checkpoint_path_is_refused():
    with pytest.raises(ValueError, match=r"needs a file .* found checkpoint=None\. Pass the path"):
        train(small_vae(), resume=True)


def test_a_checkpoint_in_a_folder_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"in a folder that exists; found .*\. Make the folder"):
        train(small_vae(), checkpoint=tmp_path / "no" / "run.safetensors")


@pytest.mark.parametrize("name", ["images", "validation"])
@pytest.mark.parametrize(
    "wrong",
    [
        IMAGES.byte(),
        IMAGES * 255,
        IMAGES - 1,
        IMAGES * math.nan,
        IMAGES / 0,
        IMAGES[:, :5],
        IMAGES[:0],
        IMAGES[0],
        IMAGES.double(),
        IMAGES.tolist(),
    ],
    ids=["uint8", "255", "negative", "nan", "inf", "width", "empty", "1-D", "double", "list"],
)
def test_images_that_do_not_fit_are_refused_before_the_first_step(path, name, wrong):
    vae = small_vae()
    before = weights(vae)
    with pytest.raises(ValueError, match=r"images must .*found .*\. \w+"):
        train(vae, checkpoint=path, **{name: wrong})
    assert same(weights(vae), before)
    assert not path.exists()


def test_one_image_is_enough():
    assert train(small_vae(), images=IMAGES[:1], validation=IMAGES[:1]).epochs == 3


# The bar


@pytest.mark.parametrize(
    ("progress", "environment", "shown"),
    [(True, None, True), (False, None, False), (True, "1", False), (False, "1", False)],
)
def test_the_bar_shows_only_where_nobody_hides_it(
    capsys, monkeypatch, progress, environment, shown
):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    if environment:
        monkeypatch.setenv("TQDM_DISABLE", environment)
    train(small_vae(), progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("Training: 100%" in err and "3/3" in err and "nats" in err) is shown
    assert bool(err) is shown


def test_a_run_that_goes_well_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(small_vae(), validation=HELD_OUT)
