#ifndef MESHGATE_TESTS_TESTING_LOOPBACK_H_
#define MESHGATE_TESTS_TESTING_LOOPBACK_H_

#include <netinet/in.h>

#include <cstdint>

namespace meshgate::testing {

// 127.0.0.1 with `port`.
sockaddr_in Loopback(uint16_t port);

// A socket that listens there, and on which port: a free one for 0. Aborts where it can't. Connections of whoever
// listened on the port before may linger.
int ListenOnLoopback(uint16_t port, uint16_t* bound);

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_LOOPBACK_H_
