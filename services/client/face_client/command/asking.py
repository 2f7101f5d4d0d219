"""Many photos, each asked about by one of several clients at once, answered in the order in which they were given."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from face_client.errors import FaceServiceError
from face_common.contract import Result

_AHEAD = 4  # photos per client that may have been answered before their turn
_LOOK = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one photo: a result, or why there is none."""

    photo: Path
    result: Result | None = None
    code: str = ""
    detail: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the photo was answered."""
        return self.result is not None and self.result["state"] == "done"


def ask(photos: Iterable[Path], question: Callable[[Path], Result], clients: int) -> Generator[Answer]:
    """An answer for each photo; only so many photos are on their way at a time.

    Who stops asking, or meets a fault, waits for none of those that are still on their way.
    """
    under_way: deque[Future[Answer]] = deque()
    threads = ThreadPoolExecutor(clients)
    try:
        for photo in photos:
            under_way.append(threads.submit(_answer, photo, question))
            if len(under_way) >= clients * _AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def patiently(
    ask_now: Callable[[Path], Result], look_up: Callable[[str], Result], seconds: float
) -> Callable[[Path], Result]:
    """The question, followed by looks at the answer as long as it is still queued and the seconds are not over."""

    def asked(photo: Path) -> Result:
        deadline = time.monotonic() + seconds
        result = ask_now(photo)
        while is_queued(result) and time.monotonic() < deadline:
            time.sleep(_LOOK)
            result = look_up(result["id"])
        return result

    return asked


def is_queued(result: Result) -> bool:
    """Whether there is no answer yet."""
    return str(result["state"]) == "queued"


def _answer(photo: Path, question: Callable[[Path], Result]) -> Answer:
    try:
        result = question(photo)
    except FaceServiceError as error:
        return Answer(photo, None, error.code, error.detail)
    except OSError as error:
        return Answer(photo, None, "unreadable-file", error.strerror or str(error))
    if result.get("error"):
        found = result["error"]
        assert found is not None
        return Answer(photo, result, found["code"], found["detail"])
    return Answer(photo, result)
