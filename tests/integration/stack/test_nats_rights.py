"""What each service may do on NATS, on a server with the rights of both stacks."""

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncIterator, Iterator

import nats
import nats.errors
import pytest
from nats.aio.client import Client

from modelport_bus import Bus, BusAwayError
from modelport_bus.connection import close_quietly, inbox_prefix
from modelport_bus.streams import stream_config
from modelport_contracts.events import (
    ALL_CHANGES,
    MODELS_CONSUMER,
    ROUTE_SYNC_CONSUMER,
    SECRETS_CONSUMER,
    STREAM,
    subjects_of_kind,
)
from modelport_contracts.records import Change, Envelope, Kind, Source
from modelport_testing.polling import eventually
from modelport_testing.rights import SERVICES, NatsWithRights, nats_with_rights

CONSUMED = {
    "secrets": (SECRETS_CONSUMER, subjects_of_kind("models", "workspace")),
    "models": (MODELS_CONSUMER, subjects_of_kind("secrets", "secret")),
    "gateway": (ROUTE_SYNC_CONSUMER, ALL_CHANGES),
}
API = "$JS.API"
OF_ANOTHER = {user: [CONSUMED[other] for other in SERVICES if other != user] for user in SERVICES}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsWithRights]:
    with nats_with_rights(tmp_path_factory.mktemp("rights") / "nats") as running:
        yield running


class Member:
    """A client of one user, and what the server has refused it."""

    def __init__(self, server: NatsWithRights, user: str) -> None:
        self.user = user
        self._url = server.url(user)
        self._client = Client()
        self._refused: list[str] = []
        self._marks = 0

    async def __aenter__(self) -> "Member":
        async def note(error: Exception) -> None:
            self._refused.append(str(error))

        await self._client.connect(
            self._url, error_cb=note, allow_reconnect=False, inbox_prefix=inbox_prefix(self._url)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def may_publish(self, subject: str, data: bytes = b"{}") -> bool:
        """Say whether the server takes a message on this subject."""
        await self._client.publish(subject, data)
        return await self._was_let()

    async def may_subscribe(self, subject: str) -> bool:
        """Say whether the server would send this user what comes on a subject."""
        subscription = await self._client.subscribe(subject)
        try:
            return await self._was_let()
        finally:
            await subscription.unsubscribe()

    async def _was_let(self) -> bool:
        # Refusals come in the order of what was sent: once this mark is refused, so is whatever was before it.
        self._marks += 1
        mark = f"mark.{self._marks}"
        await self._client.publish(mark)
        await eventually(lambda: any(f'"{mark}"' in error for error in self._refused), interval=0.001)
        refused = [error for error in self._refused if f'"{mark}"' not in error]
        self._refused = []
        assert all("permissions violation" in error for error in refused), refused
        return not refused


@pytest.fixture(params=SERVICES)
async def member(request: pytest.FixtureRequest, server: NatsWithRights) -> AsyncIterator[Member]:
    async with Member(server, request.param) as connected:
        yield connected


def change(source: Source, kind: Kind, name: str) -> Change:
    envelope = Envelope(key=f"{kind}/w/{name}", source=source, incarnation="i", revision=1, operation="put")
    return Change(envelope=envelope, payload=b"{}")


@contextlib.asynccontextmanager
async def consuming(bus: Bus, user: str) -> AsyncIterator[list[str]]:
    received: list[str] = []

    async def keep(change: Change) -> None:
        received.append(change.envelope.key)

    task = asyncio.create_task(bus.consume(*CONSUMED[user], keep))
    try:
        yield received
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nobody_publishes_for_another(member: Member) -> None:
    for source in ("models", "secrets"):
        subject = f"modelport.v1.{source}.provider.forged.forged"
        assert await member.may_publish(subject) is (source == member.user), subject
    assert not await member.may_publish("modelport.v1.gateway.provider.forged.forged")
    assert not await member.may_publish("anything")


async def test_nobody_reads_the_replies_to_another(member: Member) -> None:
    for user in SERVICES:
        assert await member.may_subscribe(f"_INBOX_{user}.>") is (user == member.user), user
    for subject in (">", "_INBOX.>", "modelport.v1.>", "$JS.ACK.>", "$JS.EVENT.>", "*"):
        assert not await member.may_subscribe(subject), subject


async def test_only_secrets_sets_up_the_stream_and_nobody_destroys_it(member: Member) -> None:
    # What is sent sets nothing up: were it allowed, the server would refuse it as no configuration.
    for action in ("CREATE", "UPDATE"):
        assert await member.may_publish(f"{API}.STREAM.{action}.{STREAM}") is (member.user == "secrets")
        assert not await member.may_publish(f"{API}.STREAM.{action}.OTHER")
    for action in ("DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN", "INFO"):
        assert not await member.may_publish(f"{API}.STREAM.{action}.{STREAM}"), action
    for subject in ("STREAM.LIST", "STREAM.NAMES", "INFO", "ACCOUNT.PURGE.G", "META.LEADER.STEPDOWN"):
        assert not await member.may_publish(f"{API}.{subject}"), subject


async def test_nobody_makes_or_uses_a_consumer_but_its_own(member: Member) -> None:
    durable, subject = CONSUMED[member.user]
    assert await member.may_publish(f"{API}.CONSUMER.CREATE.{STREAM}.{durable}.{subject}")
    assert await member.may_publish(f"{API}.CONSUMER.MSG.NEXT.{STREAM}.{durable}")
    assert await member.may_publish(f"$JS.ACK.{STREAM}.{durable}.1.1.1.1.0")
    assert not await member.may_publish(f"{API}.CONSUMER.CREATE.{STREAM}")
    assert not await member.may_publish(f"{API}.CONSUMER.CREATE.{STREAM}.spy.{subject}")
    assert not await member.may_publish(f"{API}.CONSUMER.CREATE.{STREAM}.{durable}")
    assert not await member.may_publish(f"{API}.CONSUMER.DURABLE.CREATE.{STREAM}.{durable}")
    assert not await member.may_publish(f"{API}.CONSUMER.DELETE.{STREAM}.{durable}")
    for durable, subject in OF_ANOTHER[member.user]:
        assert not await member.may_publish(f"{API}.CONSUMER.CREATE.{STREAM}.{durable}.{subject}")
        assert not await member.may_publish(f"{API}.CONSUMER.MSG.NEXT.{STREAM}.{durable}")
        assert not await member.may_publish(f"$JS.ACK.{STREAM}.{durable}.1.1.1.1.0")


async def test_nobody_is_let_in_without_a_password(server: NatsWithRights) -> None:
    wrong = server.url("gateway").replace("mp_gateway", "mp_models")
    for url in (f"nats://127.0.0.1:{server.port}", wrong):
        client = Client()
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            await client.connect(url, allow_reconnect=False, connect_timeout=5)
        await close_quietly(client)


async def test_with_these_rights_everything_works(server: NatsWithRights) -> None:
    names = [uuid.uuid4().hex for _ in range(3)]
    async with (
        Bus(server.url("gateway"), name="gateway", keeps_stream=False) as gateway,
        Bus(server.url("models"), name="models", keeps_stream=False) as models,
        Bus(server.url("secrets"), name="secrets") as secrets,
        consuming(gateway, "gateway") as by_gateway,
        consuming(models, "models") as by_models,
        consuming(secrets, "secrets") as by_secrets,
    ):
        await secrets.wait_connected()
        await secrets.publish(change("secrets", "secret", names[0]))
        await eventually(lambda: models.connected)
        await models.publish(change("models", "provider", names[1]))
        await models.publish(change("models", "workspace", names[2]))
        everything = {f"secret/w/{names[0]}", f"provider/w/{names[1]}", f"workspace/w/{names[2]}"}
        await eventually(lambda: everything <= set(by_gateway), timeout=10)
        await eventually(lambda: f"secret/w/{names[0]}" in by_models and f"workspace/w/{names[2]}" in by_secrets)
        newest = await models.newest("models")
        assert newest is not None
        assert newest.key == f"workspace/w/{names[2]}"
        assert not [key for key in by_models if not key.startswith("secret/")]


async def test_a_stream_of_another_release_is_brought_to_todays_settings(server: NatsWithRights) -> None:
    async with Bus(server.url("secrets"), name="secrets") as secrets, consuming(secrets, "secrets"):
        await secrets.wait_connected()
        await secrets.publish(change("secrets", "secret", "s"))
    url = server.url("secrets")
    client = await nats.connect(url, inbox_prefix=inbox_prefix(url).encode())
    try:
        former = await client.jetstream().update_stream(stream_config().evolve(max_age=60, max_msgs_per_subject=2))
        assert former.config.max_age == 60
        async with Bus(url, name="secrets") as secrets, consuming(secrets, "secrets"):
            # Setting up today's again changes nothing, and is refused while the stream has others.
            await eventually(lambda: _has_todays_settings(client))
    finally:
        await client.close()


async def _has_todays_settings(client: Client) -> bool:
    reply = await client.request(
        f"{API}.STREAM.CREATE.{STREAM}", json.dumps(stream_config().as_dict()).encode(), timeout=5
    )
    return "error" not in json.loads(reply.data)


async def test_what_is_refused_is_said_and_does_not_hang(
    server: NatsWithRights, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with Bus(server.url("gateway"), name="gateway", keeps_stream=False) as gateway:
        await gateway.wait_connected()
        async with asyncio.timeout(10):
            with pytest.raises(BusAwayError, match="did not confirm"):
                await gateway.publish(change("models", "provider", "forged"))
    (record,) = caplog.records
    assert "does not let this service's user do what it needs" in record.message
    assert "modelport.v1.models.provider." in record.message
    assert "mp_" not in record.message
