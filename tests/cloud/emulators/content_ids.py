"""Patch that makes batch requests to Cloud Storage work with the emulator, when imported.

The emulator drops each part of a batch request that has no Content-ID, which Google's
client does not send and Google's service does not need. Worker processes import this by
`--beam_plugins=emulators.content_ids`.
"""

import itertools
import os

from google.cloud.storage.batch import MIMEApplicationHTTP

_numbers = itertools.count(1)
_init = MIMEApplicationHTTP.__init__


def _init_with_content_id(self, *args, **kwargs):
    _init(self, *args, **kwargs)
    if "STORAGE_EMULATOR_HOST" in os.environ:
        self["Content-ID"] = f"<beam+{next(_numbers)}>"


if _init.__name__ != _init_with_content_id.__name__:
    MIMEApplicationHTTP.__init__ = _init_with_content_id
