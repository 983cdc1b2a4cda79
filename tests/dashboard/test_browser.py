"""The dashboard as its reader uses it, in a real Chromium."""

import shutil
import time

import pytest

from recsys_lab.dashboard.index import id_of
from recsys_lab.files.locks import hold
from recsys_lab.runs.epochs import write_epochs
from tests.comparison.made_runs import config
from tests.dashboard.conftest import serving
from tests.dashboard.made import HOSTILE, TOKEN, history, running

ROWS = "[...document.querySelectorAll('#runs tr[data-run]')].map(row => row.innerText)"
LINES = "document.querySelectorAll('#curves polyline').length"


def box(run):
    return f'input[name="run"][value="{run}"]'


@pytest.mark.parametrize("phone", [False, True], ids=["laptop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_reader_sees_every_run_and_nothing_runs_or_is_fetched(served, browser, phone, dark):
    browser.show_as(phone=phone, dark=dark)
    browser.console.clear()
    browser.requested.clear()
    browser.open(served.url)
    browser.wait("document.querySelectorAll('#runs tr[data-run]').length === 33")
    assert browser.faults() == []
    text = browser.ask("document.body.innerText")
    assert HOSTILE in text  # as text: it is shown, and did not run
    assert TOKEN not in browser.ask("document.documentElement.outerHTML")
    assert "running" in text
    assert "no process on this machine; written just now" in text
    assert browser.ask("matchMedia('(prefers-color-scheme: dark)').matches") == dark
    background = browser.ask("getComputedStyle(document.documentElement).backgroundColor")
    assert (background == "rgb(21, 24, 27)") == dark
    assert browser.console == []
    assert {address.split("/")[2] for address in browser.requested} == {served.url.split("/")[2]}


def test_filter_sort_and_group(served, browser):
    browser.show_as()
    browser.open(served.url)
    browser.type("input[name=where]", "model.num_layers=2, search")
    rows = browser.wait(f"(rows => rows.length < 12 && rows)({ROWS})")
    assert rows
    browser.click('#runs thead a[href*="test%2Fndcg"]')
    browser.wait("location.search.includes('sort=-test')")
    values = browser.wait("""(() => {
        const heads = [...document.querySelectorAll('#runs thead th')];
        const place = heads.findIndex(head => head.ariaSort === 'descending');
        if (!heads[place].innerText.startsWith('test/ndcg@10')) return false;
        return [...document.querySelectorAll('#runs tr[data-run]')]
            .map(row => +row.children[place].innerText);
    })()""")
    assert len(values) == len(rows) > 1
    assert values == sorted(values, reverse=True)
    browser.type("input[name=where]", "search")
    browser.type("input[name=group]", "model.num_layers")
    heads = browser.wait(
        "(heads => heads.length && heads)([...document.querySelectorAll('#runs .group')]"
        ".map(row => row.innerText.replaceAll('\\n', ' ')))"
    )
    labels = [head.partition(" ")[0] for head in heads]
    assert labels == sorted(labels)
    assert f"model.num_layers=2 {len(rows)} runs; test/ndcg@10 0." in " ".join(heads)
    browser.open(browser.ask("location.href"))  # the address is the whole state
    browser.wait("document.querySelector('#runs .group') !== null")
    assert browser.ask("document.querySelector('input[name=where]').value") == "search"
    browser.type("input[name=where]", "modl=3")
    browser.wait("document.body.innerText.includes(\"did you mean 'model'?\")")


@pytest.mark.usefixtures("quick_start")
def test_tick_overlay_and_compare(served, folder, browser):
    browser.show_as()
    browser.open(f"{served.url}?where=compared")
    known = {name: id_of(folder / "compared" / name, folder) for name in ("pop", "sas", "other")}
    browser.click(box(known["pop"]))
    browser.wait("document.body.innerText.includes('Compare 1 run')")
    assert browser.ask("document.activeElement.value") == known["pop"]  # for the keyboard
    browser.click(box(known["sas"]))
    browser.wait(
        f"document.querySelector('#compare')?.innerText === 'Compare 2 runs' && {LINES} == 1"
    )
    address = browser.ask("document.querySelector('#compare').href")
    assert address.endswith(f"compare?run={known['pop']}&run={known['sas']}")
    browser.open(address)
    browser.wait("document.title === 'shop, test, 150 users: comparison'")
    text = browser.ask("document.body.innerText")
    assert "Against Popularity: +" in text
    assert browser.ask("document.querySelectorAll('svg').length") > 2
    browser.open(f"{address}&run={known['other']}")
    browser.wait("document.querySelector('h1').innerText === 'Not compared'")
    assert "their evaluation protocols differ" in browser.ask("document.body.innerText")
    browser.show_as(phone=True)
    assert browser.faults() == []
    browser.show_as()
    browser.click('a[href*="force=true"]')
    browser.wait("document.body.innerText.includes('Not comparable')")


def test_a_card_opens_and_the_way_back_keeps_the_query(served, browser):
    browser.show_as()
    browser.open(f"{served.url}?where=status%3Dfailed")
    browser.click("#runs tbody th a")
    browser.wait("document.querySelector('.kicker')?.innerText === 'MODEL CARD'")
    assert TOKEN not in browser.ask("document.documentElement.outerHTML")
    browser.back()
    browser.wait("location.search === '?where=status%3Dfailed'")
    assert len(browser.wait(f"(rows => rows.length && rows)({ROWS})")) == 1


def test_a_running_curve_grows_and_a_new_run_appears_without_a_reload(tmp_path, browser):
    folder = tmp_path / "copied from a box"
    made = config(recipe__max_epochs=50)
    path = running(folder / "live", made, 3)
    with hold(path / ".lock", wait=False), serving(folder) as dashboard:
        browser.show_as()
        browser.open(dashboard.url)
        browser.ask("window.mark = 'the same page'")
        points = (
            "document.querySelector('#curves polyline')?.getAttribute('points').split(' ').length"
        )
        browser.wait(f"({points}) === 3 && document.body.innerText.includes('3 of 50')")
        write_epochs(path, history(4), 3)
        browser.wait(f"({points}) === 4 && document.body.innerText.includes('4 of 50')")
        running(folder / "live 2", config("GRU4Rec", 1), 2)
        browser.wait(f"({ROWS}).length === 2 && {LINES} === 2")
        other = f"tr[data-run='{id_of(folder / 'live 2', folder)}']"
        browser.ask(f"document.querySelector(\"{other}\").mark = 'the same row'")
        write_epochs(path, history(5), 4)
        browser.wait("document.body.innerText.includes('5 of 50')")
        assert browser.ask(f'document.querySelector("{other}").mark') == "the same row"
        shutil.rmtree(folder / "live 2")
        browser.wait(f"({ROWS}).length === 1")
        assert browser.ask("window.mark") == "the same page"
        assert browser.ask("document.querySelector('#lost').hidden")
    browser.wait("!document.querySelector('#lost').hidden")


def test_500_runs_open_in_two_seconds(five_hundred, browser):
    """As seconds of the processor: others may work on this machine."""
    with serving(five_hundred, refresh=2) as dashboard:
        browser.show_as()
        spent = time.process_time()
        browser.open(dashboard.url)
        browser.wait("document.querySelectorAll('#runs tr[data-run]').length === 500")
        assert time.process_time() - spent < 2
        assert browser.faults() == []
