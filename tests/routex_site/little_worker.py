"""A worker of a few lines for the supervisor's tests: waits, and notes on SIGTERM which ports still answer.

Usage: little_worker.py LOG NAME [PORT-VARIABLE …]
"""

import os
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit


def answers(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def say_goodbye(number: int, frame: object) -> None:
    log, name, *variables = sys.argv[1:]
    alive = [variable for variable in variables if answers(os.environ[variable])]
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(" ".join([name, *alive]) + "\n")
    sys.exit(0)


signal.signal(signal.SIGTERM, say_goodbye)
sys.stdout.write("up\n")
sys.stdout.flush()
while True:
    signal.pause()
