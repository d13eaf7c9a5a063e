# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven by the W3C WebDriver protocol of its chromedriver."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
WHY_MISSING = (
    None if CHROMIUM and DRIVER else "needs chromium and chromedriver (apt-get install chromium chromium-driver)"
)

_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--proxy-server=127.0.0.1:9",
]
"""The proxy does not exist, so the browser reaches no network."""


class Browser:
    """A window; close it with `quit`."""

    def __init__(self, profile, width=1280, height=1000):
        self.process = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        port = next(m.group(1) for line in self.process.stdout if (m := re.search(r"successfully on port (\d+)", line)))
        self.address = f"http://127.0.0.1:{port}/session"
        options = {"binary": CHROMIUM, "args": [*_ARGUMENTS, f"--user-data-dir={profile}"]}
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "", {"capabilities": {"alwaysMatch": capabilities}})
        self.address += f"/{session['sessionId']}"
        self.resize(width, height)

    def _call(self, method, path, body=None):
        request = urllib.request.Request(
            self.address + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(json.load(error)["value"]["message"]) from None

    def cdp(self, command, **parameters):
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def resize(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def theme(self, name):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, path):
        """Open a page from a file, and wait until it is ready."""
        self._call("POST", "/url", {"url": path.resolve().as_uri()})
        self.wait("document.documentElement.dataset.ready || !document.getElementById('failure').hidden")

    def run(self, script, *arguments):
        """Return what a script returns; promises are awaited."""
        return self._call("POST", "/execute/sync", {"script": script, "args": arguments})

    def value(self, expression):
        return self.run(f"return {expression}")

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not self.value(condition):
            assert time.monotonic() < end, f"not within {seconds} s: {condition}"
            time.sleep(0.02)

    def text(self, identifier):
        return self.run("return document.getElementById(arguments[0]).textContent", identifier)

    def choose(self, identifier, value):
        """Choose an option of a menu, or set an input."""
        self.run(
            "const node = document.getElementById(arguments[0]); node.value = arguments[1];"
            "for (const name of ['input', 'change']) node.dispatchEvent(new Event(name, {bubbles: true}));"
            "return explorer.redrawn()",
            identifier,
            str(value),
        )

    def _mouse(self, kind, x, y, **options):
        self.cdp("Input.dispatchMouseEvent", type=kind, x=x, y=y, **options)

    def hover(self, x, y):
        self._mouse("mouseMoved", x, y)
        self.run("return explorer.redrawn()")

    def click(self, x, y):
        self._mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self._mouse(kind, x, y, button="left", clickCount=1)
        self.run("return explorer.redrawn()")

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            self.cdp("Input.dispatchKeyEvent", type=kind, key=key, **text)
        self.run("return explorer.redrawn()")

    def messages(self):
        """Return the warnings and errors of the console."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def quit(self):
        try:
            self._call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait()
            self.process.stdout.close()
