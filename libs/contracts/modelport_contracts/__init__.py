"""The language the services, the SDK and the CLI share: names, resources, records, events and errors.

Pure data and pure functions on pydantic and the standard library; nothing here opens a socket or reads a clock.
"""
