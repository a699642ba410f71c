"""The Python client: both eras, answers a question by URL by itself. The steps are walk.mjs's."""

import asyncio
import os
import re
import subprocess
import sys
import traceback

import httpx2
from mcp import Client, MCPError, types
from mcp.client.streamable_http import streamable_http_client

import audit
import browser

URL = sys.argv[1]
# Whether the server gives sessions, in which clients on 2025-11-25 can be asked.
SESSIONS = os.environ.get("BAILIWICK_SESSIONS") == "true"
STEP_S_MAX = 60
LINK = re.compile(r"https?://[^\s\"'<>()\[\]]*/consent/[A-Za-z0-9_-]+")
NOTE = {"name": "ada", "text": "first"}


def token(client, *more):
    script = os.environ["BAILIWICK_TOKEN"] + ' "$@"'
    command = ["sh", "-c", script, "token", "--client", client, *more]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=STEP_S_MAX).stdout.strip()


def decide(wish, link):
    choose = {"allow": browser.allow, "deny": browser.deny}[wish]
    page = choose(link, os.environ["BAILIWICK_USER"], os.environ["BAILIWICK_PASSWORD"])
    assert page.status == 200, f"{page.url} answered {page.status}"


def text(result):
    return "\n".join(getattr(block, "text", "") for block in result.content)


class Walk:
    def __init__(self, client, mode, version, asks):
        self.client, self.mode, self.version, self.asks = client, mode, version, asks
        self.links, self.wish, self.status = [], "cancel", None

    async def step(self, name, run):
        try:
            await asyncio.wait_for(run(), STEP_S_MAX)
            print(f"ok {self.client} {name}", flush=True)
        except (Exception, SystemExit) as error:  # browser.py ends with SystemExit
            print(f"FAILED {self.client} {name}", flush=True)
            traceback.print_exception(error)

    async def answer(self, _context, params):
        self.links.append(params.url)
        if self.wish == "cancel":
            return types.ElicitResult(action="cancel")
        await asyncio.to_thread(decide, self.wish, params.url)
        return types.ElicitResult(action="accept")

    def connect(self, bearer):
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}

        async def note(response):
            self.status = response.status_code

        # trust_env: no proxy of the machine between us and loopback.
        hooks = {"response": [note]}
        http = httpx2.AsyncClient(headers=headers, timeout=STEP_S_MAX, trust_env=False, event_hooks=hooks)
        transport = streamable_http_client(URL, http_client=http)
        return Client(transport, mode=self.mode, elicitation_callback=self.answer)

    async def refused(self, bearer, expected):
        """This client's errors do not tell the status, so it is taken from the wire."""
        try:
            async with self.connect(bearer) as peer:
                await peer.list_tools()
        except Exception:
            assert self.status == expected, self.status
        else:
            raise AssertionError("it was let in")

    async def call_and_decide(self, wish):
        """Calls, is asked, lets `wish` be decided on the page; the result of the call after that."""
        self.links, self.wish = [], wish
        result = await self.peer.call_tool("notes_write", NOTE)
        if self.asks:
            assert len(self.links) == 1, f"asked {len(self.links)} times"
            assert LINK.match(self.links[0]), self.links
            return result
        link = LINK.search(text(result))
        assert result.is_error and link, result
        await asyncio.to_thread(decide, wish, link.group())
        return await self.peer.call_tool("notes_write", NOTE)

    async def list(self):
        names = [tool.name for tool in (await self.peer.list_tools()).tools]
        assert {"hello", "notes_write"} <= set(names), names
        assert "whoami-admin" not in names, "a tool for others is listed"

    async def call(self):
        result = await self.peer.call_tool("hello", {"name": "Ada"})
        assert not result.is_error and "Ada" in text(result), result

    async def progress(self):
        """Growing, and all of it before the reply."""
        seen = []

        async def note(progress, _total, _message):
            seen.append(progress)

        result = await self.peer.call_tool("test_tool_with_progress", {}, progress_callback=note)
        assert not result.is_error, result
        assert seen == [0, 50, 100], seen

    async def cancelled(self, peer, end, **options):
        """`slow` runs for eight seconds if it is let. `end` is what the client does about that."""
        call = asyncio.create_task(peer.call_tool("slow", {}, **options))
        event = await asyncio.to_thread(audit.running, "slow", self.client)
        await end(call)
        result = await asyncio.to_thread(audit.ended, event)
        assert result["status"] == "cancelled", result
        assert result["used"]["wall_ms"] < 8_000, result
        try:
            reply = await call
        except (asyncio.CancelledError, MCPError):
            pass
        else:
            raise AssertionError(f"it came to a reply: {reply}")

    async def cancel_call(self, **options):
        async def end(call):
            call.cancel()

        await self.cancelled(self.peer, end, **options)
        await self.call()

    async def cancel_stream(self):
        async def ignore(*_):
            pass

        await self.cancel_call(progress_callback=ignore)

    async def close_during_call(self):
        other = self.connect(token(self.client))
        peer = await other.__aenter__()
        await self.cancelled(peer, lambda _call: other.__aexit__(None, None, None))
        await self.call()

    async def refusal(self):
        try:
            result = await self.peer.call_tool("whoami-admin", {})
        except MCPError as error:  # the same answer as for a tool that does not exist
            assert error.code == types.INVALID_PARAMS, error
        else:
            assert result.is_error, result

    async def allow(self):
        result = await self.call_and_decide("allow")
        assert not result.is_error, result

    async def cancel(self):
        result = await self.call_and_decide("cancel")
        assert result.is_error, result

    async def deny(self):
        result = await self.call_and_decide("deny")
        assert result.is_error, result
        assert not LINK.search(text(result)), "the user said no and is asked again"

    async def run(self):
        await self.step("no token: 401", lambda: self.refused(None, 401))
        await self.step("bad token: 401", lambda: self.refused("not.a.token", 401))
        small = token(self.client, "--scope", "openid")
        await self.step("too little scope: 403", lambda: self.refused(small, 403))
        async with self.connect(token(self.client)) as self.peer:
            async def version():
                assert self.peer.protocol_version == self.version, self.peer.protocol_version

            await self.step(f"connect {self.version}", version)
            await self.step("list", self.list)
            await self.step("call", self.call)
            await self.step("progress", self.progress)
            await self.step("cancel a running call", self.cancel_call)
            await self.step("cancel a call that streams", self.cancel_stream)
            await self.step("close during a call", self.close_during_call)
            await self.step("refusal", self.refusal)
            await self.step("consent: allow, then the result", self.allow)
            if self.asks:
                await self.step("consent: cancel", self.cancel)
            await self.step("consent: deny", self.deny)


async def main():
    await Walk("python-modern", "auto", "2026-07-28", asks=True).run()
    await Walk("python-legacy", "legacy", "2025-11-25", asks=SESSIONS).run()


if __name__ == "__main__":
    asyncio.run(main())
