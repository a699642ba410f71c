"""Asks a Prometheus that reads a running server what the dashboard asks, and whether it evaluates the alerts.

    prometheus.py PROMETHEUS MCP DASHBOARD     two addresses and a file; the token for calls is in $TOKEN
"""

import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PROMETHEUS, MCP, DASHBOARD = sys.argv[1:]
WAIT_S_MAX = 60
LOOK_EVERY_S = 0.5
RATE = "1m"
# What only shows a number once it happened: requests of tools to web hosts, decisions of users, exports to a collector. A server to which
# all of it happens tells each of them: the end-to-end tests `telemetry::files` see to that.
MAY_BE_EMPTY = ("bailiwick_egress_requests_total", "bailiwick_consent_decision_seconds", "bailiwick_telemetry_exports_total")
# What an alert holds others against; that a tool has no number before its first call makes it a call late.
HELD_AGAINST = ("bailiwick_calls_total",)


def get(path, **query):
    url = f"{PROMETHEUS}{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        body = json.load(answer)
    assert body["status"] == "success", body
    return body["data"]


def post(token, message):
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "MCP-Protocol-Version": "2025-11-25"}
    head["Accept"] = "application/json, text/event-stream"
    request = urllib.request.Request(MCP, json.dumps({"jsonrpc": "2.0", "id": 1, **message}).encode(), head)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def call(name):
    return {"method": "tools/call", "params": {"name": name, "arguments": {"name": "Ada"}}}


def until(what, look):
    end = time.monotonic() + WAIT_S_MAX
    while True:
        try:
            seen = look()
        except (urllib.error.URLError, ConnectionError):
            seen = None
        if seen:
            return seen
        assert time.monotonic() < end, f"not seen within {WAIT_S_MAX} s: {what}"
        time.sleep(LOOK_EVERY_S)


def queries(panels):
    for panel in panels:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", RATE)
        yield from queries(panel.get("panels", []))


def main():
    until("a target that is up", lambda: [t for t in get("/api/v1/targets")["activeTargets"] if t["health"] == "up"])
    before = get("/api/v1/query", query="scrape_samples_scraped")
    print(f"ok Prometheus reads the server: {before['result'][0]['value'][1]} numbers")
    # What is not told before it happens the first time begins at one, and that is no increase: its alert would sleep.
    rules = [rule for group in get("/api/v1/rules")["groups"] for rule in group["rules"]]
    rise = {one for rule in rules for one in re.findall(r"increase\((\w+(?:\{[^}]*\})?)\[", rule["query"])}
    assert len(rise) >= 10, rise
    asleep = [one for one in rise if not one.startswith(HELD_AGAINST) and not get("/api/v1/query", query=one)["result"]]
    assert not asleep, asleep
    print(f"ok alerts: the {len(rise)} numbers whose increase they look at are there before anything happens")
    assert post(os.environ["TOKEN"], call("hello")) == 200
    assert post(os.environ["TOKEN"], call("nothing")) == 200
    assert post("guess", call("hello")) == 401
    calls = "sum(bailiwick_calls_total) > 1"
    until("a call in the numbers", lambda: get("/api/v1/query", query=calls)["result"])

    with open(DASHBOARD, encoding="utf-8") as file:
        asked = list(queries(json.load(file)["panels"]))
    assert len(asked) >= 30, asked
    must_show = [query for _, query in asked if not any(name in query for name in MAY_BE_EMPTY)]

    def all_shown():
        # A rate takes two looks at a number. Each query is evaluated, also one that may show nothing.
        shown = {query for _, query in asked if get("/api/v1/query", query=query)["result"]}
        return shown.issuperset(must_show)

    until(f"something from each of {must_show}", all_shown)
    print(f"ok dashboard: {len(asked)} queries are evaluated, and {len(must_show)} show something")

    def evaluated():
        groups = get("/api/v1/rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

    rules = until("every rule evaluated", evaluated)
    broken = [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"]
    assert not broken, broken
    fire = [rule["name"] for rule in rules if rule["state"] != "inactive"]
    assert not fire, fire
    print(f"ok alerts: {len(rules)} are evaluated, and none fires at a healthy server")


main()
