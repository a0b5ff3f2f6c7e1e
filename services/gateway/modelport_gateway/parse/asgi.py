"""What uvicorn's protocol class sees of a head that was parsed here (parse/connection.py)."""

from modelport_gateway.parse.head import RequestHead


class ParserView:
    """What uvicorn's class asks its parser for; the head was parsed here."""

    __slots__ = ("_head", "_is_last")

    def __init__(self, head: RequestHead, *, is_last: bool) -> None:
        self._head = head
        self._is_last = is_last

    def get_method(self) -> bytes:
        return self._head.method

    def get_http_version(self) -> str:
        return "1.0" if self._head.is_http_10 else "1.1"

    def should_keep_alive(self) -> bool:
        return self._head.keep_alive and not self._is_last

    def should_upgrade(self) -> bool:
        return False
