#!/usr/bin/env python3
"""The loop of README, "What a client must do", in Python, with nothing but its library.

    ROLLCALL_URL=http://127.0.0.1:3000 ROLLCALL_TOKEN=... python3 examples/loop.py game kr-1 7777
"""
import json
import os
import random
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
import uuid

URL, TOKEN = os.environ["ROLLCALL_URL"].rstrip("/") + "/sd/v1", os.environ["ROLLCALL_TOKEN"]
TYPE, GROUP, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
ME = {"instanceId": os.environ.get("INSTANCE_ID", uuid.uuid4().hex), "incarnation": uuid.uuid4().hex}
stop = threading.Event()


def call(method, path, body=None):
    """Status and body; 0 when nobody answered within 5 s. What was sent may have happened, so it is sent again with the same ids."""
    request = urllib.request.Request(URL + path, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("X-API-Token", TOKEN)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, json.loads(reply.read() or b"{}"), 0
    except urllib.error.HTTPError as error:
        with error:
            try:
                return error.code, json.loads(error.read()), float(error.headers.get("Retry-After") or 0)
            except ValueError:
                return error.code, {}, 0
    except (OSError, ValueError):
        return 0, {}, 0


def register():
    return call("POST", "/instances", {**ME, "type": TYPE, "group": GROUP, "hostname": socket.gethostname(), "ports": [PORT]})


def main():
    registered, wait = False, 0.0
    while not stop.wait(wait * random.uniform(0.9, 1.0)):
        status, said, after = call("POST", f"/instances/{ME['instanceId']}/heartbeat", {"incarnation": ME["incarnation"]}) if registered else register()
        if status in (200, 201):
            if not registered:
                print("registered", ME["instanceId"], flush=True)
            registered, wait = True, said.get("nextHeartbeatMs", said.get("heartbeatIntervalMs", 10_000)) / 1000
        elif status == 404 and registered:  # swept or removed
            registered, wait = False, 0.0
        elif status == 409:  # another process has the id now
            print("superseded:", said.get("detail"), flush=True)
            return
        elif status in (0, 429) or status >= 500:
            wait = max(after, 1.0)
        else:  # wrong, or not allowed: somebody can mend that while we run
            print("refused:", status, said.get("detail"), flush=True)
            wait = 30.0
    if registered:
        call("DELETE", f"/instances/{ME['instanceId']}?incarnation={ME['incarnation']}")
        print("left", flush=True)


for name in (signal.SIGTERM, signal.SIGINT):
    signal.signal(name, lambda *_: stop.set())
main()
