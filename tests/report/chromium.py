"""A minimal client of headless Chromium: the DevTools protocol over two pipes, without a browser driver.

Messages are JSON, each followed by a zero byte.

Reference: https://chromedevtools.github.io/devtools-protocol
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
_PATIENCE = 60.0  # seconds to wait for a response
_COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Network.loadingFailed")


class Event(NamedTuple):
    """An event of the browser."""

    method: str
    params: dict[str, Any]


class Tab:
    """A browser tab.

    Args:
        read, write: file descriptors of the pipes from and to the browser.

    Attributes:
        events: events since the last call of :meth:`open`.
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
        """Load a file in a window of the given width, in pixels, and wait for the load event."""
        self.events.clear()
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Page.navigate", url=page.absolute().as_uri())
        while all(event.method != "Page.loadEventFired" for event in self.events):
            self._next()

    def evaluate(self, expression: str) -> Any:
        """Evaluate a JavaScript expression; await it if it is a promise."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def complaints(self) -> list[Event]:
        """Return console messages, exceptions and failed requests."""
        return [event for event in self.events if event.method in _COMPLAINTS]

    def requests(self) -> list[str]:
        """Return the requested URLs, without data URIs."""
        urls = [event.params["request"]["url"] for event in self.events if event.method == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")]

    def printed(self) -> bytes:
        """Print the page to PDF."""
        return base64.b64decode(self.call("Page.printToPDF")["data"])

    def screenshot(self) -> bytes:
        """Take a screenshot of the whole page, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"])

    def _next(self) -> dict[str, Any]:
        """Return the next message; record it if it is an event."""
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            assert data, "Chromium has exited or does not respond"
            self._received += data
        text, _, self._received = self._received.partition(b"\0")
        message = json.loads(text)
        if "method" in message:
            self.events.append(Event(message["method"], message["params"]))
        return message


@contextmanager
def tab() -> Iterator[Tab]:
    """Start a browser with a fresh profile, yield a tab, and terminate the browser."""
    theirs_read, write = os.pipe()
    read, theirs_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The protocol uses file descriptors 3 and 4.
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
