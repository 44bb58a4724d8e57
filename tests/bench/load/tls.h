#ifndef MESHGATE_TESTS_BENCH_LOAD_TLS_H_
#define MESHGATE_TESTS_BENCH_LOAD_TLS_H_

#include <openssl/types.h>

namespace meshgate::bench {

// A client's TLS on a socket of ConnectTo(), after its handshake, which this waits for. It speaks HTTP/2, takes any
// certificate and shows none. Null: the server refuses. Whoever has it frees it, before the socket is closed.
SSL* TlsOn(int fd);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_TLS_H_
