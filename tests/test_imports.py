"""Claims about imports: they do nothing, and the arrows between the files run one way."""

import ast
import sys
from pathlib import Path

import vae_helpers

FOLDER = Path(vae_helpers.__file__).parent
# The arrows: what each file may import besides Python's own library.
MAY_IMPORT = {
    **dict.fromkeys(["__init__", "files", "explorer.bundle"], ""),
    "checks": "torch",
    "objectives": "torch checks",
    **dict.fromkeys(["networks", "linear_gaussian"], "torch checks objectives"),
    "conditional": "torch checks networks",
    "evaluation": "torch checks networks objectives",
    "gradients": "torch networks objectives",
    "data": "numpy torch checks",
    "checkpoints": "safetensors torch checks conditional files networks",
    "training": "torch tqdm checkpoints checks conditional gradients networks",
    "sweep": "joblib torch tqdm files",
    "plotting": "numpy matplotlib matplotlib_inline IPython",
    "witness": "torch IPython",
    "explorer": "explorer.densities explorer.latent explorer.pad",
    "explorer.live": "anywidget ipywidgets torch traitlets explorer.bundle gradients networks",
    "explorer.cloud": "torch traitlets checks explorer.live networks",
    "explorer.densities": "ipywidgets torch traitlets explorer.live linear_gaussian",
    "explorer.latent": "ipywidgets torch traitlets checks explorer.cloud explorer.live networks",
    "explorer.pad": "torch traitlets explorer.cloud explorer.live networks",
}


def imported(path: Path) -> set[str]:
    """What a file imports: packages by their name, files of vae_helpers by theirs."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    ours = {name.removeprefix("vae_helpers.") for name in names if "vae_helpers." in name}
    return ours | {name.split(".")[0] for name in names} - {"vae_helpers"} - sys.stdlib_module_names


def test_a_file_imports_only_what_the_arrows_allow_and_every_file_has_its_arrows():
    paths = {path.relative_to(FOLDER).with_suffix("") for path in FOLDER.rglob("*.py")}
    names = {path: ".".join(path.parts).removesuffix(".__init__") for path in paths}
    assert set(names.values()) == set(MAY_IMPORT)
    for path, name in names.items():
        assert imported(FOLDER / f"{path}.py") <= set(MAY_IMPORT[name].split()), name


def test_imports_change_no_state_and_load_no_more_than_is_asked_for(printed):
    program = """
        import importlib, random, sys, vae_helpers, warnings
        assert "torch" not in sys.modules
        import vae_helpers.objectives
        assert not {"matplotlib", "ipywidgets", "vae_helpers.networks"} & set(sys.modules)
        import anywidget, joblib, matplotlib.pyplot, matplotlib_inline.backend_inline, numpy, torch
        import safetensors.torch, tqdm.auto

        def state():
            seeds = torch.get_rng_state().tolist(), numpy.random.get_state(), random.getstate()
            plots = dict(matplotlib.rcParams), matplotlib.get_backend(), warnings.filters
            torchs = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
            return [str(each) for each in (*seeds, *plots, *torchs)]

        before = state()
        for name in sys.argv[1:]:
            importlib.import_module(f"vae_helpers.{name}")
        assert state() == before, [new for old, new in zip(before, state()) if new != old]
        assert not {"dask", "distributed", "torchvision"} & set(sys.modules)
    """
    printed(program, *(name for name in MAY_IMPORT if name != "__init__"))


def test_the_names_most_asked_for_are_loaded_from_the_package_when_they_are_used():
    homes = {"VAE": "networks", "elbo": "objectives", "fit": "training", "load_mnist": "data"}
    for name, home in homes.items():
        assert getattr(vae_helpers, name).__module__ == f"vae_helpers.{home}"
    assert not hasattr(vae_helpers, "vae")
