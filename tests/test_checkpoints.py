"""Claims about weights and checkpoints on disk: bit for bit, or refused with a reason."""

import ast
import json
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

import vae_helpers
from vae_helpers.checkpoints import (
    architecture,
    load_checkpoint,
    load_vae,
    save_checkpoint,
    save_vae,
)
from vae_helpers.networks import VAE
from vae_helpers.objectives import elbo

RECIPE = {"lr": 0.1, "images": [6, 5]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


def equal(a: VAE, b: VAE) -> bool:
    """Whether two models have the same sizes and bit for bit the same weights."""
    a_state, b_state = a.state_dict(), b.state_dict()
    return (
        (a.latent_dim, a.hidden, a.pixels, a.sigma2) == (b.latent_dim, b.hidden, b.pixels, b.sigma2)
        and a_state.keys() == b_state.keys()
        and all(torch.equal(a_state[k], b_state[k]) for k in a_state)
        and all(a_state[k].dtype == b_state[k].dtype for k in a_state)
    )


class Run:
    """A small VAE after two steps of Adam, and all that a checkpoint holds beside it."""

    def __init__(self, seed=0, steps=2, latent_dim=2, dtype=torch.float32):
        torch.manual_seed(seed)
        self.vae = VAE(latent_dim, (4, 3), pixels=5, sigma2=0.25).to(dtype)
        self.optimizer = torch.optim.Adam(self.vae.parameters(), lr=0.1, fused=True)
        self.generator = torch.Generator().manual_seed(seed)
        self.step(steps)
        self.history = {"kl": [0.1 * step for step in range(steps)], "empty": []}

    def step(self, steps=1):
        for _ in range(steps):
            x = torch.rand(6, 5, generator=self.generator).to(next(self.vae.parameters()).dtype)
            self.optimizer.zero_grad()
            (-elbo(self.vae, x, generator=self.generator).elbo.mean()).backward()
            self.optimizer.step()

    @property
    def parts(self):
        return {"vae": self.vae, "optimizer": self.optimizer, "generator": self.generator}

    def save(self, path):
        save_checkpoint(path, **self.parts, recipe=RECIPE, history=self.history)

    def load(self, path, **options):
        return load_checkpoint(path, **self.parts, **({"recipe": RECIPE} | options))

    def state(self) -> list[torch.Tensor]:
        """All that decides how the run goes on."""
        adam = self.optimizer.state_dict()["state"]
        moments = [adam[index][name] for index in sorted(adam) for name in sorted(adam[index])]
        weights = self.vae.state_dict().values()
        return [t.clone() for t in (*weights, *moments, self.generator.get_state())]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# save_vae, load_vae


@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 5), max_size=3),
    st.integers(1, 6),
    st.floats(1e-6, 1e6) | st.none(),
    st.sampled_from(["relu", "tanh"]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_a_saved_vae_loads_bit_for_bit(
    tmp_path_factory, latent_dim, hidden, pixels, sigma2, activation, dtype
):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    vae = VAE(latent_dim, hidden, pixels=pixels, sigma2=sigma2, activation=activation).to(dtype)
    save_vae(vae, path)
    loaded = load_vae(path)
    assert equal(loaded, vae)
    assert architecture(loaded) == architecture(vae)


def test_weights_saved_before_there_was_a_choice_of_activation_load_with_relu(path):
    save_vae(VAE(pixels=5), path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vae_helpers"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del header["architecture"]["activation"]
    save_file(tensors, path, {"vae_helpers": json.dumps(header)})
    assert load_vae(path).activation == "relu"


def test_a_device_that_is_not_there_is_refused(path):
    save_vae(VAE(pixels=5), path)
    with pytest.raises(ValueError, match=r"this machine has, cpu.*; found 'cuda:99'"):
        load_vae(path, device="cuda:99")


def test_saving_twice_gives_the_same_bytes(path):
    vae = VAE()
    save_vae(vae, path)
    first = path.read_bytes()
    for _ in range(5):
        save_vae(load_vae(path), str(path))
        assert path.read_bytes() == first


def test_loading_leaves_the_device_to_the_caller(path):
    save_vae(VAE(pixels=5), path)
    assert {p.device.type for p in load_vae(path).parameters()} == {"cpu"}
    assert {p.device.type for p in load_vae(path, device="meta").parameters()} == {"meta"}


def test_a_loaded_vae_can_be_trained(path):
    save_vae(VAE(pixels=5), path)
    vae = load_vae(path)
    elbo(vae, torch.rand(2, 5)).elbo.sum().backward()
    assert all(p.grad is not None for p in vae.parameters())


# save_checkpoint, load_checkpoint


def test_a_checkpoint_holds_all_that_decides_how_the_run_goes_on(path):
    run, other = Run(seed=0), Run(seed=1, steps=0)
    run.save(path)
    assert other.load(path) == run.history
    assert same(other.state(), run.state())
    for each in (run, other):
        each.step(3)
    assert same(other.state(), run.state())


def test_a_checkpoint_saved_twice_has_the_same_bytes(path):
    run = Run()
    run.save(path)
    first = path.read_bytes()
    Run().save(path)
    assert path.read_bytes() == first


def test_saving_changes_nothing_in_the_run(path):
    run = Run()
    before = run.state()
    run.save(path)
    assert same(run.state(), before)


def test_a_checkpoint_as_long_as_the_run_is_taken_and_a_longer_one_refused(path):
    run = Run()
    run.save(path)
    assert len(run.load(path, max_epochs=2)["kl"]) == 2
    with pytest.raises(ValueError, match=r"expected at most 1; found 2\. Ask for more epochs"):
        run.load(path, max_epochs=1)


# What is refused. A refused checkpoint leaves the run as it was.


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        lambda c: c[:-1],
        lambda c: c + b"x",
        lambda c: c[:5],
        lambda _: b"",
        lambda _: pickle.dumps({"a": 1}),
        lambda _: b"\x89PNG\r\n" * 100,
    ],
    ids=["half", "short", "long", "header", "empty", "pickle", "picture"],
)
def test_a_damaged_file_is_refused(path, damage):
    run = Run()
    for save, load in [
        (lambda: save_vae(run.vae, path), load_vae),
        (lambda: run.save(path), run.load),
    ]:
        save()
        path.write_bytes(damage(path.read_bytes()))
        damaged, before = path.read_bytes(), run.state()
        with pytest.raises(
            ValueError, match=r"cut short or damaged: expected .* found .* bytes .*\. Delete it"
        ) as error:
            load(path)
        assert str(path) in str(error.value)
        assert same(run.state(), before)
        assert path.read_bytes() == damaged


def test_a_missing_file_is_refused(path):
    for load in (load_vae, Run().load):
        with pytest.raises(FileNotFoundError, match=r"expected a .* found none\. Check the path"):
            load(path)


def test_a_file_of_another_kind_is_refused(path):
    run = Run()
    before = run.state()
    run.save(path)
    with pytest.raises(
        ValueError, match=r"expected a vae file .*; found checkpoint\. Pass another"
    ):
        load_vae(path)
    save_vae(run.vae, path)
    with pytest.raises(ValueError, match=r"expected a checkpoint file .*; found vae"):
        run.load(path)
    save_file({"weight": torch.zeros(1)}, path)
    for load in (load_vae, run.load):
        with pytest.raises(ValueError, match="found a safetensors file of another program"):
            load(path)
    assert same(run.state(), before)


def test_a_checkpoint_of_another_architecture_is_refused(path):
    Run().save(path)
    other = Run(latent_dim=3)
    before = other.state()
    with pytest.raises(
        ValueError, match=r"another architecture: expected latent_dim = 3, found 2\. Pass"
    ):
        other.load(path)
    assert same(other.state(), before)


def test_a_checkpoint_of_another_precision_is_refused(path):
    Run().save(path)
    other = Run(dtype=torch.float64)
    before = other.state()
    with pytest.raises(
        ValueError, match=r"another weights: .* = 'torch.float64 .*found 'torch.float32"
    ):
        other.load(path)
    assert same(other.state(), before)


@pytest.mark.parametrize("recipe", [{"lr": 0.2, "images": [6, 5]}, {"lr": 0.1}, RECIPE | {"x": 1}])
def test_a_checkpoint_of_another_recipe_is_refused(path, recipe):
    run = Run()
    run.save(path)
    before = run.state()
    with pytest.raises(ValueError, match=r"another recipe: expected .* = .*, found .*\. Pass"):
        run.load(path, recipe=recipe)
    assert same(run.state(), before)


def test_a_failed_save_leaves_the_old_file(path, full_disk):
    run = Run()
    for save in (lambda: save_vae(run.vae, path), lambda: run.save(path)):
        save()
        before = path.read_bytes()
        run.step()
        with full_disk(), pytest.raises(OSError, match="cannot write"):
            save()
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]


# Nothing is unpickled


def test_saving_and_loading_never_touch_pickle(path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pickle was used")

    for module, name in [
        *((pickle, name) for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler")),
        *((torch, name) for name in ("load", "save")),
    ]:
        monkeypatch.setattr(module, name, refuse)
    run = Run()
    run.save(path)
    run.load(path)
    save_vae(run.vae, path)
    load_vae(path)


def test_no_source_imports_pickle_or_calls_the_functions_of_torch_that_use_it():
    sources = list(Path(vae_helpers.__file__).parent.rglob("*.py"))
    assert len(sources) > 5
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            # A sweep tries whether its function pickles, to send it to workers; it reads none back.
            tried = {"cloudpickle"} if source.name == "sweep.py" else set()
            assert not {"pickle", "cloudpickle", "dill", "joblib"} & set(names) - tried, source
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "cloudpickle":
                assert node.attr == "dumps", source
            assert ast.unparse(node) not in {"torch.load", "torch.save", "np.load"}, source
