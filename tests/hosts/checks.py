"""What holds for every host, and for the unit of every service."""

from testinfra.host import Host

from tests.hosts.units import exposure, main_pid, properties

_HARDLY_EXPOSED = 2.0


def host_is_closed(host: Host) -> None:
    """Keys only, nobody in but where asked, updates by itself, a journal within limits."""
    settings = host.check_output("sshd -T").lower().splitlines()
    assert "passwordauthentication no" in settings
    assert "kbdinteractiveauthentication no" in settings
    assert any(line in settings for line in ("permitrootlogin without-password", "permitrootlogin prohibit-password"))
    assert "policy drop" in host.check_output("nft list chain inet filter input")
    assert host.service("unattended-upgrades").is_enabled
    assert "SystemMaxUse" in host.file("/etc/systemd/journald.conf.d/face.conf").content_string


def unit_runs_confined(host: Host, unit: str) -> None:
    """Active, enabled, as nobody, and with little to break out by."""
    service = host.service(unit)
    assert service.is_running
    assert service.is_enabled
    uids = host.file(f"/proc/{main_pid(host, unit)}/status").content_string.partition("Uid:")[2].split()[:4]
    assert "0" not in uids
    assert exposure(host, unit) <= _HARDLY_EXPOSED
    assert properties(host, unit, "MemoryMax")["MemoryMax"] != "infinity"


def release_is_roots(host: Host, name: str) -> None:
    """What runs is one of the releases that only root can write, and settings are root's to read."""
    current = host.file(f"/opt/face/{name}/current")
    assert current.is_symlink
    release = current.linked_to
    assert release.startswith(f"/opt/face/{name}/releases/")
    assert host.check_output("find %s ! -user root -o ! -type l -perm /022", release) == ""
    settings = host.file(f"/etc/face/{name}.env")
    assert (settings.user, settings.mode) == ("root", 0o600)
