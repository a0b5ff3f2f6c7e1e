"""Bytes to messages: heads cut and judged, bodies framed, paths split. what llhttp leaves open is here."""
