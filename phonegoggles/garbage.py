"""How often Python's garbage collector comes by in a process that answers requests, and what it looks at."""

import gc
from importlib import import_module

from django.conf import settings

# The collector comes by after so many new objects that are still there (Python's own measure is 700). A request
# in the REST framework's hands has some hundred of them at a time, and leaves seventy in circles.
NEW_OBJECTS = 5_000


def spare_what_stays() -> None:
    """Have the collector leave alone what is loaded by now, all views with it, and come by less often.

    Requests that wait for a commit outlive its first looks, each of which is dearer than the one before: the third
    goes through everything that was ever imported, and stops all threads for 70 ms (docs/performance.md).
    """
    import_module(settings.ROOT_URLCONF)  # else the first request loads the views
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
