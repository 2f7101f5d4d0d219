"""An endpoint in front of LocalStack that lets through only what the caller's role may do: LocalStack does not ask.

The access key of a request says whose it is. What a call touches and which condition keys it carries follows AWS's
"Actions, resources, and condition keys" of S3, SQS and EC2; a call that is not known there is refused.
"""

import html
import http.client
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from tests.cloud.policies import Request, allows

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

ACCOUNT, REGION = "000000000000", "us-east-1"
_EC2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
_S3_ACTIONS = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_SQS_ACTIONS = {  # a batch needs the right of its single call
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host"}


class Gateway:
    """Forwards to LocalStack at `endpoint` what the policies allow; answers 403 to everything else."""

    def __init__(self, endpoint: str, roles: Mapping[str, Sequence[Mapping[str, Any]]], ec2: "EC2Client") -> None:
        """`roles` are policy documents by access key; `ec2` sees the tags of what calls touch."""
        self.upstream = urlsplit(endpoint).netloc
        self.roles = roles
        self.calls = Calls(ec2)
        self.refused: list[str] = []
        """What was refused, `<access key> <action> <resource>`."""
        self.allowed: set[str] = set()
        """Actions that were let through, `<access key> <action>`."""
        handler = type("Handler", (_Handler,), {"gateway": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Gateway":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def judge(self, key: str, requests: Sequence[Request]) -> str | None:
        """Why a call is refused, if it is."""
        for request in requests:
            if not allows(self.roles.get(key, ()), request):
                self.refused.append(f"{key} {request.action} {request.resource}")
                return f"{request.action} on {request.resource}"
        self.allowed |= {f"{key} {request.action}" for request in requests}
        return None


class Calls:
    """What a request asks for, in the words of policies."""

    def __init__(self, ec2: "EC2Client") -> None:
        self._ec2 = ec2

    def of(self, method: str, url: str, headers: Message, body: bytes) -> list[Request]:
        """One or more requests that must all be allowed."""
        service = re.search(r"Credential=[^/]+/\d+/[^/]+/(\w+)/", headers.get("Authorization", ""))
        kind = service[1] if service else ""
        if kind == "s3":
            return _s3(method, url, headers, body)
        if kind == "sqs":
            return [_sqs(headers["X-Amz-Target"], body)]
        return list(self._ec2_call({name: values[0] for name, values in parse_qs(body.decode()).items()}))

    def _ec2_call(self, form: Mapping[str, str]) -> Iterator[Request]:
        action = f"ec2:{form['Action']}"
        if form["Action"].startswith("Describe"):
            yield Request(action, "*", {})
        elif form["Action"] == "RunInstances":
            yield from self._launch(form)
        else:
            keys = {"aws:TagKeys": _numbered(form, r"Tag\.\d+\.Key")}
            instances = _numbered(form, r"(InstanceId|ResourceId)\.\d+")
            for one in instances:
                yield Request(action, f"{_EC2}:instance/{one}", {**self._tags(one), **keys})
            if not instances:
                yield Request(action, "*", {})

    def _launch(self, form: Mapping[str, str]) -> Iterator[Request]:
        template, given = self._template(form)
        tags = _tags_of(form)
        by_template = {
            entry["ResourceType"]: {tag["Key"]: tag["Value"] for tag in entry["Tags"]}
            for entry in given.get("TagSpecifications", ())
        }
        context: dict[str, str | Sequence[str]] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        context["aws:TagKeys"] = list(tags)
        if template:
            context["ec2:LaunchTemplate"] = template
            yield Request("ec2:RunInstances", template, context)
        for resource in ("instance/*", "volume/*", "network-interface/*"):
            yield Request("ec2:RunInstances", f"{_EC2}:{resource}", context)
        for group in given.get("SecurityGroupIds", ()):
            yield Request("ec2:RunInstances", f"{_EC2}:security-group/{group}", context)
        if subnet := form.get("SubnetId"):
            yield Request("ec2:RunInstances", f"{_EC2}:subnet/{subnet}", context)
        image = form.get("ImageId") or given["ImageId"]
        image_context = {**self._tags(image), **({"ec2:LaunchTemplate": template} if template else {})}
        yield Request("ec2:RunInstances", f"arn:aws:ec2:{REGION}::image/{image}", image_context)
        tagged = {**by_template, "instance": by_template.get("instance", {}) | tags}
        for kind, its in tagged.items():
            if not its:
                continue
            keys = {f"aws:RequestTag/{key}": value for key, value in its.items()} | {"aws:TagKeys": list(its)}
            yield Request("ec2:CreateTags", f"{_EC2}:{kind}/*", {**keys, "ec2:CreateAction": "RunInstances"})
        if profile := given.get("IamInstanceProfile", {}).get("Name"):
            role = f"arn:aws:iam::{ACCOUNT}:role/{profile}"  # the profile of each role has its name
            yield Request("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"})

    def _template(self, form: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
        name = form.get("LaunchTemplate.LaunchTemplateName")
        if not name:
            return "", {}
        version = form.get("LaunchTemplate.Version", "$Default")
        found = self._ec2.describe_launch_template_versions(LaunchTemplateName=name, Versions=[version])
        entry = found["LaunchTemplateVersions"][0]
        return f"{_EC2}:launch-template/{entry['LaunchTemplateId']}", entry["LaunchTemplateData"]

    def _tags(self, resource: str) -> dict[str, str]:
        """The tags of something that exists, as condition keys."""
        found = self._ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [resource]}])["Tags"]
        return {f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in found}


def _tags_of(form: Mapping[str, str]) -> dict[str, str]:
    names = _numbered(form, r"TagSpecification\.\d+\.Tag\.\d+\.Key")
    return dict(zip(names, _numbered(form, r"TagSpecification\.\d+\.Tag\.\d+\.Value"), strict=True))


def _numbered(form: Mapping[str, str], pattern: str) -> list[str]:
    return [value for name, value in form.items() if re.fullmatch(pattern, name)]


def _s3(method: str, url: str, headers: Message, body: bytes) -> list[Request]:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    arn = f"arn:aws:s3:::{bucket}"
    if not key:
        return _s3_bucket(method, arn, query, body)
    if "uploadId" in query and method == "DELETE":
        return [Request("s3:AbortMultipartUpload", f"{arn}/{key}", {})]
    if method == "POST" and ("uploads" in query or "uploadId" in query):
        return [Request("s3:PutObject", f"{arn}/{key}", {})]
    version = "Version" if "versionId" in query else ""
    conditions = {f"s3:{name.lower()}": headers[name] for name in ("If-Match", "If-None-Match") if name in headers}
    return [Request(f"s3:{_S3_ACTIONS[method]}{version}", f"{arn}/{key}", conditions if method == "PUT" else {})]


def _s3_bucket(method: str, arn: str, query: Mapping[str, str], body: bytes) -> list[Request]:
    """What concerns the bucket as a whole, or several of its objects."""
    if "delete" in query:
        objects = re.findall("<Object>(.+?)</Object>", body.decode(), re.DOTALL)
        return [_s3_deletion(arn, one) for one in objects]
    listing = "ListBucketVersions" if "versions" in query else "ListBucket"
    return [Request(f"s3:{listing}" if method in ("GET", "HEAD") else "s3:unknown", arn, {})]


def _s3_deletion(arn: str, entry: str) -> Request:
    action = "DeleteObjectVersion" if "<VersionId>" in entry else "DeleteObject"
    key = re.findall("<Key>(.+?)</Key>", entry, re.DOTALL)[0]
    return Request(f"s3:{action}", f"{arn}/{html.unescape(key)}", {})


def _sqs(target: str, body: bytes) -> Request:
    operation = target.partition(".")[2]
    queue = json.loads(body)["QueueUrl"].rpartition("/")[2]
    return Request(f"sqs:{_SQS_ACTIONS.get(operation, operation)}", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}", {})


class _Handler(BaseHTTPRequestHandler):
    gateway: Gateway
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        body = self._body()
        key = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        requests = self.gateway.calls.of(self.command, self.path, self.headers, body)
        reason = self.gateway.judge(key[1] if key else "", requests)
        if reason:
            self._answer(403, {"Content-Type": "application/xml"}, _refusal(reason, self.headers))
            return
        upstream = http.client.HTTPConnection(self.gateway.upstream, timeout=60)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        upstream.request(self.command, self.path, body, {**kept, "Host": self.gateway.upstream})
        answer = upstream.getresponse()
        self._answer(answer.status, dict(answer.getheaders()), answer.read())
        upstream.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        length = headers.get("Content-Length", headers.get("content-length")) if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _refusal(reason: str, headers: Message) -> bytes:
    """AccessDenied, in the protocol of the service that was called."""
    if "X-Amz-Target" in headers:
        return json.dumps({"__type": "com.amazon.coral.service#AccessDenied", "message": reason}).encode()
    if headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        error = f"<Error><Code>UnauthorizedOperation</Code><Message>{reason}</Message></Error>"
        return f"<Response><Errors>{error}</Errors></Response>".encode()
    return f"<Error><Code>AccessDenied</Code><Message>{reason}</Message></Error>".encode()
