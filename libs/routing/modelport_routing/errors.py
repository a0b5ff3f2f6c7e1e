"""What can go wrong with the routing table, as its users need to tell it apart."""


class TableAwayError(Exception):
    """Redis cannot be reached, or what it holds proves nothing about the asked key; later it will.

    To a client this is 503 with Retry-After, never 404 (docs/propagation.md, rule 13).
    """
