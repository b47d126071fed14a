"""The pages Calls and Figures in Chromium: filters, the player, live updates, hostile texts, a telephone's screen."""

from __future__ import annotations

import array
import math
import wave
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import quote

import httpx
import pytest
import sample_calls as samples
from browser import NARROW, WIDE
from sample_calls import call_row, turn
from served_pages import make_database, served, shell_of
from sqlalchemy import insert, update

from reference_engine.records import tables

CONFIGURATION = {
    "digest": samples.DIGEST,
    "set": "main",
    "first_served": samples.BEGAN,
    "config": {
        "active_pipeline": "default",
        "pipelines": {
            "default": {"greeting": "Good morning <b>", "llm": [{"options": {"api_key": "***"}}]},
            "night": {"greeting": "Good night"},
        },
    },
    "files": {"/etc/voicepipe/ai-agent.yaml": "ab" * 32, "/etc/voicepipe/key": None},
}
"""What the calls ran on."""

MANY = 60
"""The number of plain calls: more than a page has."""


HOSTILE = (*samples.HOSTILE, " ".join(samples.HOSTILE))


def plain_calls():
    """Calls of the last hours, on two pipelines and versions; every tenth failed."""
    now = datetime.now(UTC) - timedelta(minutes=5)
    for number in range(MANY):
        row = call_row(
            f"plain-{number:03}",
            began=now - timedelta(minutes=number * 9),
            version=7 if number < MANY / 2 else 6,
            pipeline="night" if number % 3 == 0 else "default",
            failed=number % 10 == 0,
            caller=f"+4940{number:03}",
        )
        yield row, {"turns": [turn(1, (1, 2), (2.5 + number / 100, 5), (f"word{number} hello", "Good evening."))]}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with a database of calls, and a recording."""
    home = tmp_path_factory.mktemp("calls")
    (home / "recordings").mkdir()
    path = home / "recordings" / "ordinary.wav"
    tone = array.array("h", [int(3000 * math.sin(sample / 20)) for sample in range(2 * int(48.6 * 8000))])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(tone.tobytes())
    (home / "elsewhere.wav").write_bytes(path.read_bytes())
    (home / "recordings" / "link.wav").symlink_to(home / "elsewhere.wav")
    (home / "recordings" / "notes.txt").write_text("secret")
    database = make_database(home / "calls.db")
    elsewhere = {
        "elsewhere": home / "elsewhere.wav",
        "link": home / "recordings" / "link.wav",
        "dots": home / "recordings" / ".." / "elsewhere.wav",
        "text": home / "recordings" / "notes.txt",
        "gone": home / "recordings" / "gone.wav",
        "directory": home / "recordings",
    }
    with database.begin() as connection:
        samples.store(
            connection,
            samples.a_failed_call(),
            samples.an_ordinary_call(str(path)),
            samples.a_short_call(),
            samples.a_degraded_call(),
            samples.a_long_call(),
            samples.a_call_that_is_up(),
            samples.a_lost_call(),
            *(samples.a_hostile_call(text, number) for number, text in enumerate(HOSTILE)),
            samples.a_hostile_call("harmless", "plain"),
            *((call_row(f"recorded-{name}", recording=str(place)), {}) for name, place in elsewhere.items()),
            *plain_calls(),
        )
        connection.execute(insert(tables.configurations), CONFIGURATION)
    database.dispose()
    return home


@pytest.fixture(scope="module")
def pages(home):
    """The address of the pages."""
    with served(shell_of(f"sqlite://{home}/calls.db", str(home / "recordings"))) as address:
        yield address


@pytest.fixture(scope="module")
def client(pages):
    """Asks for pages without a browser."""
    with httpx.Client(base_url=f"{pages}/", trust_env=False) as client:
        yield client


def rows(browser):
    """The cells of the list of calls that is shown."""
    return browser.driver.execute_script(
        "return [...document.querySelectorAll('.calls tbody tr')].map((row) => row.innerText)"
    )


def test_filters_find_calls_while_they_are_chosen(browser, pages):
    browser.driver.get(f"{pages}/calls")
    assert len(rows(browser)) == 50
    browser.find("#text").send_keys("WORD7")
    browser.until(lambda _: len(rows(browser)) == 1)
    assert "+4940007" in rows(browser)[0]
    assert "text=WORD7" in browser.driver.current_url
    browser.find("#text").clear()
    browser.driver.get(f"{pages}/calls?state=failed&pipeline=night&caller=%2B4940*")
    assert len(rows(browser)) == 2
    browser.find("#state option[value='lost']").click()
    browser.shows("No call matches")
    browser.driver.back()
    browser.until(lambda _: len(rows(browser)) == 2)


def test_older_calls_are_a_page_further_and_the_latest_a_click_away(browser, pages):
    browser.driver.get(f"{pages}/calls?caller=%2B4940*")
    first = rows(browser)
    browser.find("a[rel=next]").click()
    browser.until(lambda _: len(rows(browser)) == MANY - 50)
    assert not set(first) & set(rows(browser))
    browser.find(".pager a").click()
    browser.until(lambda _: rows(browser) == first)


def test_filters_work_without_scripts(client):
    assert client.get("calls?text=word7&last=&state=&caller=&version=").text.count("<tr>") == 2
    assert client.get("calls?version=6&caller=%2B4940*").text.count("<tr>") == 1 + MANY / 2
    assert client.get("calls?last=1h&caller=%2B4940*").text.count("<tr>") == 1 + 7
    assert client.get("calls?state=failover").text.count(">failover</a>") == 2
    answer = client.get("calls?version=new&from=yesterday&state=odd")
    assert answer.text.count("it was left out") == 3
    assert client.get("calls?after=nonsense").status_code == 400
    assert client.get("calls?from=0001-01-01&to=9999-12-31").status_code == 200


def test_a_call_is_found_by_either_of_its_ids(browser, pages):
    browser.driver.get(f"{pages}/calls")
    browser.find("#call").send_keys("0b8f7a52-failed-0001\n")
    browser.shows("exceeded your current quota")
    sentence = browser.find(".verdict .sentence").text
    assert "because the language model failed at 0:18: backup: no first word within 5000 ms" in sentence
    assert browser.find(".verdict .answered").text == f"It answered: {samples.QUOTA}"
    assert "failover" in browser.find(".call-head").text
    assert browser.find(".call-head").text.startswith("+4930123456")


def test_there_is_no_page_of_a_call_that_is_not_there(client):
    answer = client.get("calls/nobody")
    assert answer.status_code == 404
    assert "no record of this call" in answer.text
    assert client.get("calls/nobody%00").status_code == 404
    assert client.get("calls/%ff%fe").status_code == 404


def test_the_configuration_that_a_call_ran_on_is_shown_without_html_in_it(browser, pages, client):
    browser.driver.get(f"{pages}/calls/failed-0001/configuration")
    text = browser.find("body").text
    assert "greeting: Good morning <b>" in text
    assert "api_key: '***'" in text
    assert "/etc/voicepipe/ai-agent.yaml" in text
    assert "night" not in text  # it is not the call's pipeline
    browser.find("details summary").click()
    browser.shows("night")
    assert browser.driver.execute_script("return document.querySelectorAll('main b').length") == 0
    assert client.get("calls/hostile-0/configuration").status_code == 200
    assert "no pipeline of this name" in client.get("calls/hostile-0/configuration").text


def cursor(browser):
    return float(browser.find("[data-cursor=detail]").get_attribute("x1"))


def marked(browser):
    return [row.text.splitlines()[1] for row in browser.driver.find_elements("css selector", ".story li.now")]


def test_the_player_and_the_timeline_follow_each_other(browser, pages):
    browser.driver.get(f"{pages}/calls/ordinary-0001")
    run = browser.driver.execute_script
    a_second = float(browser.find("[data-timeline]").get_attribute("data-px-a-s"))
    browser.until(lambda _: run("return document.querySelector('audio').readyState") >= 1)
    assert run("return document.querySelector('audio').duration") == pytest.approx(48.6, abs=0.05)

    # a click on the bar of a reply, then on a moment of the list, then on the overview
    run("""
        const bar = [...document.querySelectorAll('.bar.is-agent > rect')][3], box = bar.getBoundingClientRect();
        bar.dispatchEvent(new MouseEvent('click', {bubbles: true, clientX: box.left + 5, clientY: box.top + 5}));
    """)
    browser.until(lambda _: run("return document.querySelector('audio').currentTime") == pytest.approx(14.3, abs=0.2))
    browser.until(lambda _: marked(browser) == ["agent"])
    assert cursor(browser) == pytest.approx(14.3 * a_second, abs=4)
    browser.find(".verdict [data-seek='39.6']").click()
    browser.until(lambda _: run("return document.querySelector('audio').currentTime") == pytest.approx(39.6, abs=0.1))
    assert marked(browser) == ["transfer"]

    run("const audio = document.querySelector('audio'); audio.muted = true; return audio.play()")
    before = cursor(browser)
    browser.until(lambda _: cursor(browser) > before + a_second)
    browser.until(lambda _: "agent" in marked(browser))
    run("document.querySelector('audio').pause()")
    playing = run("return document.querySelector('audio').currentTime")
    browser.until(lambda _: cursor(browser) == pytest.approx(playing * a_second, abs=a_second / 2))


def test_a_recording_is_sent_in_the_parts_that_a_player_asks_for(client):
    address = "calls/ordinary-0001/recording"
    whole = client.get(address)
    assert (whole.status_code, whole.headers["content-type"], whole.headers["accept-ranges"]) == (
        200,
        "audio/wav",
        "bytes",
    )
    part = client.get(address, headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert client.get(address, headers={"range": "bytes=99999999-"}).status_code == 416
    assert client.head(address).status_code in {200, 405}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "The recording was deleted."),
        ("elsewhere", "No pipeline of this engine records to the directory"),
        ("link", "No pipeline"),
        ("dots", "No pipeline"),
        ("text", "No pipeline"),
        ("directory", "No pipeline"),
    ],
)
def test_no_other_file_is_sent_whatever_a_record_names(client, name, reason):
    answer = client.get(f"calls/recorded-{name}/recording")
    assert answer.status_code == 404
    assert reason in answer.text
    page = client.get(f"calls/recorded-{name}")
    assert reason in page.text
    assert "<audio" not in page.text


FOREIGN = "return document.querySelectorAll('main script, main img, main [onerror], main [onmouseover]').length"


def test_nothing_that_a_caller_says_is_taken_for_html(browser, pages):
    browser.driver.get(f"{pages}/calls/hostile-{len(samples.HOSTILE)}")
    shown = " ".join(browser.find("body").get_attribute("textContent").split())
    for text in samples.HOSTILE:
        assert shown.count(" ".join(text.replace("\0", "").split())) >= 20
    assert browser.driver.execute_script(FOREIGN) == 0
    assert browser.driver.execute_script("return document.querySelector('[data-timeline] desc').textContent") != ""


class Tags(HTMLParser):
    """The elements of a page, each with the names of its attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found |= {(tag, name) for name, _ in attributes} | {(tag, "")}


@pytest.mark.parametrize("number", range(len(samples.HOSTILE)))
def test_a_page_has_no_other_tags_and_attributes_whatever_was_said(client, number):
    harmless = Tags(client.get("calls/hostile-plain").text).found
    assert Tags(client.get(f"calls/hostile-{number}").text).found == harmless


def test_nothing_that_a_caller_says_is_taken_for_html_in_lists_and_figures(browser, pages):
    for address in (
        "calls?state=failed&from=2026-12-01",
        "figures?span=90d",
        f"calls?text={quote(samples.HOSTILE[1])}",
    ):
        browser.driver.get(f"{pages}/{address}")
        assert browser.driver.execute_script(FOREIGN) == 0
    assert browser.find("#text").get_attribute("value") == samples.HOSTILE[1]


def test_a_call_that_is_up_is_shown_as_it_goes_on(browser, pages, home):
    browser.driver.get(f"{pages}/calls/up-0001")
    browser.until(lambda _: browser.find("[data-live-state]").text == "live")
    assert browser.find(".verdict").text == "The call is up."
    database = make_database(home / "calls.db")
    with database.begin() as connection:
        said = turn(2, (3, 4), (4.6, 6), ("is anybody there", "Yes, here I am."))
        connection.execute(insert(tables.turns), {"call_id": "up-0001", "position": 1, **said})
    browser.shows("Yes, here I am.")
    with database.begin() as connection:
        ended = {"state": "ended", "outcome": "said_goodbye", "detail": "bye", "duration_s": 9.0}
        connection.execute(update(tables.calls).where(tables.calls.c.call_id == "up-0001").values(ended))
    browser.shows("The caller said goodbye (“bye”)")
    database.dispose()


def test_a_long_call_scrolls_in_its_frame_and_the_overview_leads_anywhere(browser, pages):
    browser.driver.get(f"{pages}/calls/long-0001")
    run = browser.driver.execute_script
    browser.resize(*NARROW)
    assert browser.overflow() == 0
    run("""
        const all = document.querySelector('[data-overview]'), box = all.getBoundingClientRect();
        const there = {bubbles: true, clientX: box.left + box.width / 3, clientY: box.top + 5};
        all.dispatchEvent(new MouseEvent('click', there));
    """)
    box = "document.querySelector('[data-scroller]')"
    assert run(f"return {box}.scrollLeft / {box}.scrollWidth") == pytest.approx(1 / 3, abs=0.02)
    browser.until(lambda _: float(browser.find("[data-window]").get_attribute("x")) > 10_000)
    assert "ears failed" in run("return document.querySelector('.mark.is-failed text').textContent")


def test_figures_are_drawn_and_two_versions_compared(browser, pages):
    browser.driver.get(f"{pages}/figures?span=24h")
    assert browser.find(".facts dd").text != ""
    assert browser.driver.execute_script("return document.querySelectorAll('.plot').length") >= 6
    browser.find("#version option[value='6']").click()
    browser.find("#other option[value='7']").click()
    browser.shows("Version 6 and version 7")
    cells = [cell.text for cell in browser.driver.find_elements("css selector", ".compared tbody tr:first-child td")]
    assert cells[:2] == ["30", "30"]
    assert browser.driver.execute_script("return document.querySelectorAll('.is-line.colour-2').length") >= 4
    browser.find("details summary").click()
    assert "7" in browser.find("details tbody").text


def test_hours_are_those_of_the_readers_zone(browser, pages):
    zone = {"timezoneId": "Asia/Tokyo"}
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", zone)
    try:
        browser.driver.get(f"{pages}/figures")
        browser.shows("Hours and days are those of Asia/Tokyo.")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


ADDRESSES = ("calls", "calls/failed-0001", "calls/ordinary-0001", "calls/hostile-8", "figures?span=7d")


SHADES = """
    const shade = (colour) => {
        const [red, green, blue] = colour.match(/[\\d.]+/g).map(Number);
        return (red * 299 + green * 587 + blue * 114) / 1000;
    };
    const ground = shade(getComputedStyle(document.body).backgroundColor);
    return [...document.querySelectorAll('main h1, main p, main td, main .what')].slice(0, 60)
        .map((element) => Math.abs(shade(getComputedStyle(element).color) - ground));
"""
"""How far texts are from their ground."""


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_page_fits_on_a_telephone_and_can_be_read_in_light_and_dark(browser, pages, address):
    browser.resize(*NARROW)
    browser.driver.get(f"{pages}/{address}")
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        assert min(browser.driver.execute_script(SHADES)) > 60
    assert browser.overflow() == 0
    browser.resize(*WIDE)
    assert browser.overflow() == 0


@pytest.mark.parametrize(("records", "words"), [(None, "Nothing is stored"), ("calls.jsonl", "a page can't search it")])
def test_an_engine_without_a_database_says_how_to_have_one(records, words):
    with served(shell_of(records)) as address, httpx.Client(base_url=f"{address}/", trust_env=False) as client:
        assert words in client.get("calls").text
        assert "records: sqlite:///" in client.get("calls").text
        assert "keeps no figures" in client.get("figures").text
        assert client.get("calls/some-call").status_code == 404


def test_a_database_that_is_away_is_said(tmp_path):
    with served(shell_of(f"sqlite://{tmp_path}/gone.db")) as address, httpx.Client(trust_env=False) as client:
        for page in ("calls", "calls/some-call", "figures"):
            answer = client.get(f"{address}/{page}")
            assert answer.status_code == 503
            assert "the file of the database is not there" in answer.text


def test_a_new_database_says_that_no_call_has_come(tmp_path):
    make_database(tmp_path / "calls.db").dispose()
    with served(shell_of(f"sqlite://{tmp_path}/calls.db")) as address, httpx.Client(trust_env=False) as client:
        assert "No call has come yet" in client.get(f"{address}/calls").text
        assert "No call has ended" in client.get(f"{address}/figures").text


def test_nothing_has_changed_since_a_call_whose_set_is_gone(client):
    assert client.get("calls/hostile-0/difference").text.count("serves no set") == 1
    assert client.get("calls/nobody/difference").status_code == 404


@pytest.mark.parametrize(("call", "at_s"), [("long-0001", 2400.0), ("failed-0001", 12.9), ("ordinary-0001", 0.0)])
def test_a_timeline_that_does_not_fit_begins_at_what_went_wrong(browser, pages, call, at_s):
    browser.resize(*NARROW)
    browser.driver.get(f"{pages}/calls/{call}")
    begins, ends = browser.driver.execute_script(
        "const box = document.querySelector('[data-scroller]'),"
        " scale = Number(document.querySelector('[data-timeline]').dataset.pxAS);"
        "return [box.scrollLeft / scale, (box.scrollLeft + box.clientWidth) / scale]"
    )
    assert begins <= at_s < ends
    assert (begins == 0) == (at_s == 0)
