"""Asking a node: results in order, and one line for whatever goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from parallel_evm import rpc
from parallel_evm.inputs import InputError
from parallel_evm.rpc import RpcNode

Respond = Callable[[Any], Any]


@pytest.fixture
def node(serve_json: Any) -> Callable[[Respond], RpcNode]:
    """A node whose whole response, to one request or many, is this function's."""
    return lambda respond: RpcNode(
        serve_json(lambda asked: json.dumps(respond(asked)).encode()),
    )


def double(request: Any) -> Any:
    """Answers twice the number that it is asked, and refuses to be asked 13."""
    (number,) = request["params"]
    if number == 13:
        return {"id": request["id"], "error": {"code": -1, "message": "unlucky"}}
    return {"id": request["id"], "result": 2 * number}


def backwards(requests: Any) -> Any:
    return [double(request) for request in reversed(requests)]


def test_one_question(node: Any) -> None:
    assert node(double).ask("twice", 4) == 8
    assert node(lambda asked: {"id": asked["id"], "result": None}).ask("nothing") is None
    with pytest.raises(InputError, match=r"^http://127.*: twice: the node refuses: unlucky"):
        node(double).ask("twice", 13)


def test_many_answers_come_in_the_order_of_the_questions(
    node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "_BATCH", 3)
    assert node(backwards).ask_all([("twice", [n]) for n in range(7)]) == [*range(0, 14, 2)]
    assert node(backwards).ask_all([]) == []


def test_what_is_wrong_with_one_of_many_is_named(node: Any) -> None:
    with pytest.raises(InputError, match="thrice: the node refuses: unlucky"):
        node(backwards).ask_all([("twice", [1]), ("thrice", [13])])


def test_a_node_may_refuse_many_at_once(node: Any) -> None:
    refused = {"id": None, "error": {"code": -1, "message": "too many"}}
    with pytest.raises(InputError, match="twice: the node refuses: too many"):
        node(lambda asked: refused).ask_all([("twice", [1]), ("twice", [2])])


def test_fewer_answers_than_questions(node: Any) -> None:
    with pytest.raises(InputError, match="twice: no answer"):
        node(lambda asked: backwards(asked)[1:]).ask_all([("twice", [1]), ("twice", [2])])


def test_nobody_there() -> None:
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9: twice: no answer"):
        RpcNode("http://127.0.0.1:9").ask_all([("twice", [1])])


def test_who_asks_no_node_does_not_wait_for_web3() -> None:
    program = "import sys, parallel_evm.cli; sys.exit('web3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
