"""The error for invalid user input; its message is one sentence with the problem and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "overflow when unpacking",
    "size calculation overflowed",
)
_SMALLER = "use smaller sizes, such as batch_size, num_particles, draws, or the hidden widths of the networks"


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
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        if out_of_memory(error):
            raise UserError(f"{what} needs more memory than there is{_tried(error)}; {_SMALLER}") from error
        reason = str(error).partition("Exception raised from")[0].strip()  # without the frames of PyTorch
        raise UserError(f"{what} cannot be built; change its options: {reason}") from error


def described(value: object) -> str:
    """Return a value for a message: a class by its name, an object without a short text by its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    if "\n" in text or " at 0x" in text or hasattr(value, "__array__"):
        return f"an object of type {type(value).__name__}"
    return shortened(text)


def shortened(path: object, most: int = 100) -> str:
    """Return a path for a message, without its middle if it is very long."""
    text = str(path)
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 4 :]}"


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, NumPy or PyTorch means that memory is exhausted."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def memory_error(error: BaseException) -> UserError:
    """Return the error for a user whose input needs too much memory."""
    return UserError(f"there is not enough memory{_tried(error)}; {_SMALLER}")


def _tried(error: BaseException) -> str:
    """Return how much memory was requested, in parentheses; empty if the error does not say it."""
    if found := re.search(r"tried to allocate (\d+) bytes", str(error)):
        return f" ({int(found[1]) / 1e9:,.1f} GB requested)"
    found = re.search(r"Unable to allocate ([\d.]+ [KMGTPEZY]iB)", str(error))
    return f" ({found[1]} requested)" if found else ""
