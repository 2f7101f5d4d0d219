"""Machine images: what was written to a machine's disk, as a layer that others start from."""

import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from local.hosts import Tell
from local.machines.base import clear_identity
from local.machines.machine import Machine
from local.machines.shell import run

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import TagTypeDef

SOURCE_TAG = "face:source-instance"
"""On an image: the instance that it was made of, which LocalStack's EC2 does not keep."""


class Images:
    """Follows EC2's images: bakes a layer for each that names its source, drops it when the image is deregistered."""

    def __init__(self, ec2: "EC2Client", base: Path, folder: Path, tell: Tell) -> None:
        """`base` is the root for images that are not ours; `folder` takes the layers."""
        self._ec2 = ec2
        self._base = base
        self._folder = folder
        self._tell = tell
        self._layers: dict[str, tuple[Path, ...]] = {}
        self.pending: dict[str, str] = {}
        """The images that are still to be baked, and their sources."""

    def layers(self, image: str) -> tuple[Path, ...] | None:
        """The layers of an image, the topmost first; None while it is not baked."""
        if image in self._layers:
            return self._layers[image]
        return None if self._is_ours(image) else (self._base,)

    def step(self, machines: Collection[Machine], stopped: Collection[str]) -> None:
        """Do what has become possible: `stopped` are the instances that are stopped or terminated in EC2."""
        found = self._ec2.describe_images(Owners=["self"])["Images"]
        sources = {image["ImageId"]: _source(image.get("Tags", [])) for image in found}
        self.pending = {image: source for image, source in sources.items() if source and image not in self._layers}
        self._bake({machine.name: machine for machine in machines if machine.name in stopped})
        self._drop(sources.keys(), {layer for machine in machines if machine.disk for layer in machine.disk.lowers})

    def _bake(self, machines: Mapping[str, Machine]) -> None:
        """Make the layers of the images whose source is stopped, as soon as its machine is down as well."""
        for image, source in list(self.pending.items()):
            if (machine := machines.get(source)) is None:
                continue
            with machine.held() as is_down:
                if is_down:
                    self._layers[image] = self._copy(image, machine)
                    del self.pending[image]
                    self._tell(f"image {image} is made of {source}")

    def _drop(self, registered: Collection[str], used: Collection[Path]) -> None:
        """Remove the layers of images that are not registered any more and that no disk and no image stands on."""
        for image in self._layers.keys() - set(registered):
            others = {layer for other, layers in self._layers.items() if other != image for layer in layers}
            if self._layers[image][0] not in others | set(used):
                del self._layers[image]
                shutil.rmtree(self._folder / image)

    def _copy(self, image: str, machine: Machine) -> tuple[Path, ...]:
        assert machine.disk is not None  # it has been up
        unfinished = self._folder / f"{image}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        # With whiteouts and the overlay's attributes: they say what is removed from the layers below.
        run("cp", "--archive", "--reflink=auto", str(machine.disk.upper), str(unfinished))
        clear_identity(unfinished)
        unfinished.rename(self._folder / image)
        return (self._folder / image, *machine.disk.lowers)

    def _is_ours(self, image: str) -> bool:
        try:
            found = self._ec2.describe_images(ImageIds=[image])["Images"]
        except ClientError:  # launched from an image that EC2 does not know: LocalStack lets it
            return False
        return any(_source(entry.get("Tags", [])) for entry in found)


def _source(tags: "Iterable[TagTypeDef]") -> str | None:
    return next((tag["Value"] for tag in tags if tag["Key"] == SOURCE_TAG), None)
