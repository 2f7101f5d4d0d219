"""Commands of the system."""

import subprocess

from local.processes import StartError


def run(*command: str) -> str:
    """What the command prints; StartError with what it complains of when it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        raise StartError(f"{' '.join(command)}: {error.stderr.strip() or error.returncode}") from error
    except OSError as error:
        raise StartError(f"{command[0]}: {error.strerror}") from error
    return done.stdout


def succeeds(*command: str) -> bool:
    """Whether the command ends well; what it prints is dropped."""
    return subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode == 0
