"""The error that a user can mend: its message is one sentence naming the offending thing and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Bad input. The command line prints its message without a traceback and exits with status 2."""


@contextmanager
def building(what: str) -> Iterator[None]:
    """Take what a constructor refuses, PyTorch's included, for a value that the user can mend."""
    try:
        yield
    except UserError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{what} cannot be built, change its options: {error}") from error
