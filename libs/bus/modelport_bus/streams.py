"""The one stream and its durable consumers: their settings, and making sure that they are there.

docs/propagation.md, rule 7: eight messages per subject, because two processes may publish two revisions of a key
out of order and keeping one would keep the older; file storage; a day; old messages go first.
"""

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.client import JetStreamContext
from nats.js.errors import BadRequestError

from modelport_contracts.events import ALL_CHANGES, STREAM

MAX_AGE_S = 24 * 3600.0
MESSAGES_PER_SUBJECT = 8
ACK_WAIT_S = 0.5
MAX_ACK_PENDING = 256
_STREAM_NAME_IN_USE = 10058


def stream_config() -> StreamConfig:
    """Return the stream's settings."""
    return StreamConfig(
        name=STREAM,
        subjects=[ALL_CHANGES],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_msgs_per_subject=MESSAGES_PER_SUBJECT,
        max_age=MAX_AGE_S,
        num_replicas=1,
    )


def consumer_config(durable: str, filter_subject: str, ack_wait_s: float) -> ConsumerConfig:
    """Return the settings of a durable pull consumer. Deliveries are unlimited: a count says nothing of poison."""
    return ConsumerConfig(
        name=durable,
        durable_name=durable,
        filter_subject=filter_subject,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait_s,
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
    )


async def ensure_stream(jetstream: JetStreamContext) -> None:
    """Create the stream, or bring one of another release to today's settings."""
    try:
        await jetstream.add_stream(stream_config())
    except BadRequestError as error:
        if error.err_code != _STREAM_NAME_IN_USE:
            raise
        await jetstream.update_stream(stream_config())


async def ensure_consumer(jetstream: JetStreamContext, durable: str, filter_subject: str, ack_wait_s: float) -> None:
    """Create the consumer or update its settings; where it stands in the stream is kept."""
    await jetstream.add_consumer(STREAM, consumer_config(durable, filter_subject, ack_wait_s))
