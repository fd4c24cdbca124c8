"""Ray: the replica pool and the jobs that run on it. The only package that imports ray."""

import os

# Ray prints this even with its log off, and reads the pattern when it is imported. Deaths of replicas are told by
# the pool, in a line of its own.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed while executing")

# At SIGTERM Ray's handler in C++ prints a stack, and aborts a driver that takes 3 s to shut down. Also read at import.
os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")
