"""Makes the calls of one case and says what came of them."""
import concurrent.futures
import itertools
import os
import threading
import time

import grpc

import metadata
from protos import conformance, other

SERVICE = "/meshgate.conformance.v1.Conformance/"
# Of calls that are no case themselves, and of cases that hang against all expectation.
PATIENCE = 30
_PATTERN = bytes(i % 251 for i in range(251 * 2))
_ids = itertools.count()


def payload(seed, size):
    start = seed % 251
    return (_PATTERN[start:start + 251] * (size // 251 + 1))[:size]


class Call:
    """One call of a case of the Conformance service."""

    def __init__(self, channel, case):
        self.channel, self.case = channel, case
        self.plan = conformance("Plan")()
        self.plan.CopyFrom(case.plan)
        if case.cancel_when_started or case.ask_cancelled or case.drain:
            self.plan.id = f"python-{os.getpid()}-{time.time_ns()}-{next(_ids)}"
        self.answers = threading.Semaphore(0)
        self.over = threading.Event()
        self.outcome = conformance("Outcome")()

    def run(self):
        case, plan = self.case, self.plan
        call = self._start()
        call.add_done_callback(lambda _: self.over.set())
        if case.cancel_when_started:
            self._seen("SeenStarted")
            call.cancel()
        intact, last = True, None
        try:
            for response in self._responses(call):
                last = response
                expected = payload(plan.seed, plan.payload_bytes)
                intact = intact and response.index == self.outcome.messages and response.payload == expected
                self.outcome.messages += 1
                self.outcome.bytes += len(response.payload)
                if response.HasField("report"):
                    self._tell_report(response.report)
                self.answers.release()
                if self.outcome.messages == case.cancel_after_messages:
                    call.cancel()
        except grpc.RpcError:
            pass
        except grpc.FutureCancelledError:
            pass
        self.over.set()
        self.answers.release()
        if last is not None:
            self.outcome.intact = intact
            self.outcome.requests = last.requests
            self.outcome.request_bytes = last.request_bytes
            self.outcome.requests_intact = last.requests_intact
        tell_end(call, case, self.outcome)
        if case.ask_cancelled:
            self.outcome.server_saw_cancel = self._seen("SeenCancelled")
        return self.outcome

    def wait_started(self):
        return self._seen("SeenStarted")

    def _start(self):
        case = self.case
        kind = {"ServerStream": "unary_stream", "ClientStream": "stream_unary", "Bidi": "stream_stream"}
        method = getattr(self.channel, kind.get(case.method, "unary_unary"))(
            case.method if case.method.startswith("/") else SERVICE + case.method,
            request_serializer=conformance("CallRequest").SerializeToString,
            response_deserializer=conformance("CallResponse").FromString)
        options = {
            "timeout": case.timeout_ms / 1000 if case.timeout_ms else PATIENCE if not case.plan.report else None,
            "metadata": metadata.to_grpc(case.metadata),
            "compression": grpc.Compression.Gzip if case.compress else None,
        }
        if case.method == "ServerStream":
            return method(self._request(0), **options)
        if case.method == "Bidi":
            return method(self._requests(), **options)
        if case.method == "ClientStream":
            return method.future(self._requests(), **options)
        return method.future(self._request(0), **options)

    def _responses(self, call):
        if self.case.method in ("ServerStream", "Bidi"):
            return call
        return iter([call.result()])

    def _request(self, index):
        request = conformance("CallRequest")(payload=payload(self.plan.seed, self.case.request_bytes))
        if index == 0:
            request.plan.CopyFrom(self.plan)
        return request

    def _requests(self):
        for index in range(self.case.requests):
            if self.case.ping_pong and index > 0:
                self.answers.acquire()
            if self.over.is_set():
                return
            yield self._request(index)
        if self.case.keep_open:
            self.over.wait()

    def _seen(self, method):
        seen = self.channel.unary_unary(
            SERVICE + method, request_serializer=conformance("SeenRequest").SerializeToString,
            response_deserializer=conformance("SeenResponse").FromString)
        return seen(conformance("SeenRequest")(id=self.plan.id), timeout=PATIENCE).seen

    def _tell_report(self, report):
        self.outcome.server_metadata.extend(metadata.lines((e.key, e.value) for e in report.metadata))
        self.outcome.has_peer = report.has_peer
        self.outcome.has_deadline = report.has_deadline
        set_ms, left = self.case.timeout_ms, report.deadline_left_ms
        # grpc-timeout has eight digits: seconds of days are rounded up to minutes or hours.
        self.outcome.deadline_plausible = (report.has_deadline and set_ms > 0 and
                                           set_ms - 30_000 <= left <= set_ms * 1.01)


def tell_end(call, case, outcome):
    outcome.code = call.code().value[0]
    if case.tell_message:
        outcome.message = call.details() or ""
    initial, trailing = list(call.initial_metadata() or ()), list(call.trailing_metadata() or ())
    outcome.initial_metadata.extend(metadata.ours(initial))
    outcome.trailing_metadata.extend(metadata.ours(trailing))
    outcome.other_metadata.extend(metadata.others(initial + trailing))
    for key, value in trailing:
        if key == "grpc-status-details-bin":
            tell_details(value, outcome.details)


def tell_details(serialized, details):
    status = other("google.rpc.Status").FromString(serialized)
    details.code, details.message = status.code, status.message
    for detail in status.details:
        info = other("google.rpc.ErrorInfo")()
        if detail.Unpack(info):
            details.info.reason, details.info.domain = info.reason, info.domain
            details.info.metadata.update(info.metadata)


def run_once(channel, case):
    end = time.monotonic() + PATIENCE
    while True:
        outcome = Call(channel, case).run()
        if outcome.code == case.until_code or not case.until_code or time.monotonic() > end:
            return outcome


def run(channel, case):
    """All calls of a case: the outcome they have in common, or the first that is different from the first."""
    if case.calls < 2:
        return run_once(channel, case)
    with concurrent.futures.ThreadPoolExecutor(case.calls) as pool:
        outcomes = list(pool.map(lambda _: run_once(channel, case), range(case.calls)))
    outcome = next((o for o in outcomes if o != outcomes[0]), outcomes[0])
    outcome.calls = outcomes.count(outcome)
    return outcome
