#ifndef MESHGATE_TESTS_CONFORMANCE_NATIVE_CALL_H_
#define MESHGATE_TESTS_CONFORMANCE_NATIVE_CALL_H_

#include <memory>

#include "server/wire/stream.h"
#include "tests/conformance/service.h"

namespace meshgate::conformance {

// The call of a stream to one of the service's methods, served by the wire front itself; null where the path is none.
// `events` outlives it.
std::shared_ptr<server::wire::Call> MakeNativeCall(server::wire::Stream* stream, Events* events);

}  // namespace meshgate::conformance

#endif  // MESHGATE_TESTS_CONFORMANCE_NATIVE_CALL_H_
