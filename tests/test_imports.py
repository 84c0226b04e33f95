"""Claims about imports: they do nothing, and the arrows between the files run one way."""

import ast
import json
from pathlib import Path

import pytest

import vae_helpers

FOLDER = Path(vae_helpers.__file__).parent

# The arrows run one way: a file imports only what stands before it.
ORDER = [
    *("__init__", "checks", "files", "devices", "witness", "plotting", "objectives", "networks"),
    *("conditional", "linear_gaussian", "data", "checkpoints", "gradients", "evaluation"),
    *("training", "sweep", "explorer.bundle", "explorer.live", "explorer.cloud"),
    *("explorer.densities", "explorer.latent", "explorer.pad", "explorer"),
]
ALONE = {"plotting": set(), "objectives": {"checks"}, "witness": set()}  # know no model


def source(name: str) -> Path:
    file = FOLDER / f"{name.replace('.', '/')}.py"
    return file if file.exists() else FOLDER / name / "__init__.py"


def imported(path: Path) -> set[str]:
    """The files of vae_helpers that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.removeprefix("vae_helpers.") for name in names if name.startswith("vae_helpers.")}


@pytest.mark.parametrize("name", ORDER)
def test_a_file_imports_only_what_stands_before_it(name):
    assert imported(source(name)) <= ALONE.get(name, set(ORDER[: ORDER.index(name)]))


def test_every_file_has_its_place():
    files = {path.stem for path in FOLDER.glob("*.py")}
    folders = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    inner = {f"{path.parent.name}.{path.stem}" for path in FOLDER.glob("*/[!_]*.py")}
    assert files | folders | inner == set(ORDER)


@pytest.fixture(scope="module")
def loaded(printed) -> dict[str, list]:
    """What a fresh interpreter has loaded and changed after the imports."""
    program = """
        import json, random, sys, warnings
        from importlib import import_module

        import vae_helpers.objectives
        objectives = sorted(sys.modules)

        import anywidget, ipywidgets, joblib, numpy, torch
        import matplotlib.pyplot, matplotlib_inline.backend_inline
        import safetensors.torch, tqdm.auto

        def state():
            return {
                "torch's generator": torch.get_rng_state().tolist(),
                "numpy's generator": str(numpy.random.get_state()),
                "Python's generator": str(random.getstate()),
                "rcParams": str(matplotlib.rcParams),
                "backend": matplotlib.get_backend(),
                "warning filters": str(warnings.filters),
                "default dtype": str(torch.get_default_dtype()),
                "threads": torch.get_num_threads(),
                "gradients": torch.is_grad_enabled(),
            }

        before = state()
        for name in sys.argv[1:]:
            import_module(f"vae_helpers.{name}")
        after = state()
        changed = [name for name in before if before[name] != after[name]]
        result = {"objectives": objectives, "all": sorted(sys.modules), "changed": changed}
        print(json.dumps(result))
    """
    return json.loads(printed(program, *(name for name in ORDER if name != "__init__")))


def test_the_objectives_load_no_plot_no_widget_and_no_data(loaded):
    others = {name for name in loaded["objectives"] if name.startswith("vae_helpers.")}
    assert others == {"vae_helpers.objectives", "vae_helpers.checks"}
    assert not {"matplotlib", "ipywidgets", "torchvision"} & set(loaded["objectives"])


def test_the_names_most_asked_for_are_loaded_when_they_are_first_used(printed):
    program = """
        import sys
        import vae_helpers
        print("torch" in sys.modules)
        from vae_helpers import VAE, elbo, fit, load_mnist
        print(VAE.__module__, elbo.__module__, fit.__module__, load_mnist.__module__)
    """
    found = printed(program).split()
    assert found[0] == "False"
    assert found[1:] == [f"vae_helpers.{n}" for n in ("networks", "objectives", "training", "data")]
    with pytest.raises(AttributeError, match="vae_helpers has no 'nothing'; it has VAE, elbo"):
        _ = vae_helpers.nothing


def test_importing_all_files_changes_no_state_outside(loaded):
    assert loaded["changed"] == []


def test_torchvision_is_not_loaded(loaded):
    assert "vae_helpers.data" in loaded["all"]
    assert "torchvision" not in loaded["all"]


def test_a_sweep_loads_dask_only_where_it_runs_on_a_cluster(loaded):
    assert "joblib" in loaded["all"]
    assert not {"dask", "distributed"} & set(loaded["all"])
