"""The front door: one address for the platform, behind it the services (ARCHITECTURE.md, The processes)."""
