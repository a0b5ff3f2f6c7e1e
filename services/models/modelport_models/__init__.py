"""The models service: workspaces, providers, models, virtual models, and the discovery of what providers serve."""
