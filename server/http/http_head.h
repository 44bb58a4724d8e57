// Between Boost.Beast's messages and ours.
#ifndef MESHGATE_SERVER_HTTP_HTTP_HEAD_H_
#define MESHGATE_SERVER_HTTP_HTTP_HEAD_H_

#include <boost/beast/http.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "server/http/error.h"
#include "server/http/names.h"
#include "server/http/origin_form.h"
#include "server/http/router.h"

namespace meshgate::server {

using RequestParser = boost::beast::http::request_parser<boost::beast::http::string_body>;

inline HttpResponse Malformed(int status, std::string_view what) {
  return ErrorResponse(MakeError(absl::StatusCode::kInvalidArgument, kMalformedHttp, what), status);
}

inline HttpResponse TooMuchAtOnce() {
  return ErrorResponse(WithRetryAfter(
      MakeError(absl::StatusCode::kResourceExhausted, kTooMuchAtOnce,
                "too many large requests are being received and served: send this one again in a moment"),
      absl::Seconds(1)));
}

// What to answer to bytes that are not a request; nothing for a peer that has just gone or was too slow.
inline std::optional<HttpResponse> AnswerTo(const boost::system::error_code& error) {
  namespace http = boost::beast::http;
  if (error == http::error::header_limit) return Malformed(431, "the headers are larger than this server takes");
  if (error == http::error::body_limit) return Malformed(413, "the body is larger than this server takes");
  const bool parsing = error.category() == make_error_code(http::error::bad_method).category();
  if (!parsing || error == http::error::end_of_stream || error == http::error::partial_message) return std::nullopt;
  if (error == http::error::bad_line_ending)
    return Malformed(400, "a header goes on in a second line, or ends without CR LF");
  return Malformed(400, absl::StrCat("not an HTTP/1.1 request: ", error.message()));
}

// Whether a header goes on in a second line, as far as it is there: that has been obsolete for long, and is where
// proxies disagree about what a header is (RFC 9112, 5.2). `buffer` begins in a head, at the start of a line.
template <typename Buffer>
bool HasFoldedLine(const Buffer& buffer) {
  const std::string_view bytes(static_cast<const char*>(buffer.data().data()), buffer.data().size());
  // The empty line that ends it, and after it a body.
  if (bytes.substr(0, 2) == "\r\n") return false;
  const std::string_view head = bytes.substr(0, bytes.find("\r\n\r\n"));
  return head.find("\r\n ") != std::string_view::npos || head.find("\r\n\t") != std::string_view::npos;
}

// What the parser lets pass and proxies understand in different ways: where a request ends must not be a matter of
// opinion (RFC 9112, 6.3 and 11.2). That it has one length it has seen to.
template <typename Message>
std::optional<HttpResponse> RefuseHead(const Message& message) {
  namespace http = boost::beast::http;
  if (message.version() == 11 && message.count(http::field::host) != 1) {
    return Malformed(400, "an HTTP/1.1 request has one Host header");
  }
  const size_t encodings = message.count(http::field::transfer_encoding);
  if (encodings == 0) return std::nullopt;
  if (message.version() != 11) return Malformed(400, "an HTTP/1.0 request has no Transfer-Encoding");
  const auto encoding = message[http::field::transfer_encoding];
  if (encodings != 1 || !boost::beast::iequals(encoding, "chunked")) {
    return Malformed(501, "Transfer-Encoding: send the body as it is or chunked, and in no other encoding");
  }
  return std::nullopt;
}

// From the head. The rest is up to the connection.
template <typename Message>
HttpRequest RequestOf(const Message& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string target = OriginForm(std::string(message.target()));
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  for (const auto& field : message) {
    request.headers.emplace_back(absl::AsciiStrToLower(std::string(field.name_string())), std::string(field.value()));
  }
  return request;
}

// The head of a streamed response, as it is sent.
inline std::string StreamHead(const HttpResponse& response, bool keep_alive, bool chunked) {
  std::string head =
      absl::StrCat("HTTP/1.1 ", response.status, " ",
                   ToAbsl(std::string_view(boost::beast::http::obsolete_reason(
                       static_cast<boost::beast::http::status>(response.status)))),
                   "\r\nServer: meshgate\r\nX-Content-Type-Options: nosniff\r\n");
  if (!response.content_type.empty()) absl::StrAppend(&head, "Content-Type: ", response.content_type, "\r\n");
  for (const auto& [name, value] : response.headers) absl::StrAppend(&head, name, ": ", value, "\r\n");
  if (chunked) absl::StrAppend(&head, "Transfer-Encoding: chunked\r\n");
  if (!keep_alive) absl::StrAppend(&head, "Connection: close\r\n");
  absl::StrAppend(&head, "\r\n");
  return head;
}

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_HTTP_HEAD_H_
