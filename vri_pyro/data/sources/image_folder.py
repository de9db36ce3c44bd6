"""Image folders with one folder per class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.image_files import IMAGE_SUFFIXES
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import Listed, check_there, streamed_arrays, warn_of_no_trusted_labels

_LAYOUT = "a folder with one subfolder of images per class"


@dataclass(frozen=True)
class ImageFolder(Source):
    """Images in folders noisy/, test/ and optionally clean/ and validation/, streamed.

    Expected under ``root``::

        noisy/<class>/<file>         training images with untrusted labels
        clean/<class>/<file>         optional: the clean set
        validation/<class>/<file>    optional: trusted labels for the choice of the best epoch; requires clean/
        test/<class>/<file>          test images

    The classes are the sorted names of all class folders; not every part needs every class. Without ``clean/``, the
    clean set is drawn from the labels of ``noisy/``, with a warning, and noise can be injected into the rest.

    Attributes:
        root: folder of the data set.
        size: side of the square to which images are scaled and cropped, in pixels.
        verified: whether the labels of ``noisy/`` are known to be correct. If true, noise can be injected into them and
            a clean set drawn from them without a warning.
    """

    root: str | Path
    size: int = 224
    verified: bool = False

    def load(self) -> Arrays:
        """List the image files, without reading any image.

        Raises:
            UserError: ``noisy/`` or ``test/`` is missing or contains no image.
        """
        root = Path(self.root)
        for part in ("noisy", "test"):
            check_there(root / part, _LAYOUT)
        parts = [part for part in ("noisy", "clean", "validation", "test") if (root / part).is_dir()]
        classes = sorted({folder.name for part in parts for folder in _folders(root / part)})
        listed = {part: _listed(root, part, classes) for part in parts}
        if "clean" not in parts and not self.verified:
            warn_of_no_trusted_labels(f"{root}", "put trusted images into clean/")
        return streamed_arrays(root, classes, self.size, **listed, verified=self.verified)


def _folders(part: Path) -> list[Path]:
    return [folder for folder in part.iterdir() if folder.is_dir() and not folder.name.startswith(".")]


def _listed(root: Path, part: str, classes: list[str]) -> Listed:
    listed = Listed()
    for label, name in enumerate(classes):
        files = sorted((root / part / name).glob("*"))
        for file in files:
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."):
                listed.add(f"{part}/{name}/{file.name}", label)
    return listed
