"""`python -m deployment deploy|plan|rollback|destroy|rehearse|check`, by the make variables (docs/deployment.md)."""

import sys

from deployment.deployments import Deployment
from deployment.options import environment
from deployment.rehearsal import rehearse
from deployment.steps import DeployError, Steps
from deployment.terraform import check_configuration
from local.processes import StartError


def main() -> int:
    """Do it; 1 when it could not be done, with the reason."""
    task = sys.argv[1]
    try:
        if task == "check":
            check_configuration()
            return 0
        deployment = Deployment(environment(), Steps())
        {"deploy": deploy, "plan": plan, "destroy": destroy, "rollback": rollback, "rehearse": rehearse}[task](
            deployment
        )
    except (DeployError, StartError) as error:
        print(f"\nmake {task}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nmake {task}: interrupted; run it again, it goes on where it stopped", file=sys.stderr)
        return 130
    print(f"\n{deployment.steps.table()}")
    return 0


def deploy(deployment: Deployment) -> None:
    """From the sources to a photo that is answered."""
    deployment.prepare()
    built = deployment.build()
    deployment.apply()
    deployment.configure(built)
    deployment.smoke()


def plan(deployment: Deployment) -> None:
    """Only show what deploying would change in the cloud."""
    deployment.prepare()
    deployment.plan()


def destroy(deployment: Deployment) -> None:
    """Remove the deployment."""
    deployment.connect()
    deployment.destroy()
    if deployment.options.target == "localstack":
        deployment.stop_localstack()


def rollback(deployment: Deployment) -> None:
    """Back to the release before."""
    deployment.connect()
    deployment.roll_back()
    deployment.smoke()


if __name__ == "__main__":
    sys.exit(main())
