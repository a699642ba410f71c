"""Not a client: plain HTTP that breaks calls off at every moment, in each revision, and asks the audit log.

Before the guest runs, while it runs, while its reply streams: what has an intent has an outcome, and no call goes on.
"""

import concurrent.futures
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.parse

import audit

URL = urllib.parse.urlsplit(sys.argv[1])
CLIENT = "moments"
MODERN = "2026-07-28"
REVISIONS = (MODERN, "2025-11-25", "2025-06-18")
# Denser where the stages before the guest lie; the last ones are after the end of the short tools.
DELAYS_S = [n / 1000 for n in (*range(0, 30, 1), *range(30, 160, 10))]
WAIT_S_MAX = 20
READ_S = 0.3  # how long an answer to a call that was cancelled by a notification is read
AT_ONCE = 4
# hello: a reply without a stream; progress: a stream with a reply at its end; slow: ends by being cancelled alone.
CALLS = [("hello", {"name": "Ada"}, False), ("test_tool_with_progress", {}, True), ("slow", {}, False), ("slow", {}, True)]


def bearer():
    script = os.environ["BAILIWICK_TOKEN"] + ' "$@"'
    command = ["sh", "-c", script, "token", "--client", CLIENT]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=WAIT_S_MAX).stdout.strip()


def request(revision, token, message, name=None):
    """The bytes of a POST."""
    params = message.setdefault("params", {})
    head = {"Host": URL.netloc, "Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    head |= {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": revision}
    if revision == MODERN:
        meta = {"protocolVersion": revision, "clientCapabilities": {}}
        params["_meta"] = params.get("_meta", {}) | {f"io.modelcontextprotocol/{k}": v for k, v in meta.items()}
        head |= {"Mcp-Method": message["method"], "Mcp-Name": name}
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    head["Content-Length"] = len(body)
    lines = [f"POST {URL.path} HTTP/1.1", *(f"{k}: {v}" for k, v in head.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def connect():
    return socket.create_connection((URL.hostname, URL.port), timeout=WAIT_S_MAX)


def reset(peer):
    """Closes as a client does that dies: with RST, whatever is still on its way."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def call(revision, token, number, tool, arguments, streams):
    params = {"name": tool, "arguments": arguments}
    if streams:
        params["_meta"] = {"progressToken": number}
    peer = connect()
    peer.sendall(request(revision, token, {"id": number, "method": "tools/call", "params": params}, tool))
    return peer


def closed_after(delay, number, *how):
    peer = call(*how[:2], number, *how[2:])
    time.sleep(delay)
    reset(peer) if number % 2 else peer.close()


def notified_after(delay, number, revision, token, *what):
    """The older revisions' own way; the connection stays open until the answer is there."""
    with call(revision, token, number, *what) as peer, connect() as other:
        time.sleep(delay)
        message = {"method": "notifications/cancelled", "params": {"requestId": number}}
        other.sendall(request(revision, token, message))
        assert other.recv(64).startswith(b"HTTP/1.1 202"), "the notification is not accepted"
        # One that came before its call was known is lost: then the connection is closed all the same.
        end = time.monotonic() + READ_S
        while (left := end - time.monotonic()) > 0:
            peer.settimeout(left)
            try:
                if not peer.recv(65536):
                    break
            except TimeoutError:
                break


def closed_at_reply(number, revision, token):
    """Reads until the reply begins, and no further."""
    peer = call(revision, token, number, "test_tool_with_progress", {}, True)
    seen = b""
    while b'"result"' not in seen:
        chunk = peer.recv(16)
        assert chunk, f"it ended before its reply: {seen}"
        seen += chunk
    reset(peer)


def sweep(revision, token):
    jobs = [(closed_after, delay, *what) for delay in DELAYS_S for what in CALLS]
    if revision != MODERN:
        jobs += [(notified_after, delay, *what) for delay in DELAYS_S[::4] for what in CALLS]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        done = [pool.submit(run, delay, n, revision, token, *what) for n, (run, delay, *what) in enumerate(jobs)]
        done += [pool.submit(closed_at_reply, len(jobs) + n, revision, token) for n in range(AT_ONCE)]
    for one in done:
        one.result()


def ends(known):
    """How the calls since then ended, once each intent has its outcome."""
    audit.whole()
    _, outcomes = audit.calls()
    ours = [r["result"] for i, r in outcomes.items() if r.get("client_id") == CLIENT and i not in known]
    assert all(r["status"] in ("replied", "cancelled", "refused") for r in ours), ours
    assert all(r["reason"] == "caller-gone" for r in ours if r["status"] == "refused"), ours
    late = [r for r in ours if r.get("used", {}).get("wall_ms", 0) > 5_000]
    assert not late, late
    return {status: sum(r["status"] == status for r in ours) for status in ("replied", "cancelled", "refused")}


def main():
    token = bearer()
    for revision in REVISIONS:
        known = set(audit.calls()[1])
        try:
            sweep(revision, token)
            counts = ends(known)
            # Both sides of the end of a guest were met.
            assert counts["replied"] and counts["cancelled"], counts
            print(f"ok plain HTTP {revision} broken off at every moment", flush=True)
            print(f"  {counts}", file=sys.stderr)
        except Exception as error:
            print(f"FAILED plain HTTP {revision} broken off at every moment", flush=True)
            print(f"  {type(error).__name__}: {error}", file=sys.stderr)


main()
