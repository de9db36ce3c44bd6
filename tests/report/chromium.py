"""A tab of headless Chromium, spoken to in its DevTools protocol over two pipes, so that nothing has to be installed.

Reference: https://chromedevtools.github.io/devtools-protocol; messages are JSON, a zero byte after each.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
)
_PATIENCE = 60.0  # seconds to wait for an answer
_COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Network.loadingFailed")


class Event(NamedTuple):
    """Something that the browser reported by itself."""

    method: str
    params: dict[str, Any]


class Tab:
    """One tab.

    Args:
        read, write: descriptors of the pipes from and to the browser.

    Attributes:
        events: what happened since :meth:`open`.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._received, self._number = read, write, b"", 0
        self._session: dict[str, str] = {}
        self.events: list[Event] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def open(self, page: Path, width: int, dark: bool = False, media: str = "screen") -> None:
        """Load a file in a window of some width, in pixels, and wait until it is there."""
        self.events.clear()
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Page.navigate", url=page.absolute().as_uri())
        while all(event.method != "Page.loadEventFired" for event in self.events):
            self._next()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of the promise that it is."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def complaints(self) -> list[Event]:
        """Console messages, exceptions and failed requests."""
        return [event for event in self.events if event.method in _COMPLAINTS]

    def requests(self) -> list[str]:
        """What was asked for, but for what the page itself holds."""
        urls = [event.params["request"]["url"] for event in self.events if event.method == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")]

    def printed(self) -> bytes:
        """The page as a PDF."""
        return base64.b64decode(self.call("Page.printToPDF")["data"])

    def screenshot(self) -> bytes:
        """The whole page as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"])

    def _next(self) -> dict[str, Any]:
        """The next message; an event is kept as well."""
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            assert data, "Chromium has ended or does not answer"
            self._received += data
        text, _, self._received = self._received.partition(b"\0")
        message = json.loads(text)
        if "method" in message:
            self.events.append(Event(message["method"], message["params"]))
        return message


@contextmanager
def tab() -> Iterator[Tab]:
    """A tab of a browser with a fresh profile, which ends with it."""
    theirs_read, write = os.pipe()
    read, theirs_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The protocol has its descriptors 3 and 4.
        start = f'exec "$0" "$@" 3<&{theirs_read} 4>&{theirs_write}'
        command = ["bash", "-c", start, str(PROGRAM), *_FLAGS, f"--user-data-dir={profile}"]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, pass_fds=(theirs_read, theirs_write), **silent) as process:
            os.close(theirs_read)
            os.close(theirs_write)
            try:
                yield Tab(read, write)
            finally:
                process.terminate()
                os.close(read)
                os.close(write)
