"""The base class of data sources."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vri_pyro.data.arrays import Arrays


class Source(ABC):
    """Base class of data sources, which load a data set.

    To add a source, write a subclass and name its class path in the configuration.
    """

    @abstractmethod
    def load(self) -> Arrays:
        """Load the data set: labels into memory, and inputs into memory or as streamed images.

        Raises:
            UserError: the data are missing or unusable.
        """
