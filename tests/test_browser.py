"""Claims about the browser of the tests: found or installed, never skipped, and all ears."""

import re
import sys

import browser
import pytest


@pytest.fixture
def machine(monkeypatch):
    """A machine with no browser, whose installers are noted in a list and install nothing."""
    browser.search.cache_clear()
    monkeypatch.delenv("CHROMIUM", raising=False)
    installed = []
    monkeypatch.setattr(browser, "driver", lambda: "")
    monkeypatch.setattr(browser, "of_the_system", lambda: None)
    monkeypatch.setattr(browser, "of_playwright", lambda: None)
    monkeypatch.setattr(browser, "by_apt", lambda *names: installed.extend(names) or "apt: full")
    monkeypatch.setattr(browser, "by_playwright", lambda: installed.append("download") or "cut off")
    yield installed
    browser.search.cache_clear()


APT = ["chromium", "chromium-sandbox"]
LACKS = "node: error while loading shared libraries: libatomic.so.1: cannot open"


@pytest.mark.parametrize(
    ("lacks", "tried", "said"),
    [
        ("", [*APT, "download"], r"variable CHROMIUM\.\napt: full\ncut off$"),
        (LACKS, ["libatomic1"], r"driver.* libatomic.so.1: .*\n.* libatomic1 .*"),
    ],
    ids=["no browser", "no driver"],
)
def test_what_cannot_be_had_is_said_with_its_repair_and_tried_once(
    machine, monkeypatch, lacks, tried, said
):
    monkeypatch.setattr(browser, "driver", lambda: lacks)
    for _ in range(3):
        with pytest.raises(RuntimeError, match=said):
            browser.chromium()
    assert machine == tried


def test_a_browser_that_could_be_installed_is_taken(machine, monkeypatch):
    monkeypatch.setattr(browser, "of_the_system", lambda: "/usr/bin/it" if machine else None)
    assert browser.chromium() == "/usr/bin/it"
    assert machine == APT


def test_a_browser_that_is_there_is_taken_and_nothing_is_installed(machine, monkeypatch):
    monkeypatch.setattr(browser, "of_playwright", lambda: "/cache/it")
    assert browser.chromium() == "/cache/it"
    assert machine == []


def test_a_driver_that_could_be_mended_is_taken_before_a_browser_is_looked_for(
    machine, monkeypatch
):
    monkeypatch.setattr(browser, "driver", lambda: "" if machine else LACKS)
    monkeypatch.setattr(browser, "of_playwright", lambda: "/cache/it" if machine else 1 / 0)
    assert browser.chromium() == "/cache/it"
    assert machine == ["libatomic1"]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("print('fetched'); raise SystemExit('no space left')", "ended with 1:.*no space left"),
        ("import time; print('waits', flush=True); time.sleep(60)", "in 2 seconds:.*waits"),
    ],
)
def test_an_installer_that_fails_is_named_with_its_last_words(program, said):
    assert re.search(said, browser.failure(sys.executable, "-c", program, seconds=2), re.DOTALL)


def test_a_browser_that_is_named_is_taken_or_refused_by_name(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(RuntimeError, match="none, which is not a browser that runs"):
        browser.chromium()
    browser.search.cache_clear()
    monkeypatch.setenv("CHROMIUM", sys.executable)  # it answers --version, too
    assert browser.chromium() == sys.executable
    assert machine == []


def test_what_goes_wrong_in_a_page_is_heard(open_tab, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="icon" href="data:,"><img src="gone.png" alt="">'
        "<script>console.warn('beware'); console.log('only talk'); undefined.x</script>"
    )
    with browser.served(tmp_path) as address:
        tab, log = open_tab()
        tab.goto(f"{address}/page.html")
        assert len(log.complaints) == 4  # the warning, the error, the 404, and what it logs
        for words in ("beware", "error: ", "404: "):
            assert any(words in each for each in log.complaints)
        assert log.foreign(address) == []
        assert log.foreign("https://example.org") == [
            f"{address}/{each}" for each in ("page.html", "gone.png")
        ]
