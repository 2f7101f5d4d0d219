"""What was measured on: figures mean little without it."""

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.tables import Row
from local.stack import ROOT

_CPUINFO = Path("/proc/cpuinfo")
_FLAGS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "asimddp")
_PACKAGES = (
    "face-recognition",
    "dlib-bin",
    "onnxruntime",
    "opencv-python-headless",
    "simplejpeg",
    "pillow",
    "numpy",
    "lancedb",
)


def describe() -> list[Row]:
    """One row for each thing that speed depends on; the load is what others made of the machine at this moment."""
    facts = {
        "processor": _processor(),
        "instructions": " ".join(flag for flag in _FLAGS if flag in _field("flags", "Features").split()),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        "commit": _commit(),
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "load before": f"{os.getloadavg()[0]:.1f} of {os.cpu_count()} cores",
    }
    return [{"machine": name, "": fact} for name, fact in facts.items()]


def _processor() -> str:
    name = _field("model name") or platform.processor() or platform.machine()
    numbers = [f"{field} {value}" for field in ("cpu family", "model") if (value := _field(field))]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _field(*names: str) -> str:
    """What Linux says of the first core; empty where it says nothing."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    found = {name.strip(): value.strip() for name, value in fields.items()}
    return next((found[name] for name in names if name in found), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
