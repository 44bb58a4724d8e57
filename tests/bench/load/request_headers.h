#ifndef MESHGATE_TESTS_BENCH_LOAD_REQUEST_HEADERS_H_
#define MESHGATE_TESTS_BENCH_LOAD_REQUEST_HEADERS_H_

#include <string>

namespace meshgate::bench {

// The header blocks (HPACK, RFC 7541) of a connection that carries calls of one gRPC method: as gRPC's clients do it,
// the first call puts its headers into the table of the connection and every later one refers to them. So there are two
// blocks, the same for every connection, and no call has to be compressed by itself. Takes a server that keeps a table
// of the default size.
struct RequestHeaders {
  std::string first;
  std::string later;
};

// `path` is "/package.Service/Method", at most 126 bytes.
RequestHeaders MakeRequestHeaders(const std::string& path);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_REQUEST_HEADERS_H_
