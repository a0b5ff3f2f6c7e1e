"""The gateway's own routes beside the data plane."""
