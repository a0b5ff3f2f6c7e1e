"""The failure matrix: what is done, for how long, and what an operator sees of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelport_faults import strikes
from modelport_faults.strikes import Strike

Setting = Literal["postgresql", "sqlite", "clock"]
"""The platform a scenario is for: on PostgreSQL, on SQLite on a small disk, or with clocks that can be moved."""


@dataclass(frozen=True)
class Scenario:
    """One row of the matrix."""

    name: str
    title: str
    """What happens, as the table says it."""
    strike: Strike
    hold_s: float
    """How long it lasts."""
    setting: Setting = "postgresql"
    struck: tuple[str, ...] = ()
    """The gateways it happens to: what their own clients see is told apart."""
    edge: bool = False
    """Whether clients come through the edge, as they must where every gateway is away once."""
    short_s: float | None = 2.0
    """How long it lasts in the short form; None: not part of it."""
    settle_s: float = 30.0
    """Within this time after its end everything must be as it was."""


def scenarios(clock_file: Path) -> list[Scenario]:
    """Return all rows; `clock_file` is where the platform for clocks reads by how much they are wrong."""
    rows = [
        _killed("models", "models", strikes.models),
        _paused("models", "models", strikes.models),
        _killed("secrets", "secrets", strikes.secrets),
        _paused("secrets", "secrets", strikes.secrets),
        Scenario(
            "gateway-killed",
            "one gateway of three is killed (kill -9), away for 10 s",
            strikes.killed(strikes.gateway),
            10,
            struck=("gateway-1",),
        ),
        Scenario(
            "gateway-paused",
            "one gateway of three hangs (SIGSTOP) for 10 s",
            strikes.paused(strikes.gateway),
            10,
            struck=("gateway-1",),
        ),
        _killed("nats", "NATS", strikes.bus),
        _paused("nats", "NATS", strikes.bus),
        _killed("redis", "Redis", strikes.table),
        _paused("redis", "Redis", strikes.table),
        _killed("postgresql", "PostgreSQL", strikes.database),
        _paused("postgresql", "PostgreSQL", strikes.database),
        Scenario("flushall", "FLUSHALL", strikes.flushed, 5),
        Scenario("stream-deleted", "the stream is deleted", strikes.stream_deleted, 5),
        Scenario("consumer-deleted", "the consumer is deleted", strikes.consumer_deleted, 5),
        Scenario("disks-empty", "Redis and NATS are killed and come back on empty disks", strikes.emptied, 5),
        Scenario("redis-old-dump", "Redis is killed and comes back with a dump 10 s old", strikes.old_dump, 10),
        Scenario(
            "all-but-gateways",
            "everything but the gateways is killed, away for 60 s",
            strikes.killed(strikes.models, strikes.secrets, strikes.bus, strikes.table, strikes.database),
            60,
            short_s=4.0,
        ),
        Scenario(
            "network-one",
            "the network between one gateway and Redis drops everything for 10 s",
            strikes.cut(0),
            10,
        ),
        Scenario(
            "network-all",
            "the network between all gateways and Redis drops everything for 10 s",
            strikes.cut(0, 1, 2),
            10,
            short_s=None,
        ),
        Scenario(
            "disk-full",
            "the disk of SQLite is full for 10 s",
            strikes.disk_full,
            10,
            setting="sqlite",
        ),
        Scenario(
            "models-killed-sqlite",
            "models and secrets are killed (kill -9) on SQLite, away for 10 s",
            strikes.killed(strikes.models, strikes.secrets),
            10,
            setting="sqlite",
            short_s=None,
        ),
        Scenario(
            "clock-forwards",
            "all clocks jump an hour ahead, and back after 10 s",
            strikes.clock_jump(clock_file, 3600),
            10,
            setting="clock",
            short_s=None,
        ),
        Scenario(
            "clock-backwards",
            "all clocks jump an hour back, and ahead again after 10 s",
            strikes.clock_jump(clock_file, -3600),
            10,
            setting="clock",
            short_s=None,
        ),
        Scenario(
            "rolling-restart",
            "all gateways are restarted, one after the other, behind the edge",
            strikes.rolling_restart,
            0,
            edge=True,
            short_s=None,
        ),
    ]
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    return rows


def _killed(name: str, title: str, pick: strikes.Pick) -> Scenario:
    return Scenario(f"{name}-killed", f"{title} is killed (kill -9), away for 10 s", strikes.killed(pick), 10)


def _paused(name: str, title: str, pick: strikes.Pick) -> Scenario:
    return Scenario(f"{name}-paused", f"{title} hangs (SIGSTOP) for 10 s", strikes.paused(pick), 10)
