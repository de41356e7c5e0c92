"""Start of faults: Python imports this when it starts, in processes of tests and their children."""

import injection

injection.begin_from_environment()
