#!/usr/bin/python3
"""Writes an instance's settings for the worker's unit, from what EC2's metadata service (IMDSv2) says of the instance.

An image is the same for every deployment: what differs is the launch template's user data, plain lines NAME=value. They
are written as an environment file, with the instance's id, its name as a worker and its number of cores beside them.
Only the standard library is used: it runs before anything of a release does.
"""

import argparse
import http.client
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

METADATA_URL = os.environ.get("FACE_METADATA_URL", "http://169.254.169.254")
_LEASE_SECONDS = "300"
_TIMEOUT = 3.0
_RETRY_SECONDS = 1.0
_LINE = re.compile(r"(?P<name>(?:FACE|AWS)_[A-Z0-9_]+)=(?P<value>.*)")


class SettingsError(Exception):
    """What cannot be mended by waiting; the message says what to change."""


def main() -> int:
    """Write the file; 1 when the instance or its user data is not fit for a worker."""
    parser = argparse.ArgumentParser(description="writes the worker's settings from EC2's metadata")
    parser.add_argument("output", type=Path, help="environment file to write")
    parser.add_argument("--cpu-features", nargs="*", default=(), help="what the processor must have")
    parser.add_argument("--cpuinfo", type=Path, default=Path("/proc/cpuinfo"), help="the kernel's list of processors")
    arguments = parser.parse_args()
    try:
        require_cpu_features(arguments.cpu_features, arguments.cpuinfo.read_text())
        settings = host_settings(Metadata(METADATA_URL))
        write(arguments.output, settings)
    except SettingsError as error:
        print(f"host-settings: {error}", file=sys.stderr)
        return 1
    print(f"host-settings: wrote {', '.join(sorted(settings))} to {arguments.output}")
    return 0


def require_cpu_features(features: Iterable[str], cpuinfo: str) -> None:
    """SettingsError when the processor lacks instructions that the libraries are built for: they die of SIGILL."""
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    missing = set(features) - set(flags[1].split() if flags else ())
    if missing:
        raise SettingsError(
            f"this processor has no {', '.join(sorted(missing))}, which the recognition libraries need; "
            "choose an instance type with Intel Haswell, AMD Zen or newer"
        )


def host_settings(metadata: "Metadata") -> dict[str, str]:
    """The settings of this instance; what the user data sets wins."""
    instance = metadata.get("meta-data/instance-id")
    if instance is None:
        raise SettingsError("the metadata service knows no instance id")
    settings = {
        "FACE_INSTANCE_ID": instance,
        "FACE_WORKER_NAME": instance,
        "FACE_SLOTS": str(len(os.sched_getaffinity(0))),
    }
    region = metadata.get("meta-data/placement/region")
    if region is not None:
        settings["FACE_REGION"] = region
    return settings | parse(metadata.get("user-data") or "")


def parse(user_data: str) -> dict[str, str]:
    """The NAME=value lines; SettingsError names the first line that is none."""
    settings = {}
    for number, line in enumerate(user_data.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            # The line itself is not shown: it may be a secret.
            raise SettingsError(f"user data, line {number}: not FACE_NAME=value or AWS_NAME=value")
        settings[match["name"]] = match["value"]
    return settings


def write(output: Path, settings: Mapping[str, str]) -> None:
    """Write the environment file as a whole, readable by its owner alone: values may be secrets."""
    lines = [f'{name}="{_escaped(value)}"\n' for name, value in sorted(settings.items())]
    partial = output.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text("".join(lines))
    partial.replace(output)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


class Metadata:
    """EC2's metadata service, waited for: a host may boot before its network does."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._token = ""

    def get(self, path: str) -> str | None:
        """What is under this path of `latest`; None when there is nothing. Waits until the service answers."""
        while True:
            try:
                return self._try(path)
            except UnicodeDecodeError:
                raise SettingsError(f"{path} is not text") from None
            except (OSError, http.client.HTTPException) as error:
                print(f"host-settings: no answer from {self._url} ({error}); trying again", file=sys.stderr, flush=True)
                time.sleep(_RETRY_SECONDS)

    def _try(self, path: str) -> str | None:
        if not self._token:
            ttl = {"X-aws-ec2-metadata-token-ttl-seconds": _LEASE_SECONDS}
            self._token = self._request("PUT", "api/token", ttl)
        try:
            return self._request("GET", path, {"X-aws-ec2-metadata-token": self._token})
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            self._token = ""  # 401: it has expired
            raise

    def _request(self, method: str, path: str, headers: dict[str, str]) -> str:
        request = urllib.request.Request(f"{self._url}/latest/{path}", method=method, headers=headers)  # noqa: S310
        with self._opener.open(request, timeout=_TIMEOUT) as response:
            body: bytes = response.read()
        return body.decode()


if __name__ == "__main__":
    sys.exit(main())
