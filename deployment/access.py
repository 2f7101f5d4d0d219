"""The first key of a deployment, which its hosts know by a hash alone, and the secrets among its settings."""

import hashlib
import re
import secrets
from pathlib import Path

from deployment.kept import Kept
from deployment.options import Options
from deployment.steps import DeployError

_KEY, _SECRETS = "admin.key", "secrets.env"
_START = "face_admin_"
_SECRET_BYTES = 32
_OTHERS = 0o077
_LINE = re.compile(r"(?P<name>FACE_[A-Z0-9_]+)=(?P<value>.*)")


def admin_key(options: Options) -> Path:
    """The file of the key; made when the deployment has none yet."""
    kept = Kept(options)
    kept.keep_first(_KEY, f"{_START}{secrets.token_urlsafe(_SECRET_BYTES)}\n")
    return kept.file(_KEY)


def key_text(file: Path) -> str:
    """The key, as a client sends it."""
    return file.read_text().strip()


def key_hash(file: Path) -> str:
    """What the web service knows the key by: SHA-256 of its secret, in hex."""
    return hashlib.sha256(key_text(file).removeprefix(_START).encode()).hexdigest()


def secret_settings(options: Options) -> dict[str, str]:
    """The web service's settings that are secrets: those of the file that was named, or of the one that was before.

    DeployError when others than its owner may read the file, or it has a line that is none of a setting.
    """
    kept = Kept(options)
    if options.secrets is None:
        return _settings(kept.find(_SECRETS) or "")
    if options.secrets.stat().st_mode & _OTHERS:
        raise DeployError(f"others may read {options.secrets}: chmod 600 {options.secrets}")
    text = options.secrets.read_text()
    found = _settings(text)
    kept.keep(_SECRETS, text)
    return found


def forget_secrets(options: Options) -> None:
    """Forget all of them: the deployment is no more."""
    for name in (_KEY, _SECRETS):
        Kept(options).forget(name)


def _settings(text: str) -> dict[str, str]:
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DeployError(f"SECRETS, line {number}: not FACE_NAME=value")  # the line itself is not shown
        found[match["name"]] = match["value"]
    return found
