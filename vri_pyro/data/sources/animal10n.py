"""ANIMAL-10N, photographs of similar animals with noisy labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.folders import contents_of, warn_of_unread
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import Listed, check_there, lines_of, streamed_arrays, warn_of_no_trusted_labels
from vri_pyro.utils.deprecations import accepts_old_arguments
from vri_pyro.utils.errors import UserError

_CLASSES = ("cat", "lynx", "wolf", "coyote", "cheetah", "jaguar", "chimpanzee", "orangutan", "hamster", "guinea pig")
_FROM = "ANIMAL-10N (Song et al., SELFIE, 2019; raw images, unpacked under path)"


@accepts_old_arguments
@dataclass(frozen=True)
class Animal10N(Source):
    """ANIMAL-10N: photographs of ten similar animals with about 8% wrong labels, streamed.

    There are 50,000 training and 5,000 test images. The published layout is expected under ``path``; a file name begins
    with the label::

        training/<label>_<id>.jpg
        testing/<label>_<id>.jpg

    No training label is verified. List the files with trusted labels in ``clean_list``. Without it, the clean set is
    drawn from the noisy labels, with a warning.

    Reference: Song et al., SELFIE, ICML 2019.

    Attributes:
        path: folder of the data set.
        size: side of the square to which images are scaled and cropped, in pixels.
        clean_list: a text file with the names of trusted files in ``training/``, one per line.
    """

    path: str | Path
    size: int = 64
    clean_list: str | Path | None = None

    def load(self) -> Arrays:
        """List the image files, without reading any image.

        Raises:
            UserError: a folder is missing or empty, a file name has no label, or a trusted file does not exist.
        """
        root = Path(self.path)
        training, testing = (self._names(root / part) for part in ("training", "testing"))
        trusted = self._trusted(set(training))
        noisy, clean, test = Listed(), Listed(), Listed()
        for name in training:
            (clean if name in trusted else noisy).add(f"training/{name}", _label(root / "training" / name))
        for name in testing:
            test.add(f"testing/{name}", _label(root / "testing" / name))
        if not trusted:
            warn_of_no_trusted_labels("ANIMAL-10N", "list trusted files in clean_list")
        return streamed_arrays(root, _CLASSES, self.size, noisy, test, clean)

    @staticmethod
    def _names(folder: Path) -> list[str]:
        check_there(folder, f"a folder of {_FROM}")
        found = contents_of(folder)
        warn_of_unread(folder, found.others)
        return found.images

    def _trusted(self, there: set[str]) -> set[str]:
        if self.clean_list is None:
            return set()
        path = Path(self.clean_list)
        trusted = set()
        for number, name in lines_of(path, "a list of trusted files, one name per line"):
            if name not in there:
                raise UserError(f"{path}, line {number}: {name} does not exist in training/; correct the line.")
            trusted.add(name)
        return trusted


def _label(path: Path) -> int:
    text = path.name.split("_")[0]
    if not text.isdecimal() or int(text) >= len(_CLASSES):
        raise UserError(
            f"The name of {path} does not begin with a label from 0 to 9 and an underscore; restore or remove the file."
        )
    return int(text)
