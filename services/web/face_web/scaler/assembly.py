"""Puts the scaling loop together from its settings."""

import socket
import time

from ulid import ULID

from face_common.aws import Aws
from face_common.ports import ObjectStore, Queue
from face_web.scaler.breaker import Breaker
from face_web.scaler.decisions import DecisionLog
from face_web.scaler.fleet import Ec2Fleet
from face_web.scaler.lease import Lease
from face_web.scaler.loop import Audience, Scaler
from face_web.scaler.observe import HostReporter, Observer, Reports
from face_web.scaler.settings import ScalerSettings
from face_web.traffic import Traffic


def build(
    settings: ScalerSettings,
    *,
    aws: Aws,
    store: ObjectStore,
    requests: Queue,
    traffic: Traffic,
    audience: Audience,
) -> Scaler:
    """The loop of one web host, or of a terminal."""
    run = str(ULID())
    host = f"{socket.gethostname()}-{run}"
    fleet = Ec2Fleet(
        aws.ec2(settings.ec2_endpoint_url), deployment=settings.deployment, template=settings.launch_template
    )
    observer = Observer(
        requests=requests,
        instances=fleet,
        reports=Reports(store, time.monotonic),
        traffic=traffic,
        assumed=settings.assumptions(),
        breaker=Breaker(),
    )
    return Scaler(
        policy=settings.policy(),
        observer=observer,
        fleet=fleet,
        lease=Lease(store, host, settings.lease_seconds, time.monotonic),
        log=DecisionLog(store, time.monotonic),
        reporter=HostReporter(store, traffic, host, time.time),
        traffic=traffic,
        breaker=Breaker(),
        audience=audience,
        run=run,
        now=time.time,
    )
