"""Claims about imports: they do nothing, and the arrows between the files run one way."""

import ast
import json
from pathlib import Path

import pytest

import vae_helpers

FOLDER = Path(vae_helpers.__file__).parent

# The arrows: what each file may import. The package itself imports nothing.
MAY_IMPORT = {
    "__init__": set(),
    "files": set(),
    "objectives": {"torch"},
    "networks": {"torch"},
    "conditional": {"torch", "networks"},
    "linear_gaussian": {"torch"},
    "devices": {"torch"},
    "witness": {"torch", "IPython"},
    "data": {"numpy", "torch", "torchvision", "devices", "files"},
    "checkpoints": {"torch", "safetensors", "conditional", "devices", "files", "networks"},
    "gradients": {"torch", "networks", "objectives"},
    "training": {"torch", "tqdm", "checkpoints", "conditional", "evaluation", "gradients"}
    | {"networks", "objectives"},
    "evaluation": {"torch", "networks", "objectives"},
    "experiment": {"torch", "checkpoints", "data", "evaluation", "networks", "training"},
    "sweep": {"cloudpickle", "joblib", "torch", "tqdm", "files"},
    "plotting": {"numpy", "matplotlib", "matplotlib_inline", "IPython"},
    "explorer": {"explorer.densities", "explorer.latent", "explorer.pad"},
    "explorer.bundle": set(),
    "explorer.live": {"anywidget", "ipywidgets", "torch", "traitlets", "networks"}
    | {"explorer.bundle"},
    "explorer.cloud": {"torch", "traitlets", "networks", "explorer.live"},
    "explorer.densities": {"ipywidgets", "torch", "traitlets", "linear_gaussian", "explorer.live"},
    "explorer.latent": {"ipywidgets", "torch", "traitlets", "networks"}
    | {"explorer.cloud", "explorer.live"},
    "explorer.pad": {"torch", "traitlets", "networks", "explorer.cloud", "explorer.live"},
}
STANDARD = {
    *("__future__", "collections", "concurrent", "contextlib", "copy", "dataclasses", "gzip"),
    *("hashlib", "importlib", "io", "itertools", "json", "math", "os", "pathlib", "re"),
    *("resource", "secrets", "statistics", "tempfile", "threading", "time", "traceback"),
    *("typing", "warnings", "zlib"),
}


def source(name: str) -> Path:
    file = FOLDER / f"{name.replace('.', '/')}.py"
    return file if file.exists() else FOLDER / name / "__init__.py"


def imported(path: Path) -> set[str]:
    """What a file imports: packages by their name, files of vae_helpers by theirs."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    ours = {name.removeprefix("vae_helpers.") for name in names if name.startswith("vae_helpers.")}
    return ours | {name.split(".")[0] for name in names} - {"vae_helpers"}


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_file_imports_only_what_the_arrows_allow(name):
    assert imported(source(name)) - STANDARD <= MAY_IMPORT[name]


def test_every_file_has_its_arrows():
    files = {path.stem for path in FOLDER.glob("*.py")}
    folders = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    inner = {f"{path.parent.name}.{path.stem}" for path in FOLDER.glob("*/[!_]*.py")}
    assert files | folders | inner == set(MAY_IMPORT)


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
    return json.loads(printed(program, *(name for name in MAY_IMPORT if name != "__init__")))


def test_the_objectives_load_no_plot_no_widget_and_no_data(loaded):
    others = {name for name in loaded["objectives"] if name.startswith("vae_helpers.")}
    assert others == {"vae_helpers.objectives"}
    assert not {"matplotlib", "ipywidgets", "torchvision"} & set(loaded["objectives"])


def test_importing_all_files_changes_no_state_outside(loaded):
    assert loaded["changed"] == []


def test_torchvision_is_not_loaded(loaded):
    assert "vae_helpers.data" in loaded["all"]
    assert "torchvision" not in loaded["all"]


def test_a_sweep_loads_dask_only_where_it_runs_on_a_cluster(loaded):
    assert "joblib" in loaded["all"]
    assert not {"dask", "distributed"} & set(loaded["all"])
