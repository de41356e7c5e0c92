"""Python imports this at its start, in the processes that these tests start and in theirs."""

import injection

injection.begin_from_environment()
