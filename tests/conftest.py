"""Lets tests import what they share (`tests.strategies`) under a bare ``pytest``, too."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

sys.path.insert(0, str(Path(__file__).parents[1]))

# What a shell starts in the background ignores Ctrl-C, and so would all processes that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A mutant has to fail, not to fail with the smallest example; and every time in the same way.
settings.register_profile(
    "mutation", derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)

# `make fast` (and with it `make check`) draws fewer examples than `make test`.
settings.register_profile("fast", max_examples=25)


@pytest.fixture(scope="session", autouse=True)
def _translations_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither use nor fill the user's translation cache; nor do processes that they start."""
    os.environ["PARALLEL_EVM_CACHE"] = str(tmp_path_factory.mktemp("translations"))


@pytest.fixture(scope="session", autouse=True)
def _no_workers_left() -> Iterator[None]:
    """Worker pools are shared by the tests of a session; afterwards there are none."""
    from parallel_evm import close

    yield
    close()


@pytest.fixture
def serve_json() -> Iterator[Callable[[Callable[[Any], bytes]], str]]:
    """Start a server on loopback that answers what is posted, JSON, by a function; its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(respond: Callable[[Any], bytes]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
