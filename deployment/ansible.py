"""Ansible's playbooks, run with what Terraform has made and what was built."""

import json
import sys
from pathlib import Path
from typing import Any

from deployment.options import ROOT, Options
from deployment.release import Release
from deployment.steps import run

_BIN = ROOT / ".venv-deploy" / "bin"


class Ansible:
    """The hosts of one deployment."""

    def __init__(self, options: Options, cloud: dict[str, Any]) -> None:
        """`cloud` is Terraform's output of that name."""
        self._options = options
        self._cloud = cloud
        self._folder = options.state / "ansible"

    def play(self, playbook: str, release: Release, **variables: object) -> None:
        """Run one of ansible/*.yml."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "variables.json"
        file.write_text(json.dumps(self._variables(release) | variables, indent=1))
        command = [str(_BIN / "ansible-playbook"), f"{playbook}.yml", "--extra-vars", f"@{file}"]
        run(command, environment=self._environment(), folder=ROOT / "ansible", what=f"ansible-playbook {playbook}.yml")

    def _variables(self, release: Release) -> dict[str, Any]:
        return {"cloud": self._cloud | {"target": self._options.target}, "release": release.variables()}

    def _environment(self) -> dict[str, str]:
        return {
            **self._options.aws,
            "AWS_REGION": self._cloud["region"],
            "ANSIBLE_CONFIG": str(ROOT / "ansible" / "ansible.cfg"),
            "PATH": f"{_BIN}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        }
