"""`make lock`: writes the hashed lock files in requirements/ from the distributions' own declarations.

One resolution (dev.txt, the union) constrains all others, so that every host runs what was tested together.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = ("common", "web", "app", "client")


def main() -> None:
    """Write all locks; `--upgrade` as an argument takes the newest releases."""
    projects = [f"services/{name}/pyproject.toml" for name in OWN]
    compile_lock("dev", [*projects, "requirements/dev.in", "requirements/build.in"], constrained=False)
    compile_lock("common", [projects[0]])
    compile_lock("web", [projects[1]])
    compile_lock("app", [projects[2]])
    compile_lock("client", [projects[3]])
    compile_lock("build", ["requirements/build.in"])
    for apart in ("localstack", "deploy", "checkov"):
        compile_lock(apart, [f"requirements/{apart}.in"], constrained=False)
    compile_lock("samples", ["requirements/samples.in"], constrained=False, options=["--no-deps"])


def compile_lock(name: str, sources: list[str], *, constrained: bool = True, options: list[str] | None = None) -> None:
    """Write requirements/<name>.txt: every package pinned and hashed, for all supported Pythons and platforms."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-annotate", "--no-emit-index-url", "--all-extras"]
    command += ["--no-emit-package", "elastic-face-common", "--override", "requirements/overrides.txt"]
    command += ["--custom-compile-command", "make lock", "--output-file", f"requirements/{name}.txt"]
    if constrained:
        command += ["--constraint", "requirements/dev.txt"]
    if not any(source.endswith(".toml") for source in sources):
        command.remove("--all-extras")
    subprocess.run([*command, *(options or []), *sys.argv[1:], *sources], cwd=ROOT, check=True)
    print(f"  requirements/{name}.txt")


if __name__ == "__main__":
    main()
