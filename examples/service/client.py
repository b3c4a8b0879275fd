"""Asks windrow for features: client.py SYMBOL SET [SYMBOL ...]

    client.py BOLT momentum            the last rows of one symbol, as Arrow
    client.py BOLT momentum ACRE DUNE  a group of jobs for all of these symbols first, followed until it ends

WINDROW_URL is the address of the service, and WINDROW_TOKEN the token, if it wants one. Needs: pip install requests pyarrow
"""
import json
import os
import sys
import time
import uuid
from urllib.parse import quote

import pyarrow as pa
import requests

URL = os.environ.get("WINDROW_URL", "http://127.0.0.1:8686")
ARROW = "application/vnd.apache.arrow.stream"
session = requests.Session()
if "WINDROW_TOKEN" in os.environ:
    session.headers["Authorization"] = "Bearer " + os.environ["WINDROW_TOKEN"]


def check(answer):
    """Returns an answer that is a success. An error says what is wrong, and often the way out."""
    if answer.ok:
        return answer
    problem = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
    hint = f" ({problem['hint']})" if problem.get("hint") else ""
    raise SystemExit(f"{answer.status_code}: {problem.get('detail', answer.text)}{hint}")


def ask(method, path, **options):
    """Sends a request, and sends it again when the server is busy: 429 and 503 say after how many seconds."""
    for _ in range(10):
        answer = session.request(method, URL + path, timeout=90, **options)
        if answer.status_code not in (429, 503):
            break
        time.sleep(int(answer.headers.get("Retry-After", 2)))
    return check(answer)


def start(symbols, sets, **more):
    """Starts a computation. The key makes it safe to send the request again after a lost answer."""
    body = {"symbols": symbols, "feature_types": sets, **more}
    return ask("POST", "/compute/batch", json=body, headers={"Idempotency-Key": str(uuid.uuid4())}).json()


def follow(group):
    """Yields the events of a group, (name, value), until it ends. A broken connection goes on where it was."""
    last = None
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        try:
            with check(session.get(f"{URL}/groups/{group}/events", headers=headers, stream=True, timeout=60)) as answer:
                name, data = "message", None
                for line in answer.iter_lines(decode_unicode=True):
                    field, _, text = line.partition(": ")
                    if field == "event":
                        name = text
                    elif field == "id":
                        last = text
                    elif field == "data":
                        data = json.loads(text)
                    elif not line and data is not None:
                        yield name, data
                        if name == "group" and data["state"] != "running":
                            return
                        data = None
        except requests.ConnectionError:
            time.sleep(1)


def features(symbol, name, **choice):
    """Returns the features of a symbol as a table of Arrow, and waits for them if they are not there yet."""
    path = f"/features/{quote(symbol, safe='')}/{quote(name, safe='')}"
    while True:
        answer = ask("GET", path, params={"wait": 30, **choice}, headers={"Accept": ARROW})
        if answer.status_code == 200:
            return pa.ipc.open_stream(answer.content).read_all()
        time.sleep(int(answer.headers["Retry-After"]))


def main(symbol, name, *others):
    if others:
        group = start([symbol, *others], [name])
        print(f"group {group['group_id']}, {len(group['job_ids'])} jobs, expected {group['estimated_completion_time']} s")
        for kind, value in follow(group["group_id"]):
            told = f"{value['done']} of {value['total']} done, {value['failed']} failed" if kind == "group" else value["symbol"]
            print(f"  {kind} {told}: {value['state']}")
    table = features(symbol, name)
    print(f"{symbol}: {table.num_rows} rows, {table.num_columns} columns")
    print(table.slice(max(table.num_rows - 3, 0)).select(table.column_names[:5]).to_pylist())


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
