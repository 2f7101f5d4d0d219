"""A folder of models, made before it is needed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from face_app.engine import load_engine
from face_app.prepare import main


def prepared(folder: Path) -> str:
    command = [sys.executable, "-m", "face_app.prepare", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_models_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    told = prepared(folder)
    models = sorted(folder.iterdir())
    assert [model.name.rsplit("-", 2)[0] for model in models] == ["dlib-resnet29-v1", "yunet-2023mar"]
    lines = [f"{model} ({model.stat().st_size / 2**20:.1f} MiB)\n" for model in models]
    assert told == "".join(f"made {line}" for line in lines)
    made_at = [model.stat().st_mtime_ns for model in models]
    assert prepared(folder) == "".join(f"found {line}" for line in lines)
    assert [model.stat().st_mtime_ns for model in models] == made_at


def test_a_folder_that_nobody_may_write_to_will_do(
    model_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_engine("fast", "balanced", model_cache)
    folder = Path(shutil.copytree(model_cache, tmp_path / "models"))
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    if os.geteuid() == 0:  # who may write anywhere has to be kept from it
        monkeypatch.setattr(Path, "mkdir", denied)
        monkeypatch.setattr("onnx.save", denied)
    monkeypatch.setattr(sys, "argv", ["prepare", str(folder)])
    main()
    assert capsys.readouterr().out.startswith("found ")


def denied(*_: object, **__: object) -> None:
    raise PermissionError
