"""The parts of the service on one machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.localstack import free_port, is_free
from local.mirror import GALLERY, Mirror
from local.processes import Part, StartError
from local.resources import make_resources, s3_client, sqs_client
from tests.unit.test_worker import eventually

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def part(tmp_path: Path, script: str) -> Part:
    return Part("part", [sys.executable, "-c", script], dict(os.environ), tmp_path / "part.log")


def test_a_part_is_started_watched_and_stopped(tmp_path: Path) -> None:
    running = part(tmp_path, "import time; print('ready', flush=True); time.sleep(60)")
    running.start()
    running.wait_until(lambda: running.has_logged("ready"), 10)
    assert running.ended() is None
    running.stop(grace=5)
    assert running.ended() == -signal.SIGTERM


def test_a_part_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    running = part(tmp_path, script)
    running.start()
    running.wait_until(lambda: running.has_logged("ready"), 10)
    running.stop(grace=0.3)
    assert running.ended() == -signal.SIGKILL


def test_a_part_that_does_not_come_up_shows_its_log(tmp_path: Path) -> None:
    running = part(tmp_path, "raise SystemExit('the settings are wrong')")
    running.start()
    with pytest.raises(StartError, match="the settings are wrong"):
        running.wait_until(lambda: False, 10)


def test_a_part_that_is_never_ready_is_told_apart(tmp_path: Path) -> None:
    running = part(tmp_path, "import time; time.sleep(60)")
    running.start()
    with pytest.raises(StartError, match="not ready after"):
        running.wait_until(lambda: False, 0.2)
    running.stop(grace=5)


def test_a_part_does_not_outlive_its_parent(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from local.processes import Part;"
        "part = Part('x', [sys.executable, '-c', 'import time; time.sleep(60)'], dict(os.environ), Path(sys.argv[1]));"
        "part.start(); print(part.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "x.log")]
    pid = int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())


def test_ports() -> None:
    port = free_port()
    assert is_free(port)
    assert free_port(port) == port


def make_buckets(localstack: str, *names: str) -> "S3Client":
    s3 = s3_client(localstack)
    for name in names:
        s3.create_bucket(Bucket=name)
    return s3


def keys(s3: "S3Client", bucket: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_the_mirror_brings_objects_back_and_forgets_what_was_removed(localstack: str, tmp_path: Path) -> None:
    s3 = make_buckets(localstack, "mirror-before", "mirror-after")
    s3.put_object(Bucket="mirror-before", Key="fleet/leader.json", Body=b"who led")
    objects = {"gallery/default.lance/_versions/1.manifest": b"\x00", "images/x": b"photo", "images/../../etc": b"odd"}
    for key, body in objects.items():
        s3.put_object(Bucket="mirror-before", Key=key, Body=body)
    before = Mirror(s3, "mirror-before", tmp_path / "bucket")
    assert before.save() == 3
    s3.delete_object(Bucket="mirror-before", Key="images/x")
    assert before.save() == 2
    assert Mirror(s3, "mirror-after", tmp_path / "bucket").restore() == 2
    assert keys(s3, "mirror-after") == ["gallery/default.lance/_versions/1.manifest", "images/../../etc"]
    assert s3.get_object(Bucket="mirror-after", Key="images/../../etc")["Body"].read() == b"odd"
    assert {file.parent.name for file in (tmp_path / "bucket").rglob("*.object")} == {"objects"}


def test_an_empty_mirror_restores_nothing(localstack: str, tmp_path: Path) -> None:
    s3 = make_buckets(localstack, "mirror-empty")
    assert Mirror(s3, "mirror-empty", tmp_path).restore() == 0


def test_what_is_too_old_does_not_come_back(localstack: str, tmp_path: Path) -> None:
    s3 = make_buckets(localstack, "mirror-old", "mirror-new")
    for key in ("unknown/old", "unknown/new", "photos/old"):
        s3.put_object(Bucket="mirror-old", Key=key, Body=b"photo")
    Mirror(s3, "mirror-old", tmp_path).save()
    for file in tmp_path.rglob("*old.object"):
        os.utime(file, (time.time() - 31 * 24 * 3600,) * 2)
    assert Mirror(s3, "mirror-new", tmp_path).restore() == 2
    assert keys(s3, "mirror-new") == ["photos/old", "unknown/new"]


def test_who_was_erased_does_not_come_back_whenever_the_run_dies(localstack: str, tmp_path: Path) -> None:
    s3 = make_buckets(localstack, "mirror-erasing", "mirror-crashed", "mirror-settled")
    s3.put_object(Bucket="mirror-erasing", Key="photos/x", Body=b"photo")
    mirror = Mirror(s3, "mirror-erasing", tmp_path)
    mirror.save()
    under_way = {"person": "Ada", "looks": 1, "step": 2, "holder": "one"}
    s3.put_object(Bucket="mirror-erasing", Key="erasures/open/1.json", Body=json.dumps(under_way).encode())
    assert not mirror.note_erasures()
    s3.delete_object(Bucket="mirror-erasing", Key="photos/x")
    s3.delete_object(Bucket="mirror-erasing", Key="erasures/open/1.json")
    # A run that dies here leaves the photo in the folder, and with it the note that it is to be erased.
    Mirror(s3, "mirror-crashed", tmp_path).restore()
    assert keys(s3, "mirror-crashed") == ["erasures/open/1.json", "photos/x"]
    again = s3.get_object(Bucket="mirror-crashed", Key="erasures/open/1.json")["Body"].read()
    assert json.loads(again) == {"person": "Ada", "looks": 0, "step": 0, "holder": ""}
    assert mirror.note_erasures()
    mirror.save(GALLERY)
    assert mirror.note_erasures(), "the photo may still be in the folder"
    mirror.save()
    assert not mirror.note_erasures()
    Mirror(s3, "mirror-settled", tmp_path).restore()
    assert keys(s3, "mirror-settled") == []
    assert not list(tmp_path.rglob("*.object"))


def test_an_erasure_that_was_over_at_once_is_seen_by_its_receipt(localstack: str, tmp_path: Path) -> None:
    s3 = make_buckets(localstack, "mirror-receipt")
    mirror = Mirror(s3, "mirror-receipt", tmp_path)
    s3.put_object(Bucket="mirror-receipt", Key="erasures/1.json", Body=b"{}")
    assert mirror.note_erasures()
    mirror.save()
    assert not mirror.note_erasures()


def test_resources_are_made_once_and_dead_letters_follow_the_tries(localstack: str) -> None:
    first = make_resources(localstack, prefix="made")
    assert make_resources(localstack, prefix="made") == first
    sqs = sqs_client(localstack)
    sqs.send_message(QueueUrl=first.request_queue_url, MessageBody="poison")
    for _ in range(4):
        (message,) = sqs.receive_message(QueueUrl=first.request_queue_url, WaitTimeSeconds=2)["Messages"]
        sqs.change_message_visibility(
            QueueUrl=first.request_queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
    assert "Messages" not in sqs.receive_message(QueueUrl=first.request_queue_url)
    (dead,) = sqs.receive_message(QueueUrl=first.dead_letter_queue_url, WaitTimeSeconds=5)["Messages"]
    assert dead["Body"] == "poison"


def test_what_is_not_restored_yet_is_never_removed_from_the_folder(localstack: str, tmp_path: Path) -> None:
    s3 = make_buckets(localstack, "mirror-full", "mirror-fresh")
    s3.put_object(Bucket="mirror-full", Key="images/x", Body=b"photo")
    Mirror(s3, "mirror-full", tmp_path).save()
    fresh = Mirror(s3, "mirror-fresh", tmp_path)
    fresh.save()
    assert fresh.restore() == 1
    s3.delete_object(Bucket="mirror-fresh", Key="images/x")
    assert fresh.save() == 0
    assert Mirror(s3, "mirror-fresh", tmp_path).restore() == 0
