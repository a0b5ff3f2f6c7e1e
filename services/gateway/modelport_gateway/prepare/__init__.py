"""From the client's request to the provider's: URL, headers, credential, body edits."""
