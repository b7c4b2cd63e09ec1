"""A page in headless Chromium, driven as a person drives it: real mouse, wheel, touch and keys, by
the browser's own protocol over a pipe. No driver has to be installed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""Under which Chromium may be installed."""

WHY_NOT = "no Chromium is installed (Debian: apt-get install chromium)"
"""Why a test is skipped."""

PATIENCE_S = 60.0
"""How long an answer may take on a busy machine."""


def chromium() -> str | None:
    """Chromium's path; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One page of a running Chromium.

    Attributes:
        console: What the page has said on its console, errors included.
        asked: Addresses that the page has asked for, besides those of its own data.
    """

    def __init__(self, process: subprocess.Popen[bytes], to: int, out: int) -> None:
        self.console: list[str] = []
        self.asked: list[str] = []
        self._process, self._to, self._out = process, to, out
        self._rest, self._number, self._session = b"", 0, ""
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        attached = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")

    def open(
        self, address: str, *, width: int = 1200, height: int = 900, dark: bool = False
    ) -> None:
        """Goes to an address and waits until it is loaded and painted."""
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        calm = {"name": "prefers-reduced-motion", "value": "reduce"}
        self._send("Emulation.setEmulatedMedia", features=[scheme, calm])
        self._send("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete'")
        self.painted()

    def resize(self, width: int, height: int) -> None:
        """Gives the page another size."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        answer = self._send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def painted(self) -> None:
        """Returns when what was asked for is painted."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def wait_for(self, expression: str) -> None:
        """Returns when an expression is true."""
        end = time.monotonic() + PATIENCE_S
        while not self.run(expression):
            if time.monotonic() > end:
                raise AssertionError(f"never true: {expression}")
            time.sleep(0.02)

    def centre(self, selector: str) -> tuple[float, float]:
        """The middle of an element, after scrolling to it."""
        x, y = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect(); "
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return float(x), float(y)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """A mouse event: ``mousePressed``, ``mouseMoved``, ``mouseReleased`` or ``mouseWheel``."""
        self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        """A click at a place."""
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)
        self.painted()

    def drag(self, *places: tuple[float, float]) -> None:
        """Presses at the first place, moves over the others, lets go at the last."""
        self.mouse("mousePressed", *places[0], button="left", clickCount=1)
        for place in places[1:]:
            self.mouse("mouseMoved", *place, button="left", buttons=1)
        self.mouse("mouseReleased", *places[-1], button="left", clickCount=1)
        self.painted()

    def wheel(self, x: float, y: float, down: float) -> None:
        """Turns the wheel."""
        self.mouse("mouseWheel", x, y, deltaX=0, deltaY=down)
        self.painted()

    def touch(self, kind: str, *places: tuple[float, float]) -> None:
        """Fingers at places: ``touchStart``, ``touchMove`` or ``touchEnd``."""
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self._send("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def press(self, key: str, text: str = "") -> None:
        """A key, with the text that it types, if any."""
        named: dict[str, Any] = {"key": key, **({"text": text} if text else {})}
        for kind in ("keyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", type=kind, **named)
        self.painted()

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """What is in view, or the whole page, as a PNG."""
        answer = self._send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        answer = self._send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(answer["data"])

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._hear(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._out, 1 << 16)
            if not part:
                raise AssertionError(f"Chromium has ended ({self._process.poll()})")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _hear(self, event: dict[str, Any]) -> None:
        facts = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                self.console.append(str([part.get("value") for part in facts["args"]]))
            case "Runtime.exceptionThrown":
                self.console.append(json.dumps(facts["exceptionDetails"])[:500])
            case "Log.entryAdded":
                self.console.append(facts["entry"]["text"])
            case "Network.requestWillBeSent":
                address = facts["request"]["url"]
                if not address.startswith(("data:", "about:")):
                    self.asked.append(address)


@contextmanager
def chromium_page(profile: Path) -> Iterator[Page]:
    """A page, for the time of a ``with``.

    Args:
        profile: Empty folder for what the browser keeps.

    Raises:
        FileNotFoundError: There is no Chromium.
    """
    path = chromium()
    if path is None:
        raise FileNotFoundError(WHY_NOT)
    to_read, to = os.pipe()
    out, out_write = os.pipe()
    switches = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    switches += ["--no-first-run", "--hide-scrollbars", f"--user-data-dir={profile}"]

    def give_pipes() -> None:
        # the browser reads from 3 and writes to 4; copies first, for they may be 3 and 4 already
        first, second = os.dup(to_read), os.dup(out_write)
        os.dup2(first, 3)
        os.dup2(second, 4)

    process = subprocess.Popen(
        [path, *switches],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=give_pipes,
    )
    os.close(to_read)
    os.close(out_write)
    try:
        yield Page(process, to, out)
    finally:
        process.kill()
        process.wait()
        os.close(to)
        os.close(out)
