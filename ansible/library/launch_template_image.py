#!/usr/bin/python
"""Ansible module: makes the default version of a launch template launch another image."""

from __future__ import annotations

from typing import Any

import botocore
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
module: launch_template_image
short_description: Makes the default version of a launch template launch another image
description:
  - Adds a version that differs from the latest one in its image only, and makes it the default.
  - A version that does so already, the latest one, is used again.
  - amazon.aws.ec2_launch_template leaves it to EC2 to carry over what is not named, which emulators of EC2 do not do.
options:
  template_name:
    description: Name of the launch template.
    type: str
    required: true
  image_id:
    description: The image.
    type: str
    required: true
  version_description:
    description: What the version is, for people.
    type: str
    default: ""
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Workers of the new release
  launch_template_image:
    template_name: face-worker
    image_id: ami-0123456789abcdef0
"""

RETURN = r"""
version:
  description: Number of the default version.
  type: int
  returned: always
before:
  description: Number of the version that was the default before.
  type: int
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "template_name": {"type": "str", "required": True},
            "image_id": {"type": "str", "required": True},
            "version_description": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        changed, version, before = ensure(module.client("ec2"), module.params, dry=module.check_mode)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"the launch template {module.params['template_name']} stays as it is")
    module.exit_json(changed=changed, version=version, before=before)


def ensure(ec2: Any, wanted: dict[str, Any], *, dry: bool) -> tuple[bool, int, int]:
    """Whether something changes, the default version then, and the default version before."""
    name = wanted["template_name"]
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(LaunchTemplateName=name)
    versions = [version for page in pages for version in page["LaunchTemplateVersions"]]
    latest = max(versions, key=lambda version: version["VersionNumber"])
    before = next(version for version in versions if version["DefaultVersion"])
    number: int = latest["VersionNumber"]
    is_new = latest["LaunchTemplateData"].get("ImageId") != wanted["image_id"]
    if not is_new and number == before["VersionNumber"]:
        return False, number, number
    if dry:
        return True, number + is_new, before["VersionNumber"]
    if is_new:
        shape = ec2.meta.service_model.shape_for("RequestLaunchTemplateData")
        made = ec2.create_launch_template_version(
            LaunchTemplateName=name,
            SourceVersion=str(number),
            VersionDescription=wanted["version_description"],
            LaunchTemplateData=requestable(latest["LaunchTemplateData"], shape) | {"ImageId": wanted["image_id"]},
        )
        number = made["LaunchTemplateVersion"]["VersionNumber"]
    ec2.modify_launch_template(LaunchTemplateId=latest["LaunchTemplateId"], DefaultVersion=str(number))
    return True, number, before["VersionNumber"]


def requestable(value: Any, shape: Any) -> Any:
    """What of an answer may be asked for: answers also say what EC2 has come to know by itself."""
    if shape.type_name == "structure":
        return {key: requestable(part, shape.members[key]) for key, part in value.items() if key in shape.members}
    if shape.type_name == "list":
        return [requestable(part, shape.member) for part in value]
    return value


if __name__ == "__main__":
    main()
