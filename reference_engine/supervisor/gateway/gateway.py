"""The ASGI application of the supervisor: asks the workers by the rules of `rules.py`, and answers for all of them.

Theory of operation
===================

`control/http.py` serves it, as it serves a worker's control: heads, limits, slow clients, pipelining and HEAD are the
same with one process and with several. A request is read whole first; no body may be longer than `MAX_BODY`, and of a
longer one so much is passed on that the worker refuses it in its own words.

*Who decides.* The workers. Each request to a worker says by which way its client came and from where, and has the
client's own headers, so the worker's access control answers 401 or 403, and that is passed on. What the supervisor adds
to an answer it adds only after a worker has allowed it. `/healthz` and `/readyz` are answered to anybody, as ever.

*One or all.* A worker has its own calls, metrics and sign-ins. So what concerns a call goes to the worker that has it,
pages all go to one worker until that ends, and reports are asked of all and merged. A worker that does not answer
within `ANSWER_S` is left out of a report, and named where that matters; a request that changes something waits.

*Death.* A worker that ends before its answer began costs a 502 that names it; after that, the connection is closed, for
the client must not take half an answer for a whole one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import evolve, frozen

from reference_engine.supervisor.gateway import merging
from reference_engine.supervisor.gateway.exchange import (
    AskableWorker,
    ClientRequest,
    Door,
    WorkerAnswer,
    WorkerLostError,
    ask,
    open_exchange,
)
from reference_engine.supervisor.gateway.exposition import OPENMETRICS, PLAIN, Family, read, write
from reference_engine.supervisor.gateway.responder import BODY_S, Responder, as_json, body_of
from reference_engine.supervisor.gateway.rules import rule_of
from reference_engine.supervisor.gateway.totals import Totals
from reference_engine.supervisor.gateway.worker_states import worker_bodies, worker_families

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reference_engine.supervisor.gateway.responder import Message, Receive, Send

ANSWER_S: Final = 5.0
"""The time in which a worker must answer what it is asked for a report, in s."""

PROBE_S: Final = 2.0
"""The time in which a worker must answer whether it is ready, in s: probes themselves wait for a second or a few."""

REMEMBER_S: Final = 600.0
"""The time for which a worker's end is a reason why a call is not found, in s: as long as a worker remembers calls."""

_PAGES: Final = "/pages/"
_NO_WORKER: Final = {"error": "no worker answers: they are starting, or do not start; the log says why"}


@frozen
class EndedWorker:
    """A worker that has ended."""

    number: int
    """Its number."""
    at: float
    """The time of its end, on trio's clock."""


class Gateway:
    """Answers requests for all workers.

    Args:
        workers: returns the workers that answer requests, in the order of their numbers.
        pages: returns the address of the operator's pages over TCP; None: there is none.
        leader: returns the worker that carries out changes for all, which the pages are asked of too; None: there is
            none at the moment. Left out, each worker carries them out by itself.
        on_pause: called when workers were told to take no new calls, or to take them again.

    """

    def __init__(
        self,
        workers: Callable[[], Sequence[AskableWorker]],
        pages: Callable[[], str | None] = lambda: None,
        leader: Callable[[], AskableWorker | None] | None = None,
        on_pause: Callable[[bool], None] = lambda _paused: None,
    ) -> None:
        self._workers, self._pages, self._leader, self._on_pause = workers, pages, leader, on_pause
        self._totals, self._scraping = Totals(), trio.Lock()
        self._ended: deque[EndedWorker] = deque(maxlen=64)
        self._deaths: dict[int, int] = {}
        self._page_worker: Hashable = None

    def leave(self, worker: AskableWorker, metrics: bytes | None = None, *, died: bool = True) -> None:
        """Notes that a worker has ended; to be called before it is no longer among the workers.

        Args:
            worker: the worker.
            metrics: its last metrics, in OpenMetrics; None: it said none.
            died: whether it ended although nobody had asked it to.

        """
        self._totals.leave(worker.key, None if metrics is None else read(metrics.decode()))
        self._ended.append(EndedWorker(worker.number, trio.current_time()))
        self._deaths[worker.number] = self._deaths.get(worker.number, 0) + died

    def app(self, door: Door) -> Callable[[Message, Receive, Send], Awaitable[None]]:
        """Returns the ASGI application for clients that come by the Unix socket, or over TCP."""

        async def answer(scope: Message, receive: Receive, send: Send) -> None:
            client = scope["client"]
            request = ClientRequest(
                door,
                "" if client is None else f"{client[0]}:{client[1]}",
                scope["method"],
                scope["path"],
                scope["raw_path"],
                scope["query_string"],
                scope["headers"],
            )
            responder = Responder(send, receive)
            body = await body_of(receive)
            if body is None:
                reason = {"error": f"the body did not arrive within {BODY_S:g} s"}
                await responder.send_json(reason, HTTPStatus.REQUEST_TIMEOUT)
                return
            try:
                await getattr(self, rule_of(request.method, request.path))(evolve(request, body=body), responder)
            except WorkerLostError as lost:
                if responder.begun:
                    raise trio.BrokenResourceError from lost  # `serve_http` closes the connection
                await responder.send_json({"error": str(lost), "worker": lost.worker.number}, HTTPStatus.BAD_GATEWAY)
            except NoWorkerError:
                await responder.send_json(_NO_WORKER, HTTPStatus.SERVICE_UNAVAILABLE, [(b"retry-after", b"2")])

        return answer

    async def pass_on(self, request: ClientRequest, responder: Responder) -> None:
        """Passes a request on to one worker; all requests for pages to the same, which has the sign-ins."""
        workers = self._some_workers()
        chosen = min(workers, key=lambda worker: worker.state != "ready")
        if request.path == "/" or f"{request.path}/".startswith(_PAGES):
            if self._leader is not None and (leader := self._leader()) in workers and leader is not None:
                self._page_worker = leader.key
            elif self._page_worker not in [worker.key for worker in workers if worker.state == "ready"]:
                self._page_worker = chosen.key
            chosen = next(worker for worker in workers if worker.key == self._page_worker)
        await self._stream(chosen, request, responder)

    async def pass_to_holder(self, request: ClientRequest, responder: Responder) -> None:
        """Passes a request for a call on to the worker that has the call."""
        found = await self._find(request)
        if found.refusal is not None:
            await responder.send_answer(found.refusal)
        elif found.holder is not None:
            await self._stream(found.holder, request, responder)
        elif found.unanswered:
            await responder.send_json(_not_all(found.unanswered), HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            answer = await ask(self._some_workers()[0], request)
            await responder.send_answer(self._with_deaths(answer))

    async def show_call(self, request: ClientRequest, responder: Responder) -> None:
        """Answers with a call, and with the worker that has it."""
        if request.query:  # a field of it as plain text
            await self.pass_to_holder(request, responder)
            return
        found = await self._find(request)
        if found.refusal is not None:
            await responder.send_answer(found.refusal)
        elif found.body is not None:
            await responder.send_json(found.body)
        elif found.unanswered:
            await responder.send_json(_not_all(found.unanswered), HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            await responder.send_answer(self._with_deaths(found.unknown))

    async def show_calls(self, request: ClientRequest, responder: Responder) -> None:
        """Answers with the calls of all workers."""
        answers, unanswered = await self._ask_all(request)
        good = _good(answers)
        await responder.send_merged(answers, lambda: merging.merge_calls(good, _numbers(unanswered)))

    async def show_sets(self, request: ClientRequest, responder: Responder) -> None:
        """Answers with the sets of all workers, and with the workers."""
        answers, _unanswered = await self._ask_all(request)
        workers = self._workers()
        await responder.send_merged(
            answers, lambda: merging.merge_sets(_good(answers), worker_bodies(workers), self._pages())
        )

    async def show_version(self, request: ClientRequest, responder: Responder) -> None:
        """Answers with a version, and with its calls in all workers."""
        answers, _unanswered = await self._ask_all(request)
        await responder.send_merged(answers, lambda: merging.merge_version(_good(answers)))

    async def show_now(self, request: ClientRequest, responder: Responder) -> None:
        """Answers with what each worker shows on the page Now."""
        answers, unanswered = await self._ask_all(request)
        workers = [{"worker": number, "now": body} for number, body in _good(answers).items()]
        await responder.send_merged(answers, lambda: {"workers": workers, "unanswered": _numbers(unanswered)})

    async def drain_version(self, request: ClientRequest, responder: Responder) -> None:
        """Has the calls of a version say goodbye in all workers that have it."""
        answers, _unanswered = await self._ask_all(request)
        await responder.send_merged(answers, lambda: merging.merge_drained(_good(answers)))

    async def pause(self, request: ClientRequest, responder: Responder) -> None:
        """Has all workers take no new calls, or take them again."""
        answers, _unanswered = await self._ask_all(request)
        if good := _good(answers):
            self._on_pause(all(body["status"] == "paused" for body in good.values()))
        await responder.send_merged(answers, lambda: merging.merge_paused(good))

    async def announce(self, request: ClientRequest, responder: Responder) -> None:
        """Announces a call to all workers: nobody knows yet which it will come to."""
        answers, _unanswered = await self._ask_all(request)
        if refused := [answer for answer in answers.values() if answer.status != HTTPStatus.OK]:
            taken = [worker for worker, answer in answers.items() if answer.status == HTTPStatus.OK]
            if taken:
                await self._ask_all(_taking_back(request), taken)
            await responder.send_answer(refused[0])
        else:
            await responder.send_answer(next(iter(answers.values())))

    async def withdraw(self, request: ClientRequest, responder: Responder) -> None:
        """Takes an announcement back in all workers; those that it was not kept in don't matter."""
        answers, _unanswered = await self._ask_all(request)
        await responder.send_answer(min(answers.values(), key=lambda answer: answer.status != HTTPStatus.OK))

    async def dial(self, request: ClientRequest, responder: Responder) -> None:
        """Has the worker with the fewest calls call somebody, among those that can by the listener that is named."""
        best: WorkerAnswer | None = None
        for worker in sorted(self._some_workers(), key=lambda worker: (worker.state != "ready", worker.load)):
            answer = await ask(worker, request)
            if answer.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE}:
                await responder.send_answer(answer)
                return
            if best is None or answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                best = answer
        if best is not None:
            await responder.send_answer(best)

    async def change(self, request: ClientRequest, responder: Responder) -> None:
        """Has the worker that leads carry out a reload or a rollback, which all agree on; else each by itself."""
        if self._leader is not None:
            if (leader := self._leader()) is None:
                raise NoWorkerError
            await responder.send_answer(await ask(leader, request))
            return
        answers, _unanswered = await self._ask_all(request, within_s=float("inf"))
        bodies = {worker.number: (answer.status, answer.data()) for worker, answer in answers.items()}
        if len({answer.status for answer in answers.values()}) == 1 and not _good(answers):
            first = next(iter(answers.values()))
            if first.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                await responder.send_answer(first)
                return
        status, body = merging.merge_changes(bodies)
        await responder.send_json(body, status)

    async def healthz(self, _request: ClientRequest, responder: Responder) -> None:
        """Answers 200: the supervisor is alive."""
        await responder.send_json({"status": "ok"})

    async def readyz(self, request: ClientRequest, responder: Responder) -> None:
        """Answers 200 while a worker answers calls, else 503; with the state of each."""
        workers = self._workers()
        answers, _unanswered = await _ask_each(workers, request, PROBE_S)
        states = {worker.number: _state_of(answers.get(worker)) for worker in workers}
        status, body = merging.merge_readiness(states)
        await responder.send_json(body, status)

    async def show_metrics(self, request: ClientRequest, responder: Responder) -> None:
        """Answers with the metrics of all workers as those of one engine."""
        wanted = evolve(
            request,
            headers=[
                *(each for each in request.headers if each[0] != b"accept"),
                (b"accept", b"application/openmetrics-text"),
            ],
        )
        async with self._scraping:  # an answer that is late must not be taken for newer than one that was quick
            workers = self._workers()
            answers, _unanswered = await self._ask_all(wanted, workers or self._some_workers())
            good = {worker: answer for worker, answer in answers.items() if answer.status == HTTPStatus.OK}
            if answers and not good:
                await responder.send_answer(next(iter(answers.values())))
                return
            metrics: dict[Hashable, dict[str, Family]] = {}
            for worker, answer in good.items():  # in a thread, as connections must not wait while thousands are read
                metrics[worker.key] = await trio.to_thread.run_sync(read, answer.body.decode())
            merged = self._totals.merge(metrics, [worker.key for worker in self._workers()])
        merged += worker_families(workers, self._deaths, [metrics.get(worker.key) for worker in workers])
        openmetrics = _accepts_openmetrics(request.header("accept"))
        content_type = OPENMETRICS if openmetrics else PLAIN
        await responder.send(write(merged, openmetrics=openmetrics).encode(), content_type)

    def _some_workers(self) -> Sequence[AskableWorker]:
        workers = self._workers()
        if not workers:
            raise NoWorkerError
        return workers

    async def _ask_all(
        self, request: ClientRequest, workers: Sequence[AskableWorker] | None = None, within_s: float | None = None
    ) -> tuple[Mapping[AskableWorker, WorkerAnswer], Sequence[AskableWorker]]:
        """Returns the answers of all workers in their order, and the workers that have not answered in time.

        A worker that ended meanwhile is in neither.

        Raises:
            NoWorkerError: there is none, or none has answered.

        """
        workers = self._some_workers() if workers is None else workers
        answers, late = await _ask_each(workers, request, ANSWER_S if within_s is None else within_s)
        if not answers and workers:
            raise NoWorkerError
        return answers, late

    async def _find(self, request: ClientRequest) -> _HolderOfCall:
        """Returns which worker has the call of a request, asked as its client."""
        path = b"/".join(request.raw_path.split(b"/")[:3])
        question = evolve(request, method="GET", raw_path=path, query=b"", body=b"")
        answers, unanswered = await self._ask_all(question)
        first = next(iter(answers.values()))
        if refused := [
            answer for answer in answers.values() if answer.status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}
        ]:
            return _HolderOfCall(None, None, refused[0], first, unanswered)
        body = merging.merge_call(_good(answers))
        holders = [worker for worker in answers if body is not None and worker.number == body["worker"]]
        return _HolderOfCall(holders[0] if holders else None, body, None, first, unanswered)

    def _with_deaths(self, answer: WorkerAnswer) -> WorkerAnswer:
        """Returns an answer that a call is not there, with the workers that have ended lately among the reasons."""
        since = trio.current_time() - REMEMBER_S
        numbers = sorted({str(ended.number) for ended in self._ended if ended.at > since})
        if answer.status != HTTPStatus.NOT_FOUND or not numbers or not answer.body.startswith(b"{"):
            return answer
        body = answer.data()
        reason = f"worker {', '.join(numbers)} ended in that time, and `reference-engine call ID` shows its calls"
        return evolve(answer, body=as_json({**body, "error": f"{body['error']}; {reason}"}))

    async def _stream(self, worker: AskableWorker, request: ClientRequest, responder: Responder) -> None:
        """Passes a request on to a worker, and its answer back as it comes."""
        async with open_exchange(worker, request) as exchange:
            await responder.begin(exchange.status, exchange.headers)
            endless = not any(name == b"content-length" for name, _value in exchange.headers)
            async with aclosing(exchange.chunks()) as chunks:
                await responder.send_chunks(chunks, until_gone=endless)


class NoWorkerError(Exception):
    """No worker is there to answer."""


@frozen(eq=False)
class _HolderOfCall:
    """What the workers say of a call."""

    holder: AskableWorker | None
    """The worker that has it, or had it last."""
    body: Mapping[str, Any] | None
    """The call."""
    refusal: WorkerAnswer | None
    """The answer of a worker that did not allow the question."""
    unknown: WorkerAnswer
    """The first worker's answer, which says that it is not there if none has it."""
    unanswered: Sequence[AskableWorker]
    """The workers that have not answered."""


async def _ask_each(
    workers: Sequence[AskableWorker], request: ClientRequest, within_s: float
) -> tuple[dict[AskableWorker, WorkerAnswer], list[AskableWorker]]:
    """Returns the answers of workers in their order, and the workers that have not answered in time."""
    question = evolve(request, method="GET") if request.method == "HEAD" else request
    answers: dict[AskableWorker, WorkerAnswer] = {}
    late: set[int] = set()

    async def ask_one(worker: AskableWorker) -> None:
        with trio.move_on_after(within_s) as waiting:
            try:
                answers[worker] = await ask(worker, question)
            except WorkerLostError:
                return
        if waiting.cancelled_caught:
            late.add(worker.number)

    async with trio.open_nursery() as nursery:
        for worker in workers:
            nursery.start_soon(ask_one, worker)
    in_order = {worker: answers[worker] for worker in workers if worker in answers}
    return in_order, [worker for worker in workers if worker.number in late]


def _good(answers: Mapping[AskableWorker, WorkerAnswer]) -> dict[int, Any]:
    return {worker.number: answer.data() for worker, answer in answers.items() if answer.status == HTTPStatus.OK}


def _numbers(workers: Sequence[AskableWorker]) -> list[int]:
    return [worker.number for worker in workers]


def _not_all(unanswered: Sequence[AskableWorker]) -> dict[str, Any]:
    numbers = _numbers(unanswered)
    return {
        "error": f"worker {', '.join(map(str, numbers))} does not answer, and may have the call",
        "unanswered": numbers,
    }


def _state_of(answer: WorkerAnswer | None) -> str:
    return "starting" if answer is None else str(answer.data()["status"])


def _taking_back(request: ClientRequest) -> ClientRequest:
    return evolve(request, method="DELETE", query=b"", body=b"")


def _accepts_openmetrics(accept: str) -> bool:
    return any(each.partition(";")[0].strip() == "application/openmetrics-text" for each in accept.split(","))
