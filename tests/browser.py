"""A real browser for tests: Debian's Chromium without a window, told what to do through a pair of pipes.

The protocol is Chromium's own (DevTools), one JSON document after another, each ended by a zero byte. No port is
opened and no package is needed.
"""

import base64
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Facts = dict[str, Any]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WAIT_SECONDS = 60.0
_PAPER = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": True, "printBackground": True}


class BrowserError(AssertionError):
    """The browser is missing, went away, or refused; the sentence says which."""


def find_browser() -> str:
    """Give the path of Chromium. Raises BrowserError with the way out when there is none."""
    found = next((path for path in map(shutil.which, _NAMES) if path), None)
    if found is None:
        raise BrowserError(
            "There is no Chromium on this machine, and a page can only be judged by a browser: "
            "apt-get install --no-install-recommends chromium"
        )
    return found


class Browser:
    """One browser with one page; it is ended, by its process id, when the context is left."""

    def __init__(self) -> None:
        """Find the browser; it is started when the context is entered."""
        self._program = find_browser()
        self._numbers = itertools.count(1)
        self._events: list[Facts] = []
        self._unread = b""
        self._session = ""

    def __enter__(self) -> Self:
        """Start the browser with a fresh profile and open an empty page."""
        self._profile = Path(tempfile.mkdtemp(prefix="loans-browser-"))
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        try:
            self._process = self._start(theirs_in, theirs_out)
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the browser and remove its profile."""
        self._stop()

    def open(self, path: Path) -> None:
        """Open a file and wait until all of it is loaded."""
        self._events.clear()
        failure = self.call("Page.navigate", url=path.as_uri()).get("errorText")
        if failure:
            raise BrowserError(f"{path} was not opened: {failure}")
        self._read_until(lambda: any(event["method"] == "Page.loadEventFired" for event in self._events))

    def requests(self) -> list[str]:
        """List the addresses that were asked for since the page was opened, its own first."""
        return [
            event["params"]["request"]["url"]
            for event in self._events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """List what the browser complained about since the page was opened: refused requests, errors."""
        return [event["params"]["entry"]["text"] for event in self._events if event["method"] == "Log.entryAdded"]

    def run(self, script: str) -> Any:
        """Give the value of an expression in the page."""
        # The page's own policy forbids scripts; what a debugger asks is no script of the page.
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"The page says: {answer['exceptionDetails']['exception'].get('description')}")
        return answer["result"].get("value")

    def show(self, width: int, *, dark: bool = False, height: int = 900, medium: str = "screen") -> None:
        """Set the width (CSS pixels), the colours that the reader prefers, and the medium."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=medium, features=[scheme])

    def picture(self) -> bytes:
        """Take a picture of the whole page (PNG)."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def paper(self) -> bytes:
        """Print the page on A4 (PDF), whatever medium and colours were shown before."""
        scheme = {"name": "prefers-color-scheme", "value": "dark"}
        self.call("Emulation.setEmulatedMedia", media="", features=[scheme])
        return base64.b64decode(self.call("Page.printToPDF", **_PAPER)["data"])

    def call(self, method: str, **parameters: Any) -> Facts:
        """Call a method of the protocol and give its result. Raises BrowserError as the browser refuses."""
        number = next(self._numbers)
        message: Facts = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._send(json.dumps(message).encode() + b"\0")
        answer: Facts = {}

        def answered() -> bool:
            found = next((event for event in self._events if event.get("id") == number), None)
            if found:
                self._events.remove(found)
                answer.update(found)
            return bool(found)

        self._read_until(answered)
        if "error" in answer:
            raise BrowserError(f"The browser refused {method}: {answer['error']['message']}")
        result: Facts = answer["result"]
        return result

    def _start(self, theirs_in: int, theirs_out: int) -> "subprocess.Popen[bytes]":
        # Chromium reads at descriptor 3 and writes at 4; a shell puts the pipes there without a hook in the child.
        # As root it does not run with its sandbox; the pages are this repository's own.
        command = [
            self._program,
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={self._profile}",
            "about:blank",
        ]
        redirect = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        return subprocess.Popen(
            ["/bin/bash", "-c", redirect, "browser", *command],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _send(self, message: bytes) -> None:
        try:
            while message:
                message = message[os.write(self._out, message) :]
        except BrokenPipeError as error:
            raise BrowserError(f"{self._program} went away: exit code {self._process.poll()}") from error

    def _read_until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not reached():
            ready, _, _ = select.select([self._in], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise BrowserError(f"{self._program} gave no answer within {_WAIT_SECONDS:.0f} s.")
            read = os.read(self._in, 1 << 20)
            if not read:
                raise BrowserError(f"{self._program} went away: exit code {self._process.poll()}")
            *messages, self._unread = (self._unread + read).split(b"\0")
            self._events += [json.loads(message) for message in messages]

    def _stop(self) -> None:
        os.close(self._out)
        os.close(self._in)
        # The browser's own children are in its process group.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)
