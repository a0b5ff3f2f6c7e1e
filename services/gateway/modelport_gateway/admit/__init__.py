"""What may pass: sizes, loops, a gateway that is leaving, and which headers hold a client's credentials."""
