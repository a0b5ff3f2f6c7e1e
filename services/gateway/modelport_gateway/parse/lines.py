"""Header lines as bytes: the head is cut at CRLF CRLF and its lines are kept or dropped whole.

Lines keep their name's case and their spacing that way, and there is no Python call per header inside the parser
(docs/dataplane.md, Speed).
"""

from collections.abc import Iterable

END_OF_HEAD = b"\r\n\r\n"


def field_value(line: bytes) -> bytes:
    """Return a line's value without the optional white space around it (RFC 9110, 5.5)."""
    return line[line.find(b":") + 1 :].strip(b" \t")


def field_name(line: bytes) -> bytes:
    """Return a line's name in lower case."""
    return line[: line.find(b":")].lower()


def tokens(value: bytes) -> list[bytes]:
    """Split a comma separated list of tokens, in lower case, without empty members."""
    return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]


def names_of(lines: Iterable[bytes]) -> set[bytes]:
    """Return the names that occur, in lower case."""
    return {field_name(line) for line in lines}


def find_field(lines: Iterable[bytes], name: bytes) -> bytes | None:
    """Return the value of the first line called `name` (lower case)."""
    for line in lines:
        if field_name(line) == name:
            return field_value(line)
    return None


def without(lines: list[bytes], names: frozenset[bytes] | set[bytes]) -> list[bytes]:
    """Return the lines whose name is not among `names`."""
    return [line for line in lines if field_name(line) not in names]
