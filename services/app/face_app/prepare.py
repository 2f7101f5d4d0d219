"""`python -m face_app.prepare FOLDER`: convert the default engine's models, so that an image can be baked with them.

A worker whose FACE_CACHE_DIR is this folder writes nothing to it.
"""

import argparse
from pathlib import Path

from face_app.engine import load_engine
from face_app.settings import WorkerSettings


def main() -> None:
    """Make what is missing, see that the engine works with it, and print the folder's files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder for converted models; made if need be")
    folder: Path = parser.parse_args().folder
    before = set(folder.glob("*"))
    load_engine(_default("engine"), _default("profile"), folder)
    for file in sorted(folder.glob("*")):
        state = "found" if file in before else "made"
        print(f"{state} {file} ({file.stat().st_size / 2**20:.1f} MiB)")


def _default(setting: str) -> str:
    return str(WorkerSettings.model_fields[setting].default)


if __name__ == "__main__":
    main()
