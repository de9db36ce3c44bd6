"""The error for invalid user input; its message is one sentence with the problem and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Invalid user input.

    The command line prints the message without a traceback and exits with status 2.
    """


class UserTypeError(UserError, TypeError):
    """Invalid user input of the wrong type; also a :class:`TypeError`, which callers of array functions expect."""


@contextmanager
def building(what: str) -> Iterator[None]:
    """Convert errors raised by a constructor, including PyTorch's, to a :class:`UserError`.

    Args:
        what: name of the object under construction, for the message.
    """
    try:
        yield
    except UserError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{what} cannot be built; change its options: {error}") from error
