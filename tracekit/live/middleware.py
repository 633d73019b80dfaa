"""Each request of a web service as a region, named by its route."""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextvars import ContextVar
from typing import Any, TypedDict, Unpack

from tracekit.live.counting import started
from tracekit.live.regions import Region

Environ = dict[str, Any]
Scope = MutableMapping[str, Any]
_SECOND, _MS = 10**9, 10**6
_current: ContextVar[tuple[Region, Callable[[], None]] | None] = ContextVar("tracekit_request", default=None)
"""The request of this context, and what names it once its route is known."""


class MiddlewareOptions(TypedDict, total=False):
    name: Callable[[Scope], str | None] | None
    server_timing: bool
    sample: float


_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
"""A client may send any other word, again and again another one, until there is no room for the names of regions."""


class _Middleware:
    def __init__(
        self,
        app: Callable[..., Any],
        *,
        name: Callable[[Any], str | None] | None = None,
        server_timing: bool = False,
        sample: float = 1.0,
    ) -> None:
        self._app = app
        self._name = name
        self._server_timing = server_timing
        self._sample = sample
        started()

    def _is_sampled(self) -> bool:
        return self._sample >= 1 or random.random() < self._sample

    def _rename(self, region: Region, method: str, request: Any, route: Callable[[Any], str | None]) -> None:
        name = template = None
        try:
            name = self._name(request) if self._name else None
            template = None if name else route(request)
        except Exception:  # a name is not worth a request, and a path without a route is an error of Django's
            template = None
        region.name = name or f"{method if method in _METHODS else '(other)'} {template or '(no route)'}"


class WSGIMiddleware(_Middleware):
    """Around a WSGI application, e.g. of Flask or Django: each request is a region, named by its route's template.

        app.wsgi_app = tracekit.WSGIMiddleware(app.wsgi_app, server_timing=True)

    name: a request's name from its environ, where the route's template is not to be found, or another one is wanted.
    server_timing: tell the browser, in the header Server-Timing, what the request held and waited so far.
    sample: which share of the requests, 0 to 1.
    A request's span of OpenTelemetry, where there is one, gets `python.gil.held_time` and `python.gil.wait_time`.
    """

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not self._is_sampled():
            result: Iterable[bytes] = self._app(environ, start_response)
            return result
        region = Region("(no route)").__enter__()

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            self._rename(region, environ.get("REQUEST_METHOD", ""), environ, _wsgi_route)  # Flask forgets it soon
            if self._server_timing and (timing := _timing(region)):
                headers = [*headers, ("Server-Timing", timing)]
            return start_response(status, headers, *error)

        try:
            return _Response(self._app(environ, start), lambda: _close(region))
        except BaseException:
            _close(region)
            raise


class _Response:
    """An application's answer. A region ends when it is closed, as servers must."""

    def __init__(self, parts: Iterable[bytes], end: Callable[[], None]) -> None:
        self._parts = parts
        self._end: Callable[[], None] | None = end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        end, self._end = self._end, None
        try:
            if hasattr(self._parts, "close"):
                self._parts.close()
        finally:
            if end is not None:
                end()


class ASGIMiddleware(_Middleware):
    """Around an ASGI application, e.g. of FastAPI, Starlette or Django: each request is a region that follows its task.

        app.add_middleware(tracekit.ASGIMiddleware, server_timing=True)

    What it does in threads of anyio (endpoints that are plain functions) belongs to it, too.
    name: a request's name from its scope. The other arguments are as those of `WSGIMiddleware`.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], **options: Unpack[MiddlewareOptions]) -> None:
        super().__init__(app, **options)
        _follow_threads()

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http" or not self._is_sampled():
            await self._app(scope, receive, send)
            return
        region = Region("(no route)")

        async def start(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and (timing := _timing(region)):
                message["headers"] = [*message.get("headers", ()), (b"server-timing", timing.encode())]
            await send(message)

        def rename() -> None:
            self._rename(region, scope["method"], scope, _asgi_route)

        token = _current.set((region, rename))
        region.__enter__()
        try:
            await self._app(scope, receive, start if self._server_timing else send)
        finally:
            rename()
            _close(region)
            _current.reset(token)


def _timing(region: Region) -> str | None:
    held, waited = region.held_ns, region.waited_ns
    if held is None or waited is None:
        return None
    return f"gil-held;dur={held / _MS:.3f}, gil-wait;dur={waited / _MS:.3f}"


def _close(region: Region) -> None:
    region.__exit__()
    held, waited = region.held_ns, region.waited_ns
    if "opentelemetry.trace" in sys.modules and held is not None and waited is not None:
        span = sys.modules["opentelemetry.trace"].get_current_span()
        if span.is_recording():
            span.set_attributes({"python.gil.held_time": held / _SECOND, "python.gil.wait_time": waited / _SECOND})


def _wsgi_route(environ: Environ) -> str | None:
    request = environ.get("werkzeug.request")
    if request is not None:
        rule = getattr(request, "url_rule", None)  # Flask
        return rule and str(rule.rule)
    return _django_route(environ.get("PATH_INFO", ""))


def _asgi_route(scope: Scope) -> str | None:
    route = scope.get("route")
    if route is None and "router" in scope:  # Starlette tells the endpoint only
        route = next((one for one in scope["router"].routes if one.matches(scope)[0].value == 2), None)
    path = getattr(route, "path", None)
    return path if path is not None else _django_route(scope.get("path", ""))


def _django_route(path: str) -> str | None:
    urls = sys.modules.get("django.urls")
    return None if urls is None else "/" + urls.resolve(path).route.lstrip("^/")


@functools.cache
def _follow_threads() -> None:
    """Has anyio's threads, in which Starlette runs plain functions, work for the request that they were called by."""
    try:
        import anyio.to_thread as threads
    except ImportError:
        return
    run_sync = threads.run_sync

    @functools.wraps(run_sync)
    async def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        request = _current.get()
        if request is None:
            return await run_sync(function, *args, **kwargs)
        region, rename = request
        rename()
        return await run_sync(region.within, function, *args, **kwargs)

    threads.run_sync = run
