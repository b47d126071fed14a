"""The pages Now and Configuration of a real engine in Chromium: live, buttons, a telephone, hostile texts."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

import trio
from browser import NARROW, WIDE
from engine_process import open_engine

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

TOKEN = "a-token-of-sixteen"
ONE_SET = """\
pipeline_sets: {main: ai-agent.yaml}
listeners: [{set: main, port: 0}]
control: c.sock
admin: {port: 0}
"""
HOSTILE = """<img src=x onerror="document.title='taken'"><b>bold</b>{{ 7 * 7 }}"""


async def do(function, *args):
    """Runs what waits for the browser in a thread: the engine's log is read meanwhile."""
    return await trio.to_thread.run_sync(partial(function, *args))


def button(browser, label):
    """The first button of that label, or with it as its name for screen readers."""
    (found, *_) = [
        each
        for each in browser.driver.find_elements("css selector", "button")
        if label in {each.text, each.get_attribute("aria-label")}
    ]
    return found


def outcome(browser, text):
    """Waits until the outcome of a button has that text."""
    browser.until(lambda _driver: text in browser.find("#outcome").text)


def refuses_without_a_token(browser, address):
    browser.driver.get(f"{address}/")
    assert browser.driver.current_url == f"{address}/pages/now", "browsers are sent to the pages"
    browser.shows("No call is up.")
    browser.until(lambda _driver: browser.find("[data-live-state]").text == "live")
    assert browser.complaints() == []
    browser.driver.get(f"{address}/pages/configuration")
    button(browser, "Reload everything").click()
    outcome(browser, "Buttons work only for who has signed in with a token")
    (complaint,) = browser.complaints()
    assert "403" in complaint, "the browser itself says that it was refused"


def signs_in(browser, address):
    browser.driver.get(f"{address}/pages/now")
    for token in ("wrong", TOKEN):
        browser.find("#token").send_keys(token)
        browser.find("main button").click()
        if token == "wrong":
            browser.shows("That is not the token.")
            (complaint,) = browser.complaints()
            assert "403" in complaint
    browser.shows("Calls up")
    assert browser.driver.current_url == f"{address}/pages/now"
    assert browser.driver.execute_script("return document.cookie") == "", "scripts don't see the cookie"


def shows_the_call(browser, call_id):
    """By an update: the page is the one that was opened before the call."""
    browser.until(lambda driver: driver.find_elements("css selector", f"#call-{call_id}"))
    browser.until(lambda _driver: HOSTILE in browser.find(f"#call-{call_id} .words").text)
    browser.until(lambda _driver: HOSTILE in browser.find(f"#call-{call_id} th").text)
    inside = "return document.querySelectorAll('#content img, #content b, #content script').length"
    assert browser.driver.execute_script(inside) == 0
    assert browser.driver.title == "Now · voicepipe"


def fits(browser, address):
    """No page is wider than a telephone's screen, or a desk's, light or dark."""
    grounds = set()
    for path in ("now", "configuration", "sign-in", "nothing"):
        browser.driver.get(f"{address}/pages/{path}")
        for size in (NARROW, WIDE):
            browser.resize(*size)
            assert browser.overflow() == 0, (path, size)
    assert all("404" in complaint for complaint in browser.complaints())
    for scheme in ("dark", "light"):
        browser.prefer(scheme)
        grounds.add(browser.find("body").value_of_css_property("background-color"))
    assert len(grounds) == 2
    from selenium.webdriver import ActionChains, Keys  # noqa: PLC0415

    ActionChains(browser.driver).send_keys(Keys.TAB).perform()
    assert browser.driver.switch_to.active_element.text == "Skip to content"


def reloads_and_rolls_back(browser, address):
    browser.driver.get(f"{address}/pages/configuration")
    browser.until(lambda _driver: "ai-agent.yaml:5" in browser.find("#list").text)
    button(browser, "Reload main").click()
    outcome(browser, "main: version 2 serves, from the next call on")
    browser.until(lambda driver: driver.find_elements("css selector", "[aria-label='Drain version 1']"))
    button(browser, "Roll back to version 1").click()
    browser.driver.switch_to.alert.accept()
    outcome(browser, "main: version 3 serves as 1 did")


def signs_out(browser, address):
    button(browser, "Sign out").click()
    browser.until(lambda driver: driver.current_url == f"{address}/pages/sign-in")
    browser.driver.get(f"{address}/pages/configuration")
    browser.shows("Sign in")


async def test_an_operator_at_work(home, browser):
    (home / "engine.yaml").write_text(ONE_SET)
    async with open_engine(home, file="engine.yaml") as engine:
        await do(refuses_without_a_token, browser, engine.admin)
        assert engine.count("reload.unchanged") == 0
        engine.edit("admin: {port: 0}", f"admin: {{port: 0, token: {TOKEN}}}", file="engine.yaml")
        assert (await engine.ask("POST", "/-/reload")).status_code == 200
        await do(signs_in, browser, engine.admin)

        transport_id = uuid4()
        announced = await engine.ask("PUT", f"/calls/{transport_id}", json={"caller": HOSTILE})
        assert announced.status_code == 200
        async with open_audiosocket_call(port=engine.port, call_id=transport_id) as caller:
            call_id = await engine.id_of(caller)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: engine.ask("POST", f"/calls/{call_id}/say", json={"text": HOSTILE}))
                await do(shows_the_call, browser, call_id)
            await do(fits, browser, engine.admin)
            engine.edit("active_pipeline: default", "active_pipeline: night")
            await do(reloads_and_rolls_back, browser, engine.admin)
        await do(signs_out, browser, engine.admin)
        assert [record["trigger"] for record in engine.records if record["event"] == "reload.applied"] == ["page"] * 2
