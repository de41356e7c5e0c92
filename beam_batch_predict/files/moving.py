"""Files renamed and deleted."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress

from apache_beam.io.filesystems import FileSystems

from beam_batch_predict.files import gcs
from beam_batch_predict.files.errors import as_os_error
from beam_batch_predict.files.gcs import is_cloud_storage
from beam_batch_predict.files.matching import exists
from beam_batch_predict.files.paths import is_local

__all__ = ["delete", "rename"]


def rename(sources: Sequence[str], destinations: Sequence[str], replace: bool = True) -> None:
    """Rename files. Local files move in one step each; object stores copy, then delete.

    Args:
        sources: the files.
        destinations: a new name for each.
        replace: whether what stands at a destination is replaced. If not, a file with the
            same content may stand there, and then also the source may be gone: another
            attempt has done the same.

    Raises:
        OSError: some cannot be renamed; others may have been.
        FileExistsError: another file stands at a destination that must not be replaced.
    """
    pairs = list(zip(sources, destinations, strict=True))
    if not pairs:
        return
    if all(is_cloud_storage(uri) for pair in pairs for uri in pair):
        gcs.rename(sources, destinations, replace)
    elif all(is_local(uri) for pair in pairs for uri in pair):
        for source, destination in pairs:
            if replace:
                os.replace(source, destination)
            else:
                _rename_local(source, destination)
    else:
        if not replace:
            pairs = [pair for pair in pairs if not _is_settled(*pair)]
        with as_os_error(f"{len(pairs)} files"):
            FileSystems.rename([source for source, _ in pairs], [name for _, name in pairs])


def _rename_local(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except (FileNotFoundError, FileExistsError):
        if not _is_settled(source, destination):
            raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        # A file system without links has no way to leave a file alone that comes now.
        if not _is_settled(source, destination):
            os.replace(source, destination)
            return
    with suppress(FileNotFoundError):
        os.unlink(source)


def _is_settled(source: str, destination: str) -> bool:
    """Whether the destination is there and is, as far as can be seen, the source.

    Raises:
        FileExistsError: it is another file.
    """
    if not exists(destination):
        return False
    if not exists(source):
        return True
    try:
        if is_local(source) and filecmp.cmp(source, destination, shallow=False):
            return True
    except FileNotFoundError:  # another attempt has just moved it
        return exists(destination)
    raise FileExistsError(errno.EEXIST, "another file stands there", destination)


def delete(uris: Iterable[str]) -> None:
    """Delete files and whole directories; what is not there already counts as deleted."""
    objects: list[str] = []
    others: list[str] = []
    for uri in uris:
        if is_local(uri):
            _delete_local(uri)
        else:
            (objects if is_cloud_storage(uri) else others).append(uri)
    gcs.delete(objects)
    with as_os_error(f"{len(others)} files"):
        present = [uri for uri in others if FileSystems.exists(uri)]
        if present:
            FileSystems.delete(present)


def _delete_local(path: str) -> None:
    """Beam would delete what the path stands for as a pattern."""
    with suppress(FileNotFoundError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
