"""Small copies of public data sets in their published layouts."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from vri_pyro.data import Animal10N, Clothing1M, Food101N, Source


def image(path: Path, grey: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 9), (grey, grey, grey)).save(path)


def lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def food101n(root: Path) -> Source:
    """Two dishes with six images each; the first three images of a dish are verified, and one of them is wrong."""
    meta = root / "Food-101N_release" / "meta"
    keys = [f"{dish}/{number}.jpg" for dish in ("apple_pie", "waffles") for number in range(6)]
    for number, key in enumerate(keys):
        image(root / "Food-101N_release" / "images" / key, number)
    lines(meta / "classes.txt", "class_name", "apple_pie", "waffles")
    lines(meta / "imagelist.tsv", "class_name/key", *keys)
    header = "class_name/key\tverification_label"
    lines(meta / "verified_train.tsv", header, f"{keys[0]}\t1", f"{keys[6]}\t1")
    lines(meta / "verified_val.tsv", header, f"{keys[1]}\t1", f"{keys[2]}\t0", f"{keys[7]}\t1", f"{keys[8]}\t0")
    lines(root / "food-101" / "meta" / "test.txt", "apple_pie/77", "waffles/78")
    for key in ("apple_pie/77", "waffles/78"):
        image(root / "food-101" / "images" / f"{key}.jpg")
    return Food101N(root, size=8)


def clothing1m(root: Path) -> Source:
    """Twenty noisy images and three verified sets of fourteen; the last noisy image is also in the test set."""
    keys = {part: [f"images/{part}/{number}.jpg" for number in range(14)] for part in ("train", "val", "test")}
    noisy = [*(f"images/0/{number}.jpg" for number in range(19)), keys["test"][0]]
    for number, key in enumerate([*noisy, *(key for part in keys.values() for key in part)]):
        image(root / key, number)
    lines(root / "category_names_eng.txt", *(f"kind {number}" for number in range(14)))
    lines(root / "noisy_train_key_list.txt", *noisy)
    lines(root / "noisy_label_kv.txt", *(f"{key} {number % 14}" for number, key in enumerate(noisy)))
    for part, listed in keys.items():
        lines(root / f"clean_{part}_key_list.txt", *listed)
    verified = [f"{key} {number}" for part in keys.values() for number, key in enumerate(part)]
    lines(root / "clean_label_kv.txt", *verified)
    return Clothing1M(root, size=8)


def animal10n(root: Path) -> Source:
    """Three training images and one test image per animal; the first training image of each is trusted."""
    for label in range(10):
        for number in range(3):
            image(root / "training" / f"{label}_{number:06d}.jpg", label)
        image(root / "testing" / f"{label}_000009.jpg")
    lines(root / "trusted.txt", *(f"{label}_000000.jpg" for label in range(10)))
    return Animal10N(root, size=8, clean_list=root / "trusted.txt")
