"""Claims about the browser of the tests: found or installed, never skipped, and all ears."""

import sys

import browser
import pytest


@pytest.fixture
def machine(monkeypatch):
    """A machine with no browser, whose installers are noted in a list and install nothing."""
    browser.chromium.cache_clear()
    monkeypatch.delenv("CHROMIUM", raising=False)
    installed = []
    monkeypatch.setattr(browser, "of_the_system", lambda: None)
    monkeypatch.setattr(browser, "of_playwright", lambda: None)
    monkeypatch.setattr(browser, "by_apt", lambda: installed.append("apt"))
    monkeypatch.setattr(browser, "by_playwright", lambda: installed.append("playwright"))
    yield installed
    browser.chromium.cache_clear()


def test_where_no_browser_can_be_had_it_is_said_in_a_sentence(machine):
    with pytest.raises(RuntimeError, match="environment variable CHROMIUM"):
        browser.chromium()
    assert machine == ["apt", "playwright"]


def test_a_browser_that_could_be_installed_is_taken(machine, monkeypatch):
    monkeypatch.setattr(browser, "of_the_system", lambda: "/usr/bin/it" if machine else None)
    assert browser.chromium() == "/usr/bin/it"
    assert machine == ["apt"]


def test_a_browser_that_is_named_is_taken_or_refused_by_name(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(RuntimeError, match="none, which is not a browser that runs"):
        browser.chromium()
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


def test_text_is_sent_compressed(open_tab, tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<title>A page</title><link rel="icon" href="data:,">' + " " * 10_000)
    with browser.served(tmp_path) as address:
        tab, log = open_tab()
        answer = tab.goto(f"{address}/page.html")
        assert tab.title() == "A page"
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) == len(browser.sent(page)) < 200
        assert not log.complaints
