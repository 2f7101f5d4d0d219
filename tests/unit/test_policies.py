"""The evaluation of IAM policies that the tests of roles rest on."""

from typing import Any

import pytest

from tests.cloud.policies import Request, allows


def statement(effect: str = "Allow", condition: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    usual = {"Effect": effect, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::ours/images/*"}
    return {"Statement": [{**usual, **parts, **({"Condition": condition} if condition else {})}]}


def asked(
    action: str = "s3:GetObject", resource: str = "arn:aws:s3:::ours/images/1", **context: str | list[str]
) -> Request:
    return Request(action, resource, context)


def test_what_no_statement_allows_is_refused() -> None:
    assert allows([statement()], asked())
    assert not allows([], asked())
    assert not allows([statement()], asked(resource="arn:aws:s3:::ours/results/1"))
    assert not allows([statement()], asked(action="s3:PutObject"))
    assert allows([statement(Action=["s3:Get*", "s3:PutObject"])], asked())


def test_a_denial_outweighs_whatever_allows() -> None:
    assert not allows([statement(), statement("Deny")], asked())


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ({"StringEquals": {"k": "face"}}, "face", True),
        ({"StringEquals": {"k": ["other", "face"]}}, "face", True),
        ({"StringEquals": {"k": "f*"}}, "face", False),
        ({"StringLike": {"k": "f?ce*"}}, "face", True),
        ({"StringLike": {"k": "?*"}}, "", False),
        ({"ArnEquals": {"k": "arn:aws:ec2:*:template/1"}}, "arn:aws:ec2:here:template/1", True),
        ({"Bool": {"k": "false"}}, "true", False),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, ["a"], True),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, ["a", "c"], False),
    ],
)
def test_conditions_are_compared(condition: dict[str, Any], value: str | list[str], holds: bool) -> None:
    assert allows([statement(condition=condition)], asked(k=value)) is holds


def test_a_key_that_is_not_there_meets_no_condition() -> None:
    assert not allows([statement(condition={"StringEquals": {"k": "face"}})], asked())


def test_a_key_may_have_to_be_there_or_not() -> None:
    there, absent = {"Null": {"k": "false"}}, {"Null": {"k": "true"}}
    assert allows([statement(condition=there)], asked(k="*"))
    assert not allows([statement(condition=there)], asked())
    assert allows([statement(condition=absent)], asked())
    assert not allows([statement(condition=absent)], asked(k="*"))


def test_what_is_not_understood_is_an_error() -> None:
    with pytest.raises(NotImplementedError):
        allows([statement(NotAction="s3:*")], asked())
    with pytest.raises(KeyError):
        allows([statement(condition={"IpAddress": {"k": "192.0.2.0/24"}})], asked(k="192.0.2.1"))
