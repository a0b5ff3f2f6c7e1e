"""The Lua scripts, and running many of them at once.

Calls that are made while others are under way go out together, as one pipeline: a batch of changes costs one
round trip without its sender arranging anything.
"""

import asyncio
import hashlib
from collections import deque
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from modelport_routing.errors import TableAwayError

PIPELINE = 64
"""Calls per pipeline: packing and parsing them takes the event loop a few milliseconds."""


class Script:
    """A script with its common part, and its digest."""

    def __init__(self, name: str, text: str | None = None) -> None:
        """Read the script of that name; `text` replaces what the file holds."""
        folder = files("modelport_routing") / "lua"
        self.name = name
        self.text = text or (folder / "common.lua").read_text() + (folder / f"{name}.lua").read_text()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


WRITE = Script("write")
WRITE_SNAPSHOT = Script("write_snapshot")
BEGIN_EPOCH = Script("begin_epoch")
OPEN_SOURCE = Script("open_source")
REMOVE_MISSING = Script("remove_missing")
FINISH = Script("finish")
SWEEP = Script("sweep")


@dataclass(slots=True)
class _Call:
    script: Script
    keys: tuple[str, ...]
    args: tuple[str | bytes | int, ...]
    result: asyncio.Future[Any]


class ScriptRunner:
    """Runs scripts on one server."""

    def __init__(self, redis: Redis, timeout_s: float) -> None:
        self._redis = redis
        self._timeout_s = timeout_s
        self._waiting: deque[_Call] = deque()
        self._sending: asyncio.Task[None] | None = None

    async def run(self, script: Script, keys: tuple[str, ...], args: tuple[str | bytes | int, ...]) -> Any:
        """Run a script. Raises TableAwayError where Redis is away or refuses."""
        call = _Call(script, keys, args, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return await call.result

    async def close(self) -> None:
        """Stop; what is still waiting fails."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        self._fail(list(self._waiting), TableAwayError("closed"))
        self._waiting.clear()

    async def _send(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(PIPELINE, len(self._waiting)))]
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._send_batch(batch)
            except (RedisError, OSError) as error:
                # The rest would wait for the same failure.
                batch.extend(self._waiting)
                self._waiting.clear()
                self._fail(batch, TableAwayError(f"Redis is away: {type(error).__name__}: {error}"))
            except BaseException:
                self._fail(batch, TableAwayError("closed"))
                raise

    async def _send_batch(self, batch: list[_Call]) -> None:
        replies = await self._execute(batch)
        unknown = [call for call, reply in zip(batch, replies, strict=True) if isinstance(reply, NoScriptError)]
        if unknown:
            for script in {call.script.sha: call.script for call in unknown}.values():
                await self._redis.script_load(script.text)
            again = dict(zip(map(id, unknown), await self._execute(unknown), strict=True))
            replies = [again.get(id(call), reply) for call, reply in zip(batch, replies, strict=True)]
        for call, reply in zip(batch, replies, strict=True):
            if call.result.done():
                continue
            if isinstance(reply, Exception):
                call.result.set_exception(TableAwayError(f"Redis refused {call.script.name}: {reply}"))
            else:
                call.result.set_result(reply)

    async def _execute(self, batch: list[_Call]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for call in batch:
                pipeline.execute_command("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)
            return list(await pipeline.execute(raise_on_error=False))

    @staticmethod
    def _fail(calls: list[_Call], error: TableAwayError) -> None:
        for call in calls:
            if not call.result.done():
                call.result.set_exception(TableAwayError(*error.args))
