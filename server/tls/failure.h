#ifndef MESHGATE_SERVER_TLS_FAILURE_H_
#define MESHGATE_SERVER_TLS_FAILURE_H_

#include <string>
#include <string_view>

#include "metrics/tls_reporter.h"

namespace meshgate::server::tls {

struct Failure {
  metrics::HandshakeFailure reason;
  // OpenSSL's words, if it has any.
  std::string detail;
  // The client spoke HTTP/1: an answer in plain text would be understood.
  bool http = false;
};

// What a client gets that speaks HTTP/1 in plain text: a browser or a curl that was given the wrong scheme.
inline constexpr std::string_view kAnswerToPlainHttp =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 37\r\n\r\n"
    "This port speaks TLS, not plain text\n";

// What a handshake failed by: OpenSSL's packed error (ERR_get_error()), and the result of SSL_get_verify_result().
Failure FailureOf(unsigned long error, long verify_result);

}  // namespace meshgate::server::tls

#endif  // MESHGATE_SERVER_TLS_FAILURE_H_
