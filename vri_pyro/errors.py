"""The error that a user can mend: its message is one sentence naming the offending thing and the remedy."""


class UserError(ValueError):
    """Bad input. The command line prints its message without a traceback and exits with status 2."""
