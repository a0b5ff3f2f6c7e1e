"""The settings of the stream and its consumers, rule by rule (docs/propagation.md, rule 7)."""

import pytest
from nats.js.api import AckPolicy, DeliverPolicy, DiscardPolicy, RetentionPolicy, StorageType

from modelport_bus import Bus, BusAwayError
from modelport_bus.connection import inbox_prefix
from modelport_bus.streams import consumer_config, stream_config
from modelport_contracts.events import ROUTE_SYNC_CONSUMER, subject_of
from modelport_contracts.records import Change, Envelope


def test_the_stream_keeps_a_day_and_the_newest_of_each_subject() -> None:
    config = stream_config()
    assert config.retention == RetentionPolicy.LIMITS
    assert config.storage == StorageType.FILE
    assert config.discard == DiscardPolicy.OLD
    assert config.max_msgs_per_subject == 8
    assert config.max_age == 24 * 3600


def test_consumers_see_everything_and_never_give_up() -> None:
    config = consumer_config(ROUTE_SYNC_CONSUMER, "modelport.v1.>", 0.5)
    assert config.deliver_policy == DeliverPolicy.ALL
    assert config.ack_policy == AckPolicy.EXPLICIT
    assert config.max_deliver == -1
    assert config.max_ack_pending == 256
    assert config.ack_wait == 0.5


def test_names_with_dots_stay_one_token() -> None:
    envelope = Envelope(key="model/default/gpt-3.5.a", source="models", incarnation="i", revision=1, operation="put")
    assert subject_of(envelope).count(".") == 5


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("nats://gateway:pw@one:4222", "_INBOX_gateway"),
        ("nats://gateway:pw@one:4222,nats://gateway:pw@two:4222", "_INBOX_gateway"),
        ("nats://one:4222", "_INBOX"),
        ("nats://a-token@one:4222", "_INBOX"),
        ("nats://a%3Eb:pw@one:4222", "_INBOX"),
    ],
)
def test_each_user_has_an_inbox_of_its_own(url: str, prefix: str) -> None:
    assert inbox_prefix(url) == prefix


async def test_a_bus_that_was_not_started_is_away() -> None:
    envelope = Envelope(key="model/a/b", source="models", incarnation="i", revision=1, operation="put")
    with pytest.raises(BusAwayError):
        await Bus("nats://127.0.0.1:1", name="x").publish(Change(envelope=envelope, payload=b""))


def test_an_away_bus_is_an_os_error_to_the_outbox() -> None:
    assert issubclass(BusAwayError, OSError)
