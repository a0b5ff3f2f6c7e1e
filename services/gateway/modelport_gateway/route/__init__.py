"""From what a path or a body names to a provider: look-ups in the routing table, and nothing else."""
