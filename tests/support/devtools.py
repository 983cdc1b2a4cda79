"""Pages that are used, not only looked at: Chromium, driven through its debugging pipe.

`tests.support.browser.look` opens a file and takes its picture; this opens an address, clicks and
types, and asks what is on the page, as its reader would see it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import CHART_FAULTS, LAPTOP, NAMES, PHONE

_PATIENCE = 60.0

# A function of a document and the width of its window, in JavaScript: what a person would complain
# about. Everything is measured in pixels of the screen.
_FAULTS = """(page, width) => {
  const root = page.documentElement, faults = [];
  if (root.scrollWidth > width) faults.push(`the page is ${root.scrollWidth} wide`);
  for (const svg of page.querySelectorAll("svg")) {
    const box = svg.getBoundingClientRect();
    CHART_FAULTS
  }
  return faults;
}""".replace("CHART_FAULTS", CHART_FAULTS)


class Page:
    """One tab.

    Attributes:
        console: messages and errors, those of the network and of the policy among them.
        requested: addresses that the page asked for.
    """

    def __init__(self, sending: int, receiving: int) -> None:
        self.console: list[str] = []
        self.requested: list[str] = []
        self._sending, self._receiving = sending, receiving
        self._number, self._session, self._rest = 0, "", b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A method of the DevTools protocol."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._sending, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            got = os.read(self._receiving, 1 << 20)
            assert got, "Chromium has ended"
            self._rest += got
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        method, values = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.console.append(str(values["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(str(values["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.console.append(f"{values['entry']['text']} {values['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requested.append(values["request"]["url"])

    def show_as(self, *, phone: bool = False, dark: bool = False) -> None:
        """Be a laptop or a phone of someone who prefers light or dark colours."""
        width, height = PHONE if phone else LAPTOP
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str) -> None:
        """Open an address, and wait until it has loaded."""
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def back(self) -> None:
        """Go to the page before this one, as the browser's button does."""
        history = self.call("Page.getNavigationHistory")
        entry = history["entries"][history["currentIndex"] - 1]
        self.call("Page.navigateToHistoryEntry", entryId=entry["id"])

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, which may be a promise."""
        done = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, expression: str, patience: float = _PATIENCE) -> Any:
        """Wait until an expression is true, and give its value."""
        end = time.monotonic() + patience
        while not (value := self._tried(expression)):
            assert time.monotonic() < end, f"still not: {expression}\n{self.console}"
            time.sleep(0.03)
        return value

    def _tried(self, expression: str) -> Any:
        with contextlib.suppress(AssertionError):  # a page that is just being replaced
            return self.ask(expression)

    def click(self, selector: str) -> None:
        """Click on the middle of an element, which must be what a reader would hit there."""
        place = json.dumps(selector)
        x, y, hit = self.wait(
            f"""(() => {{
              const one = document.querySelector({place});
              if (!one) return null;
              one.scrollIntoView({{block: "center", inline: "center"}});
              const box = one.getBoundingClientRect();
              const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
              const top = document.elementFromPoint(x, y);
              return [x, y, one === top || one.contains(top)];
            }})()"""
        )
        assert hit, f"something else covers {selector}"
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Replace what is in an input, and leave it."""
        self.ask(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)
        self.ask("document.activeElement.blur()")

    def faults(self) -> list[str]:
        """A page wider than its window; texts of charts that are cut off or lie on each other."""
        return list(self.ask(f"({_FAULTS})(document, document.documentElement.clientWidth)"))

    def picture(self, file: Path) -> None:
        """Take a picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        taken = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A Chromium without a window, with one tab.

    Args:
        folder: for its files.
    """
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    for_browser, sending = os.pipe()
    receiving, from_browser = os.pipe()
    command = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}",
        "--remote-debugging-pipe", "about:blank",
    ]  # fmt: skip
    shell = f'exec "$@" 3<&{for_browser} 4>&{from_browser}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "chromium", *command],
        pass_fds=[for_browser, from_browser], env={**os.environ, "HOME": str(folder)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(for_browser)
    os.close(from_browser)
    try:
        page = Page(sending, receiving)
        yield page
        page._session = ""
        page.call("Browser.close")
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        os.close(sending)
        os.close(receiving)
