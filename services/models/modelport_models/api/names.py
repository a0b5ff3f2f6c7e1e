"""Names in paths that make something new must be legal, as those in bodies."""

from modelport_contracts.names import NAME_RULE, is_name
from modelport_kit.errors import UnprocessableError


def valid_name(name: str) -> None:
    """Raises UnprocessableError."""
    if not is_name(name):
        raise UnprocessableError(("path", "name"), f"not a valid name; a name has {NAME_RULE}")
