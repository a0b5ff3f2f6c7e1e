"""Decisions of the models service: pure functions on plain data."""

from modelport_contracts.records import Source

SOURCE: Source = "models"
