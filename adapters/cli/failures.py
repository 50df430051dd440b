"""Failures: what ends a command with a message instead of a traceback."""


class Failure(Exception):
    """The command cannot go on; the message is for the user."""

    exit_code = 1


class Refused(Failure):
    """What was asked cannot be done at all: a wrong argument, or something that cannot be opened."""

    exit_code = 2
