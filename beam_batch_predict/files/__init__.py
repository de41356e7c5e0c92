"""Files on any file system: match, read, write whole, rename, claim.

A path without a scheme is local; Beam's FileSystems access `gs://`, `s3://`, `hdfs://` and others.
Every failure is an `OSError` with the path in it. Only a transient failure of storage that lasts
longer than all retries is a `StorageUnavailable`.
"""

from beam_batch_predict.files.encryption import encrypt_below
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.files.listing import File
from beam_batch_predict.files.matching import exists, match, match_in, would_match
from beam_batch_predict.files.moving import delete, rename
from beam_batch_predict.files.paths import is_local, join
from beam_batch_predict.files.reach import check_reach
from beam_batch_predict.files.reading import digest, open_file, read_file
from beam_batch_predict.files.writing import (
    NewFile,
    claim_directory,
    create_exclusively,
    remove_asides,
    write_file,
)

__all__ = [
    "File",
    "NewFile",
    "StorageUnavailable",
    "check_reach",
    "claim_directory",
    "create_exclusively",
    "delete",
    "digest",
    "encrypt_below",
    "exists",
    "is_local",
    "join",
    "match",
    "match_in",
    "open_file",
    "read_file",
    "remove_asides",
    "rename",
    "would_match",
    "write_file",
]
