"""Runs the whole stack in the foreground: servers first, services on top, ended in the opposite order."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelport_cli.stack.binaries import Programs
from modelport_cli.stack.console import Console, first_steps
from modelport_cli.stack.datadir import DataFolder
from modelport_cli.stack.errors import StackError
from modelport_cli.stack.keeper import Keeper
from modelport_cli.stack.keys import Keys
from modelport_cli.stack.parts import NatsPart, Part, ServicePart, ValkeyPart
from modelport_cli.stack.plan import Addresses, Service, url
from modelport_cli.stack.process import Group
from modelport_cli.stack.sockets import listen, port_of

START_TIMEOUT_S = 60.0
SAME_SIGNAL_S = 1.0
"""Signals so close together are one wish: make, timeout and terminals send theirs to a process and to its group."""


class Supervisor:
    """One run of the stack, on an opened data folder."""

    def __init__(
        self,
        data: DataFolder,
        keys: Keys,
        programs: Programs,
        front: socket.socket,
        gateways: int,
        environ: Mapping[str, str],
    ) -> None:
        self._began = time.monotonic()
        self._data = data
        self._keys = keys
        self._gateways = gateways
        self._environ = environ
        self._console = Console()
        self._programs = programs
        self._front = front
        self._port = port_of(front)
        self._sockets = {name: listen(0) for name in ("secrets", "models")}
        self._gateway_sockets = [listen(0) for _ in range(gateways)]
        self._metrics_sockets = {name: listen(0) for name in (*self._sockets, *self._gateway_names())}
        self._stages: list[list[Keeper]] = []
        self._asked_at: float | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or SIGHUP.

        Raises:
            StackError: a part does not start.

        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        group = Group(self._data.lock_fd, self._console.say)
        await group.start()
        try:
            if await self._start(group):
                self._announce()
                await self._stop.wait()
            self._console.say("Stopping: requests in flight are finished first (Ctrl-C again ends them at once)")
        finally:
            await self._end()
            await group.close()
        self._console.say("Stopped. All data is kept.")

    def _on_signal(self) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            self._stop.set()
        elif now - self._asked_at > SAME_SIGNAL_S:
            for keeper in (keeper for stage in self._stages for keeper in stage):
                keeper.kill()

    async def _start(self, group: Group) -> bool:
        """Start everything; tell whether it is ready, or was asked to stop before that."""
        self._console.say(f"Modelport is starting, data in {self._data.root}")
        nats = NatsPart(self._programs.nats_server, self._data, self._keys, self._environ)
        valkey = ValkeyPart(self._programs.valkey_server, self._data, self._keys, self._environ)
        if not await self._start_stage(group, [nats, valkey]):
            return False
        addresses = Addresses(
            nats_urls=nats.client_urls,
            redis_url=valkey.client_url,
            front_port=self._port,
            secrets_port=port_of(self._sockets["secrets"]),
            models_port=port_of(self._sockets["models"]),
            metrics_ports={name: port_of(listener) for name, listener in self._metrics_sockets.items()},
        )
        services = [ServicePart(service, addresses, self._keys, self._environ) for service in self._services()]
        # The gateways, which are last, are a stage of their own when stopping, but not when starting: every service
        # has its address already, and three interpreters start faster beside each other than one after another.
        ready = await self._start_stage(group, services)
        keepers = self._stages.pop()
        self._stages += [keepers[: -self._gateways], keepers[-self._gateways :]]
        return ready

    def _gateway_names(self) -> list[str]:
        return [f"gateway-{number}" for number in range(1, self._gateways + 1)] if self._gateways > 1 else ["gateway"]

    def _services(self) -> list[Service]:
        metrics_fds = {name: listener.fileno() for name, listener in self._metrics_sockets.items()}
        services = [
            Service(
                kind,
                self._data.folder(kind),
                port_of(listener),
                (listener.fileno(),),
                metrics_fd=metrics_fds[kind],
            )
            for kind, listener in self._sockets.items()
        ]
        for number, (name, listener) in enumerate(zip(self._gateway_names(), self._gateway_sockets, strict=True), 1):
            services.append(
                Service(
                    "gateway",
                    self._data.folder(f"gateway-{number}"),
                    port_of(listener),
                    (listener.fileno(),),
                    shared_fds=(self._front.fileno(),),
                    number=number if self._gateways > 1 else None,
                    metrics_fd=metrics_fds[name],
                )
            )
        return services

    async def _start_stage(self, group: Group, parts: Sequence[Part]) -> bool:
        keepers = [Keeper(part, group, self._data.logs, self._console.say) for part in parts]
        self._stages.append(keepers)
        for keeper in keepers:
            keeper.start()
        ready = asyncio.gather(*(self._wait_ready(keeper) for keeper in keepers))
        stop = asyncio.ensure_future(self._stop.wait())
        either: set[asyncio.Future[Any]] = {ready, stop}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()
            return ready.done()
        finally:
            for waiting in either:
                waiting.cancel()
            await asyncio.gather(*either, return_exceptions=True)

    async def _wait_ready(self, keeper: Keeper) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                seconds = await keeper.wait_ready()
        except TimeoutError:
            raise StackError(
                f"{keeper.part.name} was not ready after {START_TIMEOUT_S:g} s: see {self._data.logs}"
            ) from None
        self._console.part_ready(keeper.part.name, keeper.part.address, keeper.pid, seconds)

    def _announce(self) -> None:
        address = url(self._port)
        self._console.say(f"Ready after {time.monotonic() - self._began:.1f} s: {address}")
        self._console.say("")
        self._console.say("In another terminal:")
        for command in first_steps(address, str(_nemo()), self._port):
            self._console.say(f"  {command}")
        self._console.say("")
        self._console.say("Ctrl-C stops it.")

    async def _end(self) -> None:
        # Else clients would wait in the queue of a socket that nobody will ever accept from.
        for listener in (self._front, *self._gateway_sockets):
            listener.close()
        for stage in reversed(self._stages):
            await asyncio.gather(*(keeper.stop() for keeper in stage))
        for listener in (*self._sockets.values(), *self._metrics_sockets.values()):
            listener.close()


def _nemo() -> Path:
    """Return the command's own file: what was called, else the one beside the interpreter.

    A whole path, since the other terminal may be in another folder and without this environment.
    """
    called = Path(sys.argv[0])
    if called.name in {"nemo", "modelport"}:
        return called.absolute()
    return Path(os.path.abspath(sys.executable)).parent / "nemo"  # noqa: PTH100 (resolve() would leave the environment)
