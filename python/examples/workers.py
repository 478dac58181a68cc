"""A web application with two worker processes that record into one store.

    python workers.py facts/

`uvicorn --workers 2` does this: every worker imports the application, runs its lifespan, and answers
requests. Here each worker makes its requests in its own process, so that no network is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from papyra import Actor, ActorSystem, Strategy, SupervisionPolicy

# Papyra's `contrib.starlette` uses hooks that Starlette 1 has removed. This example uses its parts instead.
from papyra.contrib.asgi.endpoints import healthz, metrics
from papyra.contrib.asgi.lifesycle import papyra_lifecycle
from papyra.persistence.startup import PersistenceStartupConfig, PersistenceStartupMode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from ostracon.papyra import OstraconPersistence

REQUESTS = 20


class Till(Actor):
    """Sells items, and crashes if an item has no price."""

    async def receive(self, message: dict[str, Any]) -> str:
        if message["price"] is None:
            raise ValueError(f"{message['sku']} has no price")
        return f"sold {message['sku']} for {message['price']}"


def application(path: str, worker: str) -> Starlette:
    # This touches no file, so an application may do it when it is imported.
    persistence = OstraconPersistence(path)
    system = ActorSystem(system_id=worker, persistence=persistence, time_fn=time.time)
    startup = PersistenceStartupConfig(mode=PersistenceStartupMode.FAIL_ON_ANOMALY)
    policy = SupervisionPolicy(strategy=Strategy.RESTART, max_restarts=1000)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with papyra_lifecycle(lambda: system, persistence_startup=startup):
            app.state.till = system.spawn(Till, policy=policy)
            yield

    async def sell(request: Request) -> JSONResponse:
        sku = request.path_params["sku"]
        price = None if sku.endswith("7") else 4
        try:
            return JSONResponse({"said": await request.app.state.till.ask({"sku": sku, "price": price})})
        except ValueError as error:
            return JSONResponse({"said": str(error)}, status_code=409)

    async def health(scope: Any, receive: Any, send: Any) -> None:
        await healthz(scope, receive, send, system=system)

    async def counters(scope: Any, receive: Any, send: Any) -> None:
        await metrics(scope, receive, send, system=system)

    return Starlette(
        routes=[
            Route("/sell/{sku}", sell, methods=["POST"]),
            Mount("/healthz", health),
            Mount("/metrics", counters),
        ],
        lifespan=lifespan,
    )


async def request(app: Starlette, method: str, path: str) -> tuple[int, Any]:
    """Sends a request to the application, as a server does."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": [],
        "server": ("shop", 80), "client": ("nobody", 0), "state": {},
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(part.get("body", b"") for part in sent[1:]))


async def work(path: str, worker: str) -> None:
    app = application(path, worker)
    async with app.router.lifespan_context(app):
        statuses = [(await request(app, "POST", f"/sell/sku-{n}"))[0] for n in range(REQUESTS)]
        health, healthy = await request(app, "GET", "/healthz/")
        _, counted = await request(app, "GET", "/metrics/")
        assert health == 200 and healthy["ok"] and counted["write_errors"] == 0
        # The line is written in one call, because two workers write to one output.
        sys.stdout.write(f"{worker}: {statuses.count(200)} sold, {statuses.count(409)} crashed, healthy\n")


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "facts"
    workers = [
        subprocess.Popen([sys.executable, os.path.abspath(__file__), path, f"worker-{n}"]) for n in (1, 2)
    ]
    if any([worker.wait() for worker in workers]):
        sys.exit("a worker failed")

    store = OstraconPersistence(path).store
    print(
        store.sql(
            "SELECT system_id AS worker, count(*) AS facts,"
            " count(*) FILTER (WHERE event_type = 'ActorCrashed') AS crashes"
            " FROM events GROUP BY 1 ORDER BY 1"
        )
    )
    print(store.query("error_groups"))
    print("whole" if store.scan(deep=True).is_clean else "damaged")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        asyncio.run(work(sys.argv[1], sys.argv[2]))
    else:
        main()
