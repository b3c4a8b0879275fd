"""Reads /metrics of a running service, and holds it against docs/metrics.md: scrape.py WINDROW

The service computes features of bars of its own first, so that most metrics have a value.
"""

import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import validate

sys.path.append("tests/page")
from drive import Service  # noqa: E402


def scrape(program, folder):
    """The text of /metrics after some work."""
    service = Service(program, folder)
    try:
        group = service.post(symbols=["AAPL", "BRK/B"], feature_types=["momentum", "failing"])["group_id"]
        until = time.monotonic() + 30
        while service.get(f"/groups/{group}")["state"] == "running" and time.monotonic() < until:
            time.sleep(0.1)
        service.get("/features/AAPL/momentum?limit=1")
        with urllib.request.urlopen(service.address + "/metrics", timeout=10) as answer:
            return answer.read().decode()
    finally:
        service.stop()


def findings(text):
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        yield f"promtool: {done.stdout.strip()} {done.stderr.strip()}"
    series, labels, bounds = validate.listed_metrics()
    for name in sorted(set(re.findall(r"^(\w+)(?:\{| )", text, re.MULTILINE)) - series):
        yield f"docs/metrics.md lacks {name}"
    used = [(name, *pair) for name, inner in re.findall(r"^(\w+)\{(.*)\} ", text, re.MULTILINE)
            for pair in re.findall(r'(\w+)="([^"]*)"', inner)]
    for name, label in sorted({(name, label) for name, label, _ in used if label != "le"}):
        if label not in labels.get(name, ()):
            yield f"docs/metrics.md lacks the label {label} of {name}"
    if {value for _, label, value in used if label == "le"} != bounds:
        yield "docs/metrics.md has other bounds of histograms"
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    for name, kind in re.findall(r"^\| `(\w+)` \| (\w+) \|", Path("docs/metrics.md").read_text(), re.MULTILINE):
        if kinds.get(name, kind) != kind:
            yield f"docs/metrics.md says that {name} is a {kind}, and it is a {kinds[name]}"


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        wrong = list(findings(scrape(program, Path(folder) / "service")))
    print(f"{'FAILED' if wrong else 'ok'} scrape: promtool accepts /metrics of a running service, and docs/metrics.md has all of it.")
    for sentence in wrong:
        print(f"  {sentence}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
