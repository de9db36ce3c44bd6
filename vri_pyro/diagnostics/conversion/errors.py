"""The error of the converter."""


class ConversionError(ValueError):
    """Model, guide or arguments that cannot be converted; the message has the problem and the remedy."""
