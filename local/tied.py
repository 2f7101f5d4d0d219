"""Becomes another program that the kernel signals when its parent dies: tied.py PARENT SIGNAL PROGRAM [ARGUMENT ...].

A program of its own rather than a `preexec_fn`, which may deadlock in a parent with threads.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2); it survives execve

if __name__ == "__main__":
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(sys.argv[2]))
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent died before this process was tied to it")
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606 - the parent's own command
