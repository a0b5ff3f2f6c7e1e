"""Which of a model's providers serves a request."""
