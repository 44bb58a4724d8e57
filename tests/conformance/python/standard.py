"""Cases of the services that gRPC brings: health and reflection."""
import grpc
from google.protobuf import descriptor_pb2

from calls import PATIENCE, tell_end
from protos import conformance, other

_REFLECTION = "grpc.reflection.v1alpha."


def run(channel, case):
    return {"Health/Check": _check, "Health/Watch": _watch, "Reflection": _reflection}[case.method](channel, case)


def _health_name(response):
    return response.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[response.status].name


def _health_types():
    return {"request_serializer": other("grpc.health.v1.HealthCheckRequest").SerializeToString,
            "response_deserializer": other("grpc.health.v1.HealthCheckResponse").FromString}


def _check(channel, case):
    outcome = conformance("Outcome")()
    call = channel.unary_unary("/grpc.health.v1.Health/Check", **_health_types()).future(
        other("grpc.health.v1.HealthCheckRequest")(service=case.health_service), timeout=PATIENCE)
    try:
        outcome.answers.append(_health_name(call.result()))
    except grpc.RpcError:
        pass
    tell_end(call, case, outcome)
    return outcome


def _watch(channel, case):
    outcome = conformance("Outcome")()
    call = channel.unary_stream("/grpc.health.v1.Health/Watch", **_health_types())(
        other("grpc.health.v1.HealthCheckRequest")(service=case.health_service), timeout=PATIENCE)
    try:
        outcome.answers.append(_health_name(next(call)))
        call.cancel()
        next(call)
    except grpc.RpcError:
        pass
    tell_end(call, case, outcome)
    return outcome


def _reflection(channel, case):
    outcome = conformance("Outcome")()
    request = other(_REFLECTION + "ServerReflectionRequest")()
    if case.symbol:
        request.file_containing_symbol = case.symbol
    else:
        request.list_services = "*"
    call = channel.stream_stream(
        f"/{_REFLECTION}ServerReflection/ServerReflectionInfo",
        request_serializer=other(_REFLECTION + "ServerReflectionRequest").SerializeToString,
        response_deserializer=other(_REFLECTION + "ServerReflectionResponse").FromString)(
            iter([request]), timeout=PATIENCE)
    try:
        for response in call:
            outcome.answers.extend(_answers(response, case.symbol))
    except grpc.RpcError:
        pass
    tell_end(call, case, outcome)
    return outcome


def _answers(response, symbol):
    if response.HasField("error_response"):
        return [f"error {response.error_response.error_code}"]
    if response.HasField("list_services_response"):
        return sorted(s.name for s in response.list_services_response.service)
    names = []
    for serialized in response.file_descriptor_response.file_descriptor_proto:
        file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
        names += [m.name for s in file.service if f"{file.package}.{s.name}" == symbol for m in s.method]
    return sorted(names)
