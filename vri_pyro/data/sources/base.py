"""Where data come from."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vri_pyro.data.arrays import Arrays


class Source(ABC):
    """A data set that can be loaded. Subclass it, and name the class in a configuration, to add one."""

    @abstractmethod
    def load(self) -> Arrays:
        """Load the whole data set into memory.

        Raises:
            UserError: the data are not there or unusable.
        """
