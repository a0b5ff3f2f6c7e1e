"""Between client and provider: one exchange per request, its reply streamed back, and every cause of failure told."""
