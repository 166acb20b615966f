"""A node that is asked by JSON-RPC over HTTP; whatever goes wrong is one line that names it.

Responsible for: questions and answers, one at a time or many at once.
Talks to: the node, through web3's provider.
Never: knows what a method means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from eth_typing import URI

from parallel_evm.inputs import InputError

if TYPE_CHECKING:
    from web3.types import RPCEndpoint

_BATCH: Final = 500
_TIMEOUT: Final = 120.0


class RpcNode:
    """An endpoint. Every method raises InputError if there is no answer, or if it is an error."""

    def __init__(self, url: str) -> None:
        # Here, since every command would wait half a second for them, of which few ask a node.
        from requests.exceptions import RequestException
        from web3.exceptions import Web3Exception
        from web3.providers.rpc import HTTPProvider

        self.url = url
        self._problems = (RequestException, Web3Exception, ValueError)
        self._provider = HTTPProvider(URI(url), request_kwargs={"timeout": _TIMEOUT})

    def ask(self, method: str, *arguments: Any) -> Any:
        """The result, which may be None."""
        with self._answering(method):
            response = self._provider.make_request(cast("RPCEndpoint", method), list(arguments))
        return self._result(method, response)

    def ask_all(self, requests: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """The results, in order; the node may go about the requests in any order."""
        results = []
        for start in range(0, len(requests), _BATCH):
            batch: Any = requests[start : start + _BATCH]
            first = batch[0][0]
            with self._answering(first):
                responses: Any = self._provider.make_batch_request(batch)
            if not isinstance(responses, list):  # one error for all
                responses = [responses] * len(batch)
            if len(responses) != len(batch):
                raise InputError(self.url, first, f"no answer to some of {len(batch)} requests")
            results += [
                self._result(method, response)
                for (method, _), response in zip(batch, responses, strict=True)
            ]
        return results

    @contextmanager
    def _answering(self, method: str) -> Iterator[None]:
        try:
            yield
        except self._problems as problem:
            raise InputError(self.url, method, f"no answer ({problem})") from None

    def _result(self, method: str, response: Any) -> Any:
        if not isinstance(response, dict):
            raise InputError(self.url, method, "no answer (not JSON-RPC)")
        error = response.get("error")
        if error is not None:
            reason = error.get("message", error) if isinstance(error, dict) else error
            raise InputError(self.url, method, f"the node refuses: {reason}")
        return response.get("result")
