"""Which layers a machine starts from, and what an image is made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.machines.disk import Disk
from local.machines.images import SOURCE_TAG, Images


class FakeEc2:
    """EC2's images."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}

    def describe_images(self, **call: Any) -> dict[str, Any]:
        names = call.get("ImageIds", self.sources)
        if any(name not in self.sources for name in names):
            raise ClientError({"Error": {"Code": "InvalidAMIID.NotFound"}}, "DescribeImages")
        tags = {name: [{"Key": SOURCE_TAG, "Value": self.sources[name]}] for name in names}
        return {"Images": [{"ImageId": name, "Tags": tags[name]} for name in names]}


class FakeMachine:
    """A machine that is down when the test says so."""

    def __init__(self, name: str, folder: Path, lowers: tuple[Path, ...]) -> None:
        self.name = name
        self.disk = Disk(name, folder / name, lowers)
        self.is_down = False
        (self.disk.upper / "etc" / "ssh").mkdir(parents=True)
        (self.disk.upper / "etc" / "machine-id").write_text("its own")
        (self.disk.upper / "etc" / "ssh" / "ssh_host_ed25519_key").write_text("its own")
        (self.disk.upper / "opt").write_text("installed")

    @contextmanager
    def held(self) -> Iterator[bool]:
        yield self.is_down


class Bakery:
    """Images over fakes."""

    def __init__(self, folder: Path) -> None:
        self.ec2 = FakeEc2()
        self.folder = folder
        self.base = folder / "base"
        self.images = Images(self.ec2, self.base, folder / "images", tell=lambda _: None)  # type: ignore[arg-type]
        self.machines: list[FakeMachine] = []

    def machine(self, name: str, image: str = "ami-foreign") -> FakeMachine:
        layers = self.images.layers(image)
        assert layers is not None
        self.machines.append(FakeMachine(name, self.folder, layers))
        return self.machines[-1]

    def step(self, stopped: set[str]) -> None:
        self.images.step(self.machines, stopped)  # type: ignore[arg-type]

    def bake(self, image: str, source: FakeMachine) -> None:
        self.ec2.sources[image] = source.name
        source.is_down = True
        self.step({source.name})


@pytest.fixture
def bakery(tmp_path: Path) -> Bakery:
    return Bakery(tmp_path)


def test_an_image_that_is_not_ours_is_the_base(bakery: Bakery) -> None:
    assert bakery.images.layers("ami-0123456789abcdef0") == (bakery.base,)


def test_an_image_waits_until_its_source_is_stopped_and_down(bakery: Bakery) -> None:
    source = bakery.machine("i-1")
    bakery.ec2.sources["ami-1"] = "i-1"
    assert bakery.images.layers("ami-1") is None
    source.is_down = True
    bakery.step(stopped=set())  # it has crashed, and is about to start again
    assert bakery.images.layers("ami-1") is None
    source.is_down = False
    bakery.step(stopped={"i-1"})  # it still shuts down
    assert bakery.images.layers("ami-1") is None
    assert bakery.images.pending == {"ami-1": "i-1"}
    source.is_down = True
    bakery.step(stopped={"i-1"})
    assert bakery.images.pending == {}
    assert bakery.images.layers("ami-1") == (bakery.folder / "images" / "ami-1", bakery.base)


def test_an_image_has_what_was_installed_and_no_identity(bakery: Bakery) -> None:
    bakery.bake("ami-1", bakery.machine("i-1"))
    layer = bakery.folder / "images" / "ami-1"
    assert (layer / "opt").read_text() == "installed"
    assert (layer / "etc" / "machine-id").read_text() == ""
    assert list((layer / "etc" / "ssh").iterdir()) == []


def test_an_image_of_a_clone_stands_on_the_first_ones_layers(bakery: Bakery) -> None:
    bakery.bake("ami-1", bakery.machine("i-1"))
    bakery.bake("ami-2", bakery.machine("i-2", "ami-1"))
    images = bakery.folder / "images"
    assert bakery.images.layers("ami-2") == (images / "ami-2", images / "ami-1", bakery.base)


def test_a_deregistered_image_goes_when_nobody_stands_on_it(bakery: Bakery) -> None:
    bakery.bake("ami-1", bakery.machine("i-1"))
    bakery.bake("ami-2", bakery.machine("i-2", "ami-1"))
    bakery.machines.clear()
    clone = bakery.machine("i-3", "ami-2")
    bakery.ec2.sources.clear()
    bakery.step(set())
    assert (bakery.folder / "images" / "ami-2").exists()
    bakery.machines.remove(clone)
    bakery.step(set())
    bakery.step(set())
    assert list((bakery.folder / "images").iterdir()) == []
    assert bakery.images.layers("ami-2") == (bakery.base,)
