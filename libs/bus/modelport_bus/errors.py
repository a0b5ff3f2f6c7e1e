"""What can go wrong with the bus, as its users need to tell it apart."""


class BusAwayError(ConnectionError):
    """The bus cannot be reached or did not confirm in time; the same call may succeed later."""


class BusRefusedError(Exception):
    """The bus answered and refused this message; sending it again unchanged will not help."""
