"""Reads the audit log of the server under test, by the command in $BAILIWICK_AUDIT.

    audit.py running TOOL CLIENT   waits for a call that is under way; prints the id of its event
    audit.py ended ID              waits for the end of that call; prints its result as JSON
    audit.py runs TOOL CLIENT      prints how often it was run
    audit.py last TOOL CLIENT      waits for the end of its newest run; prints what that was granted and used, as JSON
    audit.py whole                 fails if an intent stays without an outcome

The server alone knows whether a call that a client gave up has ended, so it is asked, not the client.
"""

import json
import os
import subprocess
import sys
import time

START_S_MAX = 20  # a client that is a program takes a second or two to begin
END_S_MAX = 5  # less than the slow tool runs when nobody cancels it
COMMAND_S_MAX = 20
LOOK_EVERY_S = 0.1


def calls(tool=None):
    """The intents and the outcomes of calls, by event."""
    script = os.environ["BAILIWICK_AUDIT"] + ' "$@"'
    args = ["--json", "--kind", "tool.call", *(["--tool", tool] if tool else [])]
    command = ["sh", "-c", script, "audit", *args]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_S_MAX)
    records = [json.loads(line) for line in shown.stdout.splitlines()]
    intents = {r["event_id"]: r for r in records if r["phase"] == "intent"}
    outcomes = {r["event_id"]: r for r in records if r["phase"] == "outcome"}
    return intents, outcomes


def until(what, seconds, look):
    end = time.monotonic() + seconds
    while (seen := look()) is None:
        if time.monotonic() > end:
            raise AssertionError(f"the audit log does not show {what} after {seconds} s")
        time.sleep(LOOK_EVERY_S)
    return seen


def running(tool, client):
    def look():
        intents, outcomes = calls(tool)
        open_calls = [i for i, r in intents.items() if r["client_id"] == client and i not in outcomes]
        return open_calls[-1] if open_calls else None

    return until(f"a call of {tool} by {client}", START_S_MAX, look)


def ended(event):
    return until(f"the end of {event}", END_S_MAX, lambda: calls()[1].get(event, {}).get("result"))


def runs(tool, client):
    """How often the tool was run, or was about to be. Who is asked first has no such record."""
    return sum(record["client_id"] == client for record in calls(tool)[0].values())


def last(tool, client):
    """What the newest run was granted, how it ended, and what it really used."""
    event, intent = [(i, r) for i, r in calls(tool)[0].items() if r["client_id"] == client][-1]
    result = ended(event)
    effects = result.get("used", {}).get("effects", {})
    used = [name for name, one in effects.items() if one["count"] > one.get("refused", 0)]
    return {"status": result["status"], "granted": intent.get("granted", []), "used": used}


def whole():
    """Nothing may be under way any more but what is about to end."""

    def look():
        intents, outcomes = calls()
        return True if intents and intents.keys() <= outcomes.keys() else None

    until("an outcome for every intent", END_S_MAX, look)


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    result = {"running": running, "ended": ended, "runs": runs, "last": last, "whole": whole}[command](*rest)
    print(result if isinstance(result, str) else json.dumps(result))
