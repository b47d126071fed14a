"""Debian's Chromium with pages that a test drives: clicks, keys, scripts, and what the console says.

It speaks the DevTools protocol over our own WebSocket client. The browser is a process of its own in real time, so a
test waits for what the page shows (`Page.until`), and never for a time.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import define, field
from browser import FLAGS
from patience import LONG_S

from voicepipe.wire.websocket import open_websocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

MICROPHONE = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--use-file-for-fake-audio-capture={}",
)
"""Flags for a microphone that is a WAV file, to be formatted with its path. It begins when a page opens it, and again
at its end."""


@contextmanager
def running_chromium(profile: Path, *flags: str) -> Iterator[str]:
    """The address of a Chromium's DevTools; the browser ends with the context. Skips the test if none is installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: apt install chromium")
    command = [chromium, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", *flags, "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if line.startswith("DevTools listening on "):
                    yield line.split()[-1]
                    break
            else:
                pytest.fail(f"chromium ended: {''.join(said)}")
        finally:
            process.terminate()
            process.communicate()


@define(eq=False)
class Page:
    """A page in a browser context of its own: no cookies or permissions are shared with other pages."""

    _browser: DevTools
    _session: str
    complaints: list[str] = field(factory=list)
    """Exceptions of scripts, errors and warnings of the console and of the network, and breaches of the CSP."""

    async def command(self, method: str, **parameters: Any) -> Any:
        """Sends a command for this page, and returns its result."""
        return await self._browser.command(method, session=self._session, **parameters)

    async def open(self, address: str) -> None:
        """Opens an address, and returns when its scripts were loaded."""
        await self.command("Page.navigate", url=address)
        await self.until(
            f"location.href.startsWith({address.partition('#')[0]!r}) && document.readyState == 'complete'"
        )

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression; of a promise, what it resolves to."""
        answer = await self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Waits until an expression is true, and returns its value."""
        with trio.move_on_after(LONG_S):
            # The page looks by itself: asking again and again would cost both processes more.
            return await self.evaluate(
                "new Promise(resolve => { const look = () => { let value = null;"
                f" try {{ value = {expression} }} catch {{ }}"
                " if (value) resolve(value); else setTimeout(look, 20) }; look() })"
            )
        pytest.fail(f"it never came to {expression}; the page shows:\n{await self.text('body')}\n{self.complaints}")

    async def text(self, selector: str) -> str:
        """The text of an element, as it is shown."""
        return await self.evaluate(f"document.querySelector({selector!r})?.innerText ?? ''")

    async def texts(self, selector: str) -> list[str]:
        """The texts of all elements that match."""
        return await self.evaluate(f"[...document.querySelectorAll({selector!r})].map(e => e.innerText.trim())")

    async def click(self, selector: str) -> None:
        """Clicks on an element, which must be visible there."""
        await self.until(f"document.querySelector({selector!r}).checkVisibility()")
        box = await self.evaluate(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            f" return [b.x + b.width / 2, b.y + b.height / 2] }})(document.querySelector({selector!r}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.command("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    async def press(self, key: str) -> None:
        """Presses a key of the keyboard."""
        text = {"text": key} if len(key) == 1 else {}
        await self.command("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        await self.command("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def screenshot(self, path: Path, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Writes a picture of the page."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.command("Emulation.setEmulatedMedia", features=scheme)
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await trio.sleep(0.3)  # until what moves has come to rest
        answer = await self.command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))  # noqa: ASYNC240


class DevTools:
    """A connection to a browser."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        self._number = 0
        self._answers: dict[int, Any] = {}
        self._arrived = trio.Event()
        self._pages: dict[str, Page] = {}

    async def command(self, method: str, *, session: str = "", **parameters: Any) -> Any:
        """Sends a command, and returns its result."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        await self._websocket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        with trio.fail_after(LONG_S):
            while number not in self._answers:
                await self._arrived.wait()
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    async def receive(self) -> None:
        """Takes answers and events, until it is cancelled."""
        while True:
            message = json.loads(await self._websocket.recv())
            if "id" in message:
                self._answers[message["id"]] = message
                self._arrived.set()
                self._arrived = trio.Event()
            elif complaint := complaint_of(message["method"], message["params"]):
                self._pages[message["sessionId"]].complaints.append(complaint)

    @asynccontextmanager
    async def open_page(self) -> AsyncIterator[Page]:
        """An empty page."""
        context = (await self.command("Target.createBrowserContext"))["browserContextId"]
        target = (await self.command("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.command("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log"):
            await page.command(f"{domain}.enable")
        try:
            yield page
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LONG_S):
                await self.command("Target.disposeBrowserContext", browserContextId=context)


def complaint_of(method: str, parameters: Any) -> str:
    """What an event of the browser complains about; empty: nothing."""
    if method == "Runtime.exceptionThrown":
        details = parameters["exceptionDetails"]
        return f"exception: {details.get('exception', {}).get('description', details['text'])}"
    if method == "Runtime.consoleAPICalled" and parameters["type"] in {"error", "warning", "assert"}:
        return f"console: {[argument.get('value') for argument in parameters['args']]}"
    if method == "Log.entryAdded" and parameters["entry"]["level"] in {"error", "warning"}:
        return f"log: {parameters['entry']['text']} ({parameters['entry'].get('url', '')})"
    return ""


@asynccontextmanager
async def open_devtools(address: str) -> AsyncIterator[DevTools]:
    """A connection to the browser whose DevTools are at an address."""
    async with open_websocket(address, headers={}, ping_interval=None) as websocket, trio.open_nursery() as nursery:
        devtools = DevTools(websocket)
        nursery.start_soon(devtools.receive)
        yield devtools
        nursery.cancel_scope.cancel()
