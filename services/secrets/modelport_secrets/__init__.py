"""The secrets service: values sealed at rest, revealed to the gateway alone."""
