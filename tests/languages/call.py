"""Calls a tool, allows on the consent page what it asks for, and prints its text.

    call.py URL TOOL

The token is in $TOKEN. A tool that another call waits for is called again as it is served.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

SERVED_MAX_S = 120  # until a package that was put into the folder is compiled and served
BROWSER = pathlib.Path(__file__).parent.parent / "clients" / "browser.py"
REVISION = "2026-07-28"

url, tool = sys.argv[1:]


def call():
    meta = {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}},
        "io.modelcontextprotocol/clientInfo": {"name": "languages", "version": "1"},
    }
    params = {"name": tool, "arguments": {}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "authorization": f"Bearer {os.environ['TOKEN']}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": REVISION,
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


until = time.monotonic() + SERVED_MAX_S
while (answer := call()).get("error", {}).get("message") == "unknown tool" and time.monotonic() < until:
    time.sleep(0.5)
asked = answer.get("result", {}).get("inputRequests", {}).get("consent")
if asked:
    browser = [sys.executable, BROWSER, "allow", asked["params"]["url"], "alice", "alice"]
    subprocess.run(browser, check=True, stdout=subprocess.DEVNULL)
    answer = call()
result = answer.get("result", {})
if result.get("isError") or "content" not in result:
    sys.exit(f"{tool} gave no reply: {json.dumps(answer)}")
print("\n".join(block["text"] for block in result["content"]))
