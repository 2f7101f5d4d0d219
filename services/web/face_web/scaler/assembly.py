"""Puts the scaling loop together from its settings."""

import socket
import time

from ulid import ULID

from face_common.aws import Aws
from face_common.s3 import S3ObjectStore
from face_common.sqs import SqsQueues
from face_web.scaler.breaker import Breaker
from face_web.scaler.decisions import DecisionLog
from face_web.scaler.fleet import Ec2Fleet
from face_web.scaler.lease import Lease
from face_web.scaler.loop import Audience, Scaler
from face_web.scaler.observe import HostReporter, Observer, Reports
from face_web.scaler.overrides import Overrides
from face_web.scaler.settings import ScalerSettings
from face_web.traffic import Traffic

_PATIENCE_SECONDS = 2.0  # a call that takes longer is worth less than the next tick; the lease is not for long


def build(
    settings: ScalerSettings,
    *,
    traffic: Traffic,
    audience: Audience,
) -> Scaler:
    """The loop of one web host, or of a terminal."""
    run = str(ULID())
    host = f"{socket.gethostname()}-{run}"
    aws = Aws(settings, connections=8, patience=_PATIENCE_SECONDS)
    store = S3ObjectStore(aws.s3(), settings.bucket)
    fleet = Ec2Fleet(
        aws.ec2(settings.ec2_endpoint_url),
        deployment=settings.deployment,
        template=settings.launch_template,
        subnets=settings.worker_subnets,
    )
    observer = Observer(
        requests=SqsQueues(aws.sqs())(settings.request_queue_url),
        instances=fleet,
        reports=Reports(store, time.monotonic),
        traffic=traffic,
        assumed=settings.assumptions(),
        breaker=Breaker(),
        stale_seconds=settings.stale_seconds,
    )
    return Scaler(
        overrides=Overrides(store, settings.policy()),
        observer=observer,
        fleet=fleet,
        lease=Lease(store, host, settings.lease_seconds, time.monotonic),
        log=DecisionLog(store, time.monotonic),
        reporter=HostReporter(store, traffic, host, time.time),
        traffic=traffic,
        starting=Breaker(),
        retiring=Breaker(),
        audience=audience,
        run=run,
        now=time.time,
    )
