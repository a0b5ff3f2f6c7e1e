"""To the provider: the one place that connects, the connections that are kept, and the bytes on them."""
