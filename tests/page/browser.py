"""Drives a headless Chromium over its DevTools pipe, with nothing but Python."""
import base64
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Escape": 27, "Enter": 13, "Tab": 9, "/": 191, "+": 187, "-": 189}


def find_browser():
    """Returns the path of a Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class PageError(Exception):
    """What the browser or the page did not do."""


class Browser:
    """One browser with one tab. It keeps what the page says on its console, and every request."""

    def __init__(self, program):
        self.profile = tempfile.mkdtemp(prefix="windrow-page-")
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                 "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
                 "--force-color-profile=srgb", f"--user-data-dir={self.profile}", "--remote-debugging-pipe"]
        # Chromium reads commands from descriptor 3 and writes to descriptor 4. A shell puts the pipes there.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ["bash", "-c", script, program, *flags, "about:blank"], pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.last, self.answers, self.ready = 0, {}, threading.Condition()
        self.console, self.requests, self.problems, self.downloads = [], [], [], queue.Queue()
        self.session, self.ended = None, False
        threading.Thread(target=self._listen, daemon=True).start()
        targets = self.call("Target.getTargets")["targetInfos"]
        tab = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=tab["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def _listen(self):
        rest = b""
        while chunk := os.read(self.read_end, 1 << 16):
            *messages, rest = (rest + chunk).split(b"\0")
            for message in map(json.loads, messages):
                with self.ready:
                    if "id" in message:
                        self.answers[message["id"]] = message
                    else:
                        self._hear(message["method"], message["params"])
                    self.ready.notify_all()
        with self.ready:
            self.ended = True
            self.ready.notify_all()

    def _hear(self, method, event):
        if method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            text = details.get("exception", {}).get("description") or details["text"]
            self.problems.append(f"exception: {text}")
        elif method == "Runtime.consoleAPICalled":
            words = [str(arg.get("value", arg.get("description", ""))) for arg in event["args"]]
            self.console.append((event["type"], " ".join(words)))
            if event["type"] in ("error", "warning", "assert"):
                self.problems.append(f"console {event['type']}: {' '.join(words)}")
        elif method == "Log.entryAdded":
            entry = event["entry"]
            # A status of 4xx or 5xx is said here too; callers look at what the page makes of it. Reading pixels is slow here.
            if entry["level"] in ("error", "warning") and entry["source"] not in ("network", "rendering"):
                self.problems.append(f"log {entry['source']}: {entry['text']} {entry.get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])

    def call(self, method, patience=20, **params):
        """Sends a command and returns its result."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        number, until = self.last, time.monotonic() + patience
        with self.ready:
            while number not in self.answers:
                left = until - time.monotonic()
                if left <= 0 or self.ended:
                    raise PageError(f"the browser does not answer {method}")
                self.ready.wait(left)
            answer = self.answers.pop(number)
        if "error" in answer:
            raise PageError(f"{method}: {answer['error']['message']}")
        return answer.get("result", {})

    def value(self, script, patience=20):
        """Returns the value of an expression in the page."""
        result = self.call("Runtime.evaluate", patience, expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def wait(self, what, script, patience=15):
        """Waits until an expression is true, and returns its value."""
        until = time.monotonic() + patience
        while True:
            try:
                if found := self.value(f"(found => found instanceof Node || found)({script})"):
                    return found
            except PageError as error:
                if "navigat" not in str(error) and "context" not in str(error):
                    raise
            if time.monotonic() > until:
                text = self.value("document.getElementById('main')?.innerText?.slice(0, 600)")
                raise PageError(f"{what}: not seen within {patience} s. The page says:\n{text}")
            time.sleep(0.05)

    def go(self, address):
        """Opens an address as a new document."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        self.wait("a document", f"document.readyState === 'complete' && location.href !== 'about:blank'")

    def size(self, width, height, narrow=False):
        """Sets the size of the window."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=narrow)

    def scheme(self, name):
        """Chooses light or dark."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def press(self, key, shift=False):
        """Presses a key."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key[0].upper())), "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        """Types text into what has the focus."""
        self.call("Input.insertText", text=text)

    def mouse(self, kind, x, y, **more):
        """Moves or presses the mouse."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def shot(self, path, full=False):
        """Writes a picture of the window, or of the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=full)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def close(self):
        """Ends the browser and removes its profile."""
        try:
            self.session = None
            self.call("Browser.close", patience=5)
            self.process.wait(5)
        except (PageError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)
