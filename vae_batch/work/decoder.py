"""Processes that decode whole units into files: what an image does to one of them, it does to no other.

    python -m vae_batch.work.decoder FD...

A process that has everything imported forks a keeper for each socket, and a keeper a fresh process for each order, at
the cost of some milliseconds. Through the socket come orders, pickled; that process tells the number of images decoded
so far, and the keeper, once, its `End`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from multiprocessing.connection import Connection

from vae_batch.errors import VaeBatchError
from vae_batch.work.decoding import End, Order, decode


def main() -> None:
    """Have a keeper at each socket until that is closed."""
    import torch  # not in each fork

    torch.set_num_threads(1)
    connections = [Connection(int(number)) for number in sys.argv[1:]]
    for connection in connections:
        if os.fork() == 0:
            for other in connections:
                if other is not connection:
                    other.close()
            _keep(connection)
    for connection in connections:
        connection.close()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _keep(connection: Connection) -> None:
    """Have each order that comes obeyed by a fork of its own, and say how that ended; does not return."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            order: Order = connection.recv()
            child = os.fork()
            if child == 0:
                _obey(order, connection)
            connection.send(End(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    os._exit(0)


def _obey(order: Order, connection: Connection) -> None:
    """Leave behind what was decoded, or why it could not be; does not return."""
    try:
        order.leave(decode(order, connection.send))
        os._exit(0)
    except (VaeBatchError, OSError) as error:
        order.leave(error)
        os._exit(0)
    except Exception as error:  # of whatever class: this one can be pickled
        order.leave(RuntimeError(f"{type(error).__name__}: {error}"))
        os._exit(0)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
