"""Drives the page of `windrow serve` in a headless Chromium: drive.py WINDROW WORK [PICTURES]

Starts a service on bars of its own, visits every view, and prints what is wrong. Exit code 1 if anything is.
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import market
from browser import Browser, PageError, find_browser

ROWS = "document.querySelectorAll('tbody tr').length"
CHARTS = "document.querySelectorAll('.plot canvas').length"
# The pixels of the first line's colour in the last chart: a chart without points has none.
INK = """(() => {
  const canvas = [...document.querySelectorAll('.plot canvas')].at(-1);
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const hex = getComputedStyle(document.documentElement).getPropertyValue('--ink-1').trim();
  const [r, g, b] = [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (Math.abs(data[at] - r) + Math.abs(data[at + 1] - g) + Math.abs(data[at + 2] - b) < 40 && data[at + 3] > 128) found++;
  }
  return found;
})()"""
# What sticks out of the window, but for what scrolls in a box of its own.
TOO_WIDE = """[...document.querySelectorAll('body *')]
  .filter(one => !one.closest('.scroll, .sql, nav, .skip, .u-wrap') && one.getBoundingClientRect().right > 361)
  .slice(0, 3).map(one => one.tagName + '.' + one.className).join(' ')"""


class Service:
    """A running `windrow serve`."""

    def __init__(self, program, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.program, self.folder = program, pathlib.Path(folder)
        self.address = f"http://127.0.0.1:{self.port}"
        market.make_folder(folder, f"127.0.0.1:{self.port}")
        self.process = None
        self.start()

    def start(self):
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen([self.program, "serve"], cwd=self.folder, stdout=log, stderr=log)
        until = time.monotonic() + 15
        while time.monotonic() < until and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.address + "/ready", timeout=2).close()
                return
            except OSError:
                time.sleep(0.05)
        raise PageError("the service does not start:\n" + (self.folder / "log").read_text())

    def post(self, **body):
        request = urllib.request.Request(self.address + "/compute/batch", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def get(self, path):
        with urllib.request.urlopen(self.address + path, timeout=10) as answer:
            return json.load(answer)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise PageError("the service does not end at SIGTERM") from None
            if code != 0:
                raise PageError(f"the service ended with {code}")


class Drive:
    """One visit of all views. What is wrong is collected, so that one run tells everything."""

    def __init__(self, browser, service, pictures):
        self.page, self.service, self.pictures = browser, service, pictures
        self.findings = []

    def expect(self, what, found):
        if not found:
            self.findings.append(what)

    def go(self, view, seen, what):
        address = self.service.address + "/#/" + view
        # Within the page a view comes by its hash, as by a click; the first one comes with the document.
        shown = self.page.value(f"""new Promise(shown => {{
            if (location.origin !== {json.dumps(self.service.address)}) return shown(false);
            addEventListener('hashchange', () => setTimeout(() => shown(true)), {{once: true}});
            if (location.href === {json.dumps(address)}) return shown(false);
            location.href = {json.dumps(address)};
        }})""")
        if not shown:
            self.page.go(address)
        self.page.wait(f"{what} at #/{view}", seen)

    def keep(self, name):
        if self.pictures:
            time.sleep(0.3)
            self.page.shot(os.path.join(self.pictures, name + ".png"))

    def text(self, selector):
        return self.page.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def press_button(self, text):
        return self.page.value(
            f"(button => (button?.click(), !!button))([...document.querySelectorAll('main button:not([hidden])')]"
            f".find(one => one.innerText.startsWith({json.dumps(text)})))")

    def sets(self):
        self.go("sets", f"{ROWS} > 5", "the sets")
        self.keep("sets")
        self.go("sets/momentum", "document.querySelector('pre.sql .sql-word')", "the SQL of a set")
        self.expect("the outputs of a set have no documentation", "relative strength index" in self.text("table"))
        self.expect("the keys of a set count as outputs", self.page.value(f"{ROWS}") == 27)
        self.go("sets/momentom", "document.querySelector('.problem')", "an unknown set")
        self.expect("an unknown set has no nearest name", "momentum" in self.text(".problem"))

    def features(self):
        self.page.scheme("light")
        self.go("features/momentum/BRK%2FB/rsi_14,roc_1?from=2023-02-01", f"{CHARTS} === 3", "the charts of BRK/B")
        self.page.wait("a line in a chart", f"{INK} > 200")
        status = self.text(".status")
        self.expect(f"the status of the charts is {status!r}", "from 2023-02-01" in status and "1 time gap" in status)
        self.expect("the warm-up is not told", "warm-up" in self.text(".charts") or "2023-02-01" in status)
        self.keep("features-light")
        # A drag zooms, the address has the range, and a link shows the same.
        left, top, width = self.page.value(
            "(box => [box.left, box.top, box.width])(document.querySelector('.u-over').getBoundingClientRect())")
        self.page.mouse("mouseMoved", left + width / 4, top + 40)
        self.page.mouse("mousePressed", left + width / 4, top + 40, button="left", clickCount=1)
        self.page.mouse("mouseMoved", left + width / 2, top + 40, button="left")
        self.page.mouse("mouseReleased", left + width / 2, top + 40, button="left", clickCount=1)
        self.page.wait("the range in the address", "location.hash.includes('zoom=')")
        link = self.page.value("location.href")
        self.page.go(link)
        self.page.wait("the charts of a link", f"{CHARTS} === 3")
        self.expect("a link loses its choice", self.page.value("location.href") == link)
        # Keys: a row, a zoom, all rows, the search.
        clock = "document.querySelector('.chartbar output').textContent"
        before = self.page.value(f"document.querySelector('.plot').focus(), {clock}")
        self.page.press("ArrowLeft")
        self.page.wait("another row by a key", f"{clock} !== {json.dumps(before)}")
        self.page.press("+")
        self.page.wait("a closer look by a key", f"location.href !== {json.dumps(link)}")
        self.page.press("Escape")
        self.page.wait("all rows by a key", "!location.hash.includes('zoom=')")
        self.page.press("/")
        self.page.wait("the search by a key", "document.activeElement.type === 'search'")
        self.page.scheme("dark")
        light = self.page.value("getComputedStyle(document.body).backgroundColor")
        self.keep("features-dark")
        self.page.scheme("light")
        dark = self.page.value("getComputedStyle(document.body).backgroundColor")
        self.expect("light and dark look alike", light != dark)
        self.go("features/momentum/%3Cb%3Ebold%3C%2Fb%3E/rsi_7", f"{CHARTS} === 2", "a symbol with markup")
        self.go("features/momentum/APPL", "document.querySelector('.problem')", "an unknown symbol")
        self.expect("an unknown symbol has no nearest name", "AAPL" in self.text(".problem"))
        self.go("features/failing/AAPL", "document.querySelector('.problem')", "a failed job")
        self.expect("a failed job does not say why", "xAAPL" in self.text(".problem"))

    def jobs(self):
        self.go("start", "document.querySelector('.check input')", "the form")
        self.page.value("document.querySelectorAll('.check input').forEach(box => box.click())")
        self.page.value("document.querySelector('form textarea').focus()")
        self.page.type("AAPL\nBRK/B, S001")
        self.expect("the form has no button", self.press_button("Start"))
        self.page.wait("the group that was started", f"location.hash.startsWith('#/groups/') && {ROWS} > 5")
        self.page.wait("the end of the group", "!/queued|running/.test(document.querySelector('.line').innerText)")
        line = self.text(".line")
        self.expect(f"the group ended as {line!r}", line.startswith("failed") and "24 of 27" in line)
        self.keep("group")
        failed = "[...document.querySelectorAll('tbody tr')].find(row => row.innerText.includes('failing'))"
        self.page.value(f"{failed}.querySelector('a').click()")
        self.page.wait("the errors of a job", "document.querySelector('.errors li')")
        self.keep("job")

    def cancel(self):
        wait = {"symbols": None, "feature_types": ["cross_section", "trend", "volume", "returns"], "priority": "low"}
        group = self.service.post(**wait, until="2024-01-05")["group_id"]
        self.go("jobs", f"{ROWS} > 5", "the jobs")
        self.page.wait("a job that can be cancelled", "document.querySelector('tbody button:not([hidden])')")
        self.page.value("[...document.querySelectorAll('tbody button:not([hidden])')].at(-1).click()")
        until = time.monotonic() + 10
        cancelled = []
        while not cancelled and time.monotonic() < until:
            cancelled = self.service.get("/jobs?state=cancelled")["jobs"]
        self.expect("a job is not cancelled by its button", cancelled)
        self.keep("jobs")
        self.go("groups/" + group, f"{ROWS} > 5", "a group with many jobs")
        self.expect("the group cannot be cancelled", self.press_button("Cancel what is left"))
        self.page.wait("the end of a cancelled group", "/cancelled|done|failed/.test(document.querySelector('.state').innerText)")
        state = self.service.get("/groups/" + group)
        self.expect(f"the group was cancelled and is {state['state']}", state["state"] == "cancelled")

    def runs_and_health(self):
        group = self.service.post(symbols=["AAPL", "A B"], feature_types=["momentum"], target="store")["group_id"]
        until = time.monotonic() + 10
        while self.service.get("/groups/" + group)["state"] == "running" and time.monotonic() < until:
            time.sleep(0.1)
        self.go("runs", "document.querySelector('.runs tbody tr')", "the runs of a target")
        run = self.text(".runs tbody")
        self.expect(f"a run is told as {run!r}", "600" in run and "passed" in run)
        self.keep("runs")
        self.go("health", f"{ROWS} >= 4", "the checks")
        self.expect("the service is not healthy", "healthy" in self.text(".facts"))
        self.keep("health")

    def narrow(self):
        self.page.size(360, 740, True)
        views = {"jobs": ROWS, "sets": ROWS, "sets/momentum": ROWS, "features/momentum/BRK%2FB": CHARTS, "runs": ROWS,
                 "health": ROWS, "start": "document.querySelectorAll('.check').length"}
        for view, seen in views.items():
            self.go(view, seen, "the narrow view")
            self.keep("narrow-" + view.split("/")[0])
            width = self.page.value("document.documentElement.scrollWidth")
            self.expect(f"#/{view} is {width} px wide in a window of 360 px: {self.page.value(TOO_WIDE)}", width <= 360)
        self.page.size(1280, 900)

    def outage(self):
        self.go("jobs", f"{ROWS} > 5", "the jobs")
        self.service.stop()
        self.page.wait("the end of the service", "document.getElementById('link').textContent === 'no answer'")
        # The browser logs its failed requests, which are what happens here.
        quiet = len(self.page.problems)
        self.service.start()
        self.page.wait("the service again", "document.getElementById('link').textContent === 'connected'", 20)
        self.page.wait("no notice any more", "!document.querySelector('.notice')")
        del self.page.problems[quiet:]

    def foreign(self):
        own = (self.service.address + "/", "data:", "about:", "blob:")
        return sorted({url for url in self.page.requests if not url.startswith(own)})


def main():
    program, work, *pictures = sys.argv[1:]
    pictures = pictures[0] if pictures else None
    began = time.monotonic()
    browser, service = None, None
    try:
        service = Service(program, os.path.join(work, "service"))
        browser = Browser(find_browser())
        drive = Drive(browser, service, pictures)
        browser.size(1280, 900)
        for part in (drive.sets, drive.features, drive.jobs, drive.cancel, drive.runs_and_health, drive.narrow, drive.outage):
            try:
                part()
            except PageError as error:
                drive.findings.append(f"{part.__name__}: {error}")
                browser.size(1280, 900)
        drive.findings += browser.problems + [f"a request to another origin: {url}" for url in drive.foreign()]
        service.stop()
    except PageError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if browser:
            browser.close()
        if service and service.process and service.process.poll() is None:
            service.process.kill()
    for finding in drive.findings:
        print(f"the page: {finding}", file=sys.stderr)
    print(f"the page: {len(browser.requests)} requests, {len(drive.findings)} findings, {time.monotonic() - began:.0f} s")
    return 1 if drive.findings else 0


if __name__ == "__main__":
    sys.exit(main())
