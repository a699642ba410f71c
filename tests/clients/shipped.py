"""The Python client drives each capability by the tool that ships for it; the steps are in shipped.json.

Of each tool: its user is asked, and nothing is done before; allowed, it does what it says, by the word of the audit log
and of the host that it reaches; the next call asks nothing, or asks again where that is how it is; taken back, it is refused.
"""

import asyncio
import json
import os
import pathlib
import re
import sys
import urllib.request

from mcp import types

import audit
import browser
import python

STEPS = json.loads(pathlib.Path(__file__).with_name("shipped.json").read_text(encoding="utf-8"))
UPSTREAM_S_MAX = 10
# What a tool holds, and its client sees, in place of a value that was encrypted.
HANDLE = re.compile(r"sealed_[a-z0-9]{26}")


def upstream():
    """What the hosts behind the tools were asked up to now."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(os.environ["BAILIWICK_UPSTREAM"] + "/seen", timeout=UPSTREAM_S_MAX) as answer:
        return json.load(answer)


class Shipped(python.Walk):
    def __init__(self, *how, **more):
        super().__init__(*how, **more)
        self.form = None
        self.handles = {}

    async def answer(self, context, params):
        if isinstance(params, types.ElicitRequestFormParams):
            return types.ElicitResult(action="accept", content=self.form)
        return await super().answer(context, params)

    def arguments(self, of):
        """As they stand in the step, with the handle in its place that another tool gave."""
        given = lambda value: self.handles[value["handle_of"]] if isinstance(value, dict) else value
        return {name: given(value) for name, value in of["arguments"].items()}

    async def carry_out(self, of, wish):
        """Calls until nothing more is asked; `wish` is decided about each question. The result, and how many there were."""
        self.links, self.wish, self.form = [], wish, of.get("form")
        result = await self.peer.call_tool(of["tool"], self.arguments(of))
        while not self.asks and wish == "allow" and (link := python.LINK.search(python.text(result))):
            self.links.append(link.group())
            await asyncio.to_thread(python.decide, wish, link.group())
            result = await self.peer.call_tool(of["tool"], self.arguments(of))
        return result

    async def runs(self, of):
        return await asyncio.to_thread(audit.runs, of["tool"], self.client)

    async def held_back(self, of):
        """Its user does not answer, so that it may do nothing, and does nothing."""
        before, runs = await asyncio.to_thread(upstream), await self.runs(of)
        result = await self.carry_out(of, "cancel")
        assert result.is_error, result
        assert self.links if self.asks else python.LINK.search(python.text(result)), result
        assert await self.runs(of) == runs, "it was run"
        assert await asyncio.to_thread(upstream) == before, "a host was reached"

    async def done(self, of, wish, questions):
        before = await asyncio.to_thread(upstream)
        result = await self.carry_out(of, wish)
        said = result.model_dump_json()
        assert not result.is_error and of["says"] in said, result
        assert "never" not in of or of["never"] not in said, result
        if handle := HANDLE.search(said):
            self.handles[of["tool"]] = handle.group()
        assert len(self.links) == questions, f"asked {len(self.links)} times"
        last = await asyncio.to_thread(audit.last, of["tool"], self.client)
        assert last["status"] == "replied" and set(of["used"]) <= set(last["used"]), last
        assert set(of.get("granted", [])) <= set(last["granted"]), last
        reached = {host: count + of.get("upstream", {}).get(host, 0) for host, count in before.items()}
        assert await asyncio.to_thread(upstream) == reached, f"reached more or less than {reached}"

    async def taken_back(self, of):
        user = (os.environ["BAILIWICK_USER"], os.environ["BAILIWICK_PASSWORD"])
        page = await asyncio.to_thread(browser.take_back, python.URL, *user, of["tool"], self.client)
        assert page.status == 200, f"{page.url} answered {page.status}"
        await self.held_back(of)

    async def run(self):
        tools = {of["tool"]: of for of in STEPS if "tool" in of}
        async with self.connect(python.token(self.client)) as self.peer:
            for of in STEPS:
                if "take_back" in of:
                    of = tools[of["take_back"]]
                    await self.step(f"{of['capability']}: taken back, refused", lambda: self.taken_back(of))
                    continue
                name = of["capability"]
                if "form" in of and not self.asks:
                    print(f"cannot {self.client} {name}: without a session a client of this revision is asked nothing")
                    continue
                if of["questions"]:
                    await self.step(f"{name}: asked, and nothing done before", lambda: self.held_back(of))
                await self.step(f"{name}: allowed, done", lambda: self.done(of, "allow", of["questions"]))
                if of.get("each_call"):
                    await self.step(f"{name}: again, asked anew", lambda: self.held_back(of))
                elif of["questions"]:
                    await self.step(f"{name}: again, without a question", lambda: self.done(of, "cancel", 0))


async def main():
    await Shipped("shipped-python-modern", "auto", "2026-07-28", asks=True).run()
    await Shipped("shipped-python-legacy", "legacy", "2025-11-25", asks=python.SESSIONS).run()


assert len(sys.argv) == 2, __doc__
asyncio.run(main())
