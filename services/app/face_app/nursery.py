"""Where inference children come from: a process that loads the models once and forks a child whenever asked.

It runs on its own (`python -m face_app.nursery`), with a single thread, so that forking is safe at any time while the
worker's parent process has threads, sockets and locks. Children share the models' memory. Nothing but sockets connects
the processes: whoever loses its peer ends, so a killed worker leaves nothing behind.

Control socket, nursery's side: sends one JSON message when ready ({"model", "profile"}); then for each descriptor
received forks a child that serves it, and sends {"pid"}.
"""

import gc
import json
import os
import signal
import socket
import sys
from multiprocessing.connection import Connection

from face_app import child
from face_app.engine import load_engine
from face_app.inference import InferenceSettings


def run(control: socket.socket, settings: InferenceSettings) -> None:
    """Serve fork requests until the worker's end of the control socket closes."""
    # A service manager signals every process of a unit, a terminal every process of a job: only the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    engine = load_engine(settings.engine, settings.profile, settings.cache, settings.max_pixels)
    gc.freeze()  # a collection in a child must not write to, and so copy, the pages that all share
    answers = Connection(os.dup(control.fileno()), readable=False)
    answers.send_bytes(json.dumps({"model": engine.model, "profile": engine.profile}).encode())
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not request:
            return
        pid = os.fork()
        if pid == 0:
            try:
                control.close()
                answers.close()
                photos = socket.socket(fileno=descriptors[0])
                child.serve(photos, engine, settings.memory_bytes, settings.batch_photos)
            finally:
                os._exit(0)  # not sys.exit: nothing of the nursery's may run twice
        os.close(descriptors[0])
        answers.send_bytes(json.dumps({"pid": pid}).encode())


if __name__ == "__main__":
    run(socket.socket(fileno=int(sys.argv[1])), InferenceSettings.from_json(sys.argv[2]))
