"""Ansible's playbooks, run with what Terraform has made and what was built."""

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from deployment.options import ROOT, Options
from deployment.release import Release
from deployment.steps import DeployError, run

_BIN = ROOT / ".venv-deploy" / "bin"


class Ansible:
    """The hosts of one deployment."""

    def __init__(self, options: Options, cloud: dict[str, Any], secret_settings: dict[str, str]) -> None:
        """`cloud` is Terraform's output of that name; `secret_settings` are of the web service."""
        self._options = options
        self._cloud = cloud
        self._secret_settings = secret_settings
        self._folder = options.state / "ansible"

    def play(self, playbook: str, built: Release | None = None) -> int:
        """Run one of ansible/*.yml, with a release where it installs one; how much it has changed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "variables.json"
        file.touch(mode=0o600)
        file.chmod(0o600)  # there are secrets in it
        file.write_text(json.dumps(self._variables(built), indent=1))
        command = [str(_BIN / "ansible-playbook"), f"{playbook}.yml", "--extra-vars", f"@{file}"]
        log = self._folder / f"{playbook}.log"
        log.write_text("")
        environment = self._environment() | {"ANSIBLE_LOG_PATH": str(log)}
        run(command, environment=environment, folder=ROOT / "ansible", what=f"ansible-playbook {playbook}.yml")
        recap = log.read_text().rpartition("PLAY RECAP")[2]
        return sum(int(count) for count in re.findall(r"changed=(\d+)", recap))

    def _variables(self, built: Release | None) -> dict[str, Any]:
        options = self._options
        installed = {"release_file": str(built.file), "face_image": self._image(built)} if built else {}
        chosen = {"release": options.release} if options.release else {}
        return {
            "cloud": self._cloud | {"target": options.target},
            "face_web_secrets": self._secret_settings,
            "face_connection": options.connection,
            "face_known_hosts": str(self._folder / "known_hosts"),
            "ansible_ssh_private_key_file": str(options.ssh_key),
            **installed,
            **chosen,
            **self._tls(),
        }

    def _tls(self) -> dict[str, object]:
        """Where the web hosts' certificate comes from."""
        options = self._options
        names = [self._cloud["name"]] if self._cloud["name"] else [web["public_ip"] for web in self._cloud["web"]]
        if options.target == "localstack":
            names = [web["private_ip"] for web in self._cloud["web"]]
        if options.certificate:
            chain, key = map(str, options.certificate)
            return {"edge_tls": "files", "edge_names": names, "edge_certificate": chain, "edge_key": key}
        if options.acme_email:
            if not self._cloud["name"] or len(self._cloud["web"]) != 1:
                raise DeployError("ACME_EMAIL needs a name (`dns` in the env's file) that leads to a single web host")
            return {"edge_tls": "acme", "edge_names": names, "edge_acme_email": options.acme_email}
        return {"edge_tls": "self_signed", "edge_names": names}

    def _image(self, release: Release) -> str:
        """Of all that an image is made from: another one is baked when any of it changes."""
        digest = hashlib.sha256(f"{release.name} {json.dumps(self._cloud['builder'], sort_keys=True)}".encode())
        for file in sorted((ROOT / "ansible").rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(file.read_bytes())
        return digest.hexdigest()[:12]

    def _environment(self) -> dict[str, str]:
        return {
            **self._options.aws,
            "AWS_REGION": self._cloud["region"],
            "FACE_DEPLOYMENT": self._options.deployment,
            "ANSIBLE_CONFIG": str(ROOT / "ansible" / "ansible.cfg"),
            "PATH": f"{_BIN}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        }
