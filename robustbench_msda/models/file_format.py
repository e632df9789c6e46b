"""What kind of file this is, by its first bytes: people download web pages and pointers in place of weights."""

from __future__ import annotations

import zipfile
from pathlib import Path

SAFETENSORS = "safetensors"
ZIP = "torch zip, read with weights only"
OLD = "torch pickle of before 1.6, read with weights only"
PICKLE = "pickle not written by torch.save"
UNKNOWN = "no format of weights"

# The number torch writes before everything else in its old format, as a pickle.
OLD_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
MAGIC = {
    OLD_MAGIC: OLD,
    b"\x80": PICKLE,
    b"\x89HDF": "HDF5, as Keras writes",
    b"\x1f\x8b": "gzip archive",
    b"version https://git-lfs": "Git LFS pointer in place of the file",
    b"<": "web page",
}


def file_format(path: Path) -> str:
    """Return what the first bytes of ``path`` say it is; nothing in it is run.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "empty file"
    if head.startswith(b"PK"):
        return _zip_format(path)
    # A safetensors file is the length of its header, 8 bytes, and the header, a JSON object.
    if head[8:9] == b"{":
        return SAFETENSORS
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), UNKNOWN)


def suffix_advice(path: Path, kind: str) -> str:
    """Return what to do about a name that belies the format ``kind``; empty where it does not."""
    if kind == SAFETENSORS and path.suffix != ".safetensors":
        return "it looks like a safetensors file: rename it to .safetensors"
    if kind in (ZIP, OLD) and path.suffix == ".safetensors":
        return "it looks like a file of torch.save: rename it to .pth"
    return ""


def _zip_format(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except Exception:  # A hostile archive chooses its own exception.
        return "zip archive, cut short or damaged"
    if "constants.pkl" in names:
        return "TorchScript archive, a program"
    return ZIP if "data.pkl" in names else "zip archive not written by torch.save"
