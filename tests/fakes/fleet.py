"""EC2 in memory. The contract tests hold it to what the adapter does over LocalStack."""

from collections.abc import Sequence
from dataclasses import replace

from face_web.scaler.fleet import FleetError, Instance


class MemoryFleet:
    """A fleet whose instances change at once."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.all: dict[str, Instance] = {}
        self.version = 1
        """The launch template's default version."""
        self.versions: dict[str, int] = {}
        """By instance."""
        self.tokens: dict[str, list[str]] = {}
        self.calls: list[str] = []
        self.fault: FleetError | None = None
        """Raised by every call while it is set."""
        self.unlaunchable: FleetError | None = None
        """Raised by launches while it is set."""
        self.unstartable: FleetError | None = None

    def instances(self) -> list[Instance]:
        self._break()
        return [
            replace(seen, outdated=self.versions.get(one, self.version) != self.version)
            for one, seen in self.all.items()
        ]

    def launch(self, count: int, token: str) -> list[str]:
        self._break(self.unlaunchable)
        self.calls.append(f"launch {count}")
        if token not in self.tokens:
            self.tokens[token] = [f"i-{len(self.versions) + number}" for number in range(count)]
            for one in self.tokens[token]:
                self.versions[one] = self.version
                self.all[one] = Instance(one, "running", self.now)
        return self.tokens[token]

    def start(self, ids: Sequence[str]) -> list[str]:
        self._break(self.unstartable)
        self.calls.append(f"start {len(ids)}")
        for one in ids:
            self.all[one] = Instance(one, "running", self.now, warm=True)
        return list(ids)

    def stop(self, ids: Sequence[str]) -> list[str]:
        self._break()
        self.calls.append(f"stop {len(ids)}")
        for one in ids:
            self.all[one] = Instance(one, "stopped", self.all[one].since, self.all[one].warm)
        return list(ids)

    def terminate(self, ids: Sequence[str]) -> list[str]:
        self._break()
        self.calls.append(f"terminate {len(ids)}")
        for one in ids:
            del self.all[one]
        return list(ids)

    def _break(self, fault: FleetError | None = None) -> None:
        if error := self.fault or fault:
            raise error
