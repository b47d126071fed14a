"""One Chromium for all tests of pages, without a screen, driven by Selenium; nothing of it goes beyond this machine."""

from __future__ import annotations

import os
import shutil

import pytest
from browser import FLAGS, WIDE
from patience import LONG_S


class Browser:
    """The browser, with what tests of pages ask of it; `driver` is Selenium's.

    Every page that it has shown is looked at: a complaint of the console, such as a script that the CSP has refused,
    fails the test.
    """

    def __init__(self, driver):
        self.driver = driver

    def resize(self, width, height):
        """Gives pages that size, also below what a window can have."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, scheme):
        """Prefers `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def find(self, selector):
        """The first element of a CSS selector."""
        return self.driver.find_element("css selector", selector)

    def until(self, condition):
        """Waits until a function of the driver returns something true, and returns that."""
        from selenium.common.exceptions import StaleElementReferenceException  # noqa: PLC0415
        from selenium.webdriver.support.wait import WebDriverWait  # noqa: PLC0415

        ignored = [StaleElementReferenceException]
        return WebDriverWait(self.driver, LONG_S, poll_frequency=0.05, ignored_exceptions=ignored).until(condition)

    def shows(self, text):
        """Waits until the page has that text."""
        self.until(lambda _driver: text in self.find("body").text)

    def overflow(self):
        """By how many pixels the page is wider than its window."""
        return self.driver.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def complaints(self):
        """What the console has complained of since this was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium and its driver, which are installed or the test is skipped: nothing is downloaded."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if missing := [name for name, path in programs.items() if path is None]:
        pytest.skip(f"there is no {' and no '.join(missing)}: apt install chromium chromium-driver")
    os.environ["SE_OFFLINE"] = "true"
    os.environ["SE_AVOID_STATS"] = "true"
    from selenium.webdriver import Chrome, ChromeOptions  # noqa: PLC0415
    from selenium.webdriver.chrome.service import Service  # noqa: PLC0415

    options = ChromeOptions()
    options.binary_location = programs["chromium"]
    for flag in (*FLAGS, "--disable-dev-shm-usage", "--hide-scrollbars", "--no-proxy-server"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(programs["chromedriver"]))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture
def browser(chromium):
    """The browser on an empty page without cookies; a complaint of its console fails the test."""
    chromium.driver.get("about:blank")
    chromium.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chromium.resize(*WIDE)
    chromium.prefer("light")
    chromium.complaints()
    yield chromium
    assert chromium.complaints() == []
    chromium.driver.get("about:blank")
