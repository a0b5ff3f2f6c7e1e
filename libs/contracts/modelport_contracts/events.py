"""Names on the bus: one stream, one subject per record."""

from modelport_contracts.names import subject_token
from modelport_contracts.records import Envelope, Kind

STREAM = "MODELPORT"
SUBJECT_PREFIX = "modelport.v1"
ALL_CHANGES = f"{SUBJECT_PREFIX}.>"
ROUTE_SYNC_CONSUMER = "route-sync"
"""The durable consumer that all gateways share."""
MODELS_CONSUMER = "models-secrets"
"""The durable consumer by which the models service learns of changed secrets, to probe their providers at once."""
SECRETS_CONSUMER = "secrets-workspaces"
"""The durable consumer by which the secrets service learns of removed workspaces."""


def subject_of(envelope: Envelope) -> str:
    """Name the subject of a change: `modelport.v1.<source>.<kind>.<workspace>.<name>`, names in base32."""
    kind, workspace, name = envelope.key.split("/", 2)
    return f"{SUBJECT_PREFIX}.{envelope.source}.{kind}.{subject_token(workspace)}.{subject_token(name)}"


def subjects_of_source(source: str) -> str:
    """Name the subject filter for every record of a source."""
    return f"{SUBJECT_PREFIX}.{source}.>"


def subjects_of_kind(source: str, kind: Kind) -> str:
    """Name the subject filter for every record of a kind."""
    return f"{SUBJECT_PREFIX}.{source}.{kind}.>"
