"""Renaming and deletion of files."""

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
from beam_batch_predict.messages import counted

__all__ = ["delete", "rename"]


def rename(sources: Sequence[str], destinations: Sequence[str], replace: bool = True) -> None:
    """Rename files. Local files move in one step each; object stores copy, then delete.

    Args:
        sources: the files.
        destinations: a new name for each.
        replace: whether an existing destination is replaced. If not, a file with the same
            content may have that name already, and the source may be gone: another attempt
            has renamed it.

    Raises:
        OSError: some cannot be renamed; others may have been.
        FileExistsError: a destination that must not be replaced has other content.
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
        with as_os_error(counted(len(pairs), "file")):
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
        # Without links, a file that appears now would be replaced.
        if not _is_settled(source, destination):
            os.replace(source, destination)
            return
    with suppress(FileNotFoundError):
        os.unlink(source)


def _is_settled(source: str, destination: str) -> bool:
    """Return whether the destination exists and has the content of the source.

    Raises:
        FileExistsError: it has other content.
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
    raise FileExistsError(errno.EEXIST, "another file has this name", destination)


def delete(uris: Iterable[str]) -> None:
    """Delete files and whole directories; what does not exist counts as deleted."""
    objects: list[str] = []
    others: list[str] = []
    for uri in uris:
        if is_local(uri):
            _delete_local(uri)
        else:
            (objects if is_cloud_storage(uri) else others).append(uri)
    gcs.delete(objects)
    with as_os_error(counted(len(others), "file")):
        present = [uri for uri in others if FileSystems.exists(uri)]
        if present:
            FileSystems.delete(present)


def _delete_local(path: str) -> None:
    """Delete the path of exactly this name: Beam would treat it as a pattern."""
    with suppress(FileNotFoundError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
