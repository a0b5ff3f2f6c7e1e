"""What stops the local stack from starting, said in one line."""


class StackError(Exception):
    """The stack cannot run. The message is one line: what is wrong and what to do about it."""
