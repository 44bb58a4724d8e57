#include "consul/http/curl_transfer.h"

#include <algorithm>
#include <cstring>

#include "absl/base/attributes.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace meshgate::consul::http {
namespace {

// A blocking query's answer is mostly small and its buffer is held while it waits; other answers may be megabytes.
constexpr long kWatchBufferBytes = 4 << 10;
constexpr long kUnaryBufferBytes = 64 << 10;

Response::End EndOf(CURLcode result) {
  switch (result) {
    case CURLE_OK:
      return Response::End::kAnswered;
    case CURLE_UNSUPPORTED_PROTOCOL:  // What libcurl says of an answer without a status line.
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
      return Response::End::kNotHttp;
    case CURLE_FAILED_INIT:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ENGINE_NOTFOUND:
      return Response::End::kLocalFailure;
    default:
      return Response::End::kBroken;
  }
}

// With TLS, only within the handshake: a peer that refuses our certificate closes after it, for that reason. A peer
// that does not speak TLS gives another error there.
bool ClosedUnanswered(CURLcode result, absl::string_view error, bool tls) {
  switch (result) {
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
      return !tls;
    case CURLE_SSL_CONNECT_ERROR:
      return absl::StrContains(error, "SSL_ERROR_SYSCALL") || absl::StrContains(error, "unexpected eof") ||
             absl::StrContains(error, "reset by peer");
    default:
      return false;
  }
}

// libcurl's options are variadic; all of ours must be accepted.
template <typename T>
void Set(bool& ok, CURL* easy, CURLoption option, T value) {
  ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK;
}

}  // namespace

bool CurlLoop::Transfer::Prepare(CURL* easy, const CurlLoopOptions& options, const std::string& base_url,
                                 curl_slist* headers, std::set<Transfer*>* receiving) {
  easy_ = easy;
  receiving_ = receiving;
  tried_at_ = Clock::now();
  max_body_bytes_ = options.max_body_bytes;
  if (request_.max_body_bytes != 0) max_body_bytes_ = std::min(max_body_bytes_, request_.max_body_bytes);
  bool ok = true;
  const std::string url = base_url + request_.target;
  Set(ok, easy, CURLOPT_URL, url.c_str());
  Set(ok, easy, CURLOPT_PATH_AS_IS, 1L);
  Set(ok, easy, CURLOPT_PROTOCOLS_STR, "http,https");
  Set(ok, easy, CURLOPT_FOLLOWLOCATION, 0L);
  Set(ok, easy, CURLOPT_PROXY, "");
  Set(ok, easy, CURLOPT_NOPROXY, "*");
  Set(ok, easy, CURLOPT_NOSIGNAL, 1L);
  Set(ok, easy, CURLOPT_PRIVATE, this);
  Set(ok, easy, CURLOPT_ERRORBUFFER, error_);
  Set(ok, easy, CURLOPT_CONNECTTIMEOUT_MS,
      std::max<long>(1, static_cast<long>(absl::ToInt64Milliseconds(options.connect_timeout))));
  Set(ok, easy, CURLOPT_BUFFERSIZE, request_.pool == Pool::kUnary ? kUnaryBufferBytes : kWatchBufferBytes);
  if (request_.pool == Pool::kProbe) {
    // Whether the agent takes connections is what is asked, and one that was kept would stay with an agent given up.
    Set(ok, easy, CURLOPT_FRESH_CONNECT, 1L);
    Set(ok, easy, CURLOPT_FORBID_REUSE, 1L);
  }

  // HTTP/2 where TLS agrees on it; a request then waits for the connection to tell rather than open another.
  Set(ok, easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  tls_ = absl::StartsWith(base_url, "https:");
  if (tls_) {
    Set(ok, easy, CURLOPT_PIPEWAIT, 1L);
    Set(ok, easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    Set(ok, easy, CURLOPT_SSL_VERIFYPEER, options.verify_tls ? 1L : 0L);
    Set(ok, easy, CURLOPT_SSL_VERIFYHOST, options.verify_tls ? 2L : 0L);
    if (!options.ca_file.empty()) Set(ok, easy, CURLOPT_CAINFO, options.ca_file.c_str());
    if (!options.cert_file.empty()) Set(ok, easy, CURLOPT_SSLCERT, options.cert_file.c_str());
    if (!options.key_file.empty()) Set(ok, easy, CURLOPT_SSLKEY, options.key_file.c_str());
  }

  if (request_.token.has_value()) {
    headers_.reset(curl_slist_append(nullptr, kNoExpect));
    if (!request_.token->empty()) {
      // The list stays where the second cannot be added.
      ok = ok && curl_slist_append(headers_.get(), absl::StrCat(kTokenHeader, *request_.token).c_str()) != nullptr;
    }
    ok = ok && headers_ != nullptr;
    headers = headers_.get();
  }
  Set(ok, easy, CURLOPT_HTTPHEADER, headers);
  Set(ok, easy, CURLOPT_HEADERFUNCTION, &OnHeader);
  Set(ok, easy, CURLOPT_HEADERDATA, this);
  Set(ok, easy, CURLOPT_WRITEFUNCTION, &OnBody);
  Set(ok, easy, CURLOPT_WRITEDATA, this);
  Set(ok, easy, CURLOPT_PREREQFUNCTION, &OnRequest);
  Set(ok, easy, CURLOPT_PREREQDATA, this);
  switch (request_.method) {
    case Method::kGet:
      Set(ok, easy, CURLOPT_HTTPGET, 1L);
      break;
    case Method::kDelete:
      Set(ok, easy, CURLOPT_CUSTOMREQUEST, "DELETE");
      break;
    case Method::kPost:
      Set(ok, easy, CURLOPT_CUSTOMREQUEST, "POST");
      ABSL_FALLTHROUGH_INTENDED;
    case Method::kPut:
      Set(ok, easy, CURLOPT_UPLOAD, 1L);
      Set(ok, easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
      Set(ok, easy, CURLOPT_READFUNCTION, &OnUpload);
      Set(ok, easy, CURLOPT_READDATA, this);
      Set(ok, easy, CURLOPT_SEEKFUNCTION, &OnRewind);
      Set(ok, easy, CURLOPT_SEEKDATA, this);
      break;
  }
  return ok;
}

void CurlLoop::Transfer::Collect(CURLcode result) {
  if (response_.end != Response::End::kTooLarge) response_.end = EndOf(result);
  if (response_.end == Response::End::kAnswered && !head_complete_) {
    // libcurl takes headers that were cut for all of them; the missing ones might change what the answer means.
    response_.end = Response::End::kBroken;
    response_.error = "the connection was closed within the headers";
  }
  if (result != CURLE_OK) response_.error = error_[0] != '\0' ? error_ : curl_easy_strerror(result);
  if (repeat_refused_) response_.error = "a kept connection was closed before an answer";
  long code = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &code);
  response_.code = static_cast<int>(code);
  long connects = 0;
  curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &connects);
  response_.fresh_connection = connects > 0;
  response_.closed_unanswered = !response_.received && ClosedUnanswered(result, response_.error, tls_);
}

Sign CurlLoop::Transfer::Finish(Response::End end) {
  state = State::kEnded;
  easy_ = nullptr;
  response_.end = end;
  const Clock::time_point now = Clock::now();
  response_.took = absl::FromChrono(now - started_);
  if (response_.sent) response_.waited = absl::FromChrono(now - sent_at_);
  if (tried_at_ != Clock::time_point()) response_.tried = absl::FromChrono(now - tried_at_);
  if (end != Response::End::kAnswered) response_.body.clear();
  const Sign sign = SignOf(response_);
  Done done = std::move(done_);
  done(std::move(response_));
  return sign;
}

size_t CurlLoop::Transfer::OnHeader(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const absl::string_view line(data, size * count);
  Response& response = transfer->response_;
  if (!response.received) transfer->receiving_->insert(transfer);
  response.received = true;
  transfer->last_byte_ = Clock::now();
  if (absl::StartsWith(line, "HTTP/")) {
    // A status line: what came before, such as a 100, was not the answer.
    response.headers = {};
    transfer->head_complete_ = false;
    return line.size();
  }
  if (line == "\r\n" || line == "\n") transfer->head_complete_ = true;
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return line.size();
  const absl::string_view name = line.substr(0, colon);
  const std::string value(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  if (absl::EqualsIgnoreCase(name, "x-consul-index")) response.headers.consul_index = value;
  if (absl::EqualsIgnoreCase(name, "x-consul-knownleader")) response.headers.consul_known_leader = value;
  if (absl::EqualsIgnoreCase(name, "x-consul-lastcontact")) response.headers.consul_last_contact = value;
  return line.size();
}

size_t CurlLoop::Transfer::OnBody(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  Response& response = transfer->response_;
  const size_t bytes = size * count;
  transfer->last_byte_ = Clock::now();
  if (bytes > transfer->max_body_bytes_ - response.body.size()) {
    response.end = Response::End::kTooLarge;
    return CURL_WRITEFUNC_ERROR;
  }
  response.body.append(data, bytes);
  return bytes;
}

size_t CurlLoop::Transfer::OnUpload(char* buffer, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const std::string& body = transfer->request_.body;
  const size_t bytes = std::min(size * count, body.size() - transfer->uploaded_);
  std::memcpy(buffer, body.data() + transfer->uploaded_, bytes);
  transfer->uploaded_ += bytes;
  return bytes;
}

// libcurl rewinds to send a request once more after a kept connection broke. A body that has been sent may have been
// applied, so that is refused.
int CurlLoop::Transfer::OnRewind(void* self, curl_off_t offset, int origin) {
  auto* transfer = static_cast<Transfer*>(self);
  return transfer->uploaded_ == 0 && offset == 0 && origin == SEEK_SET ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

// Runs before each sending, also before libcurl sends a request once more.
int CurlLoop::Transfer::OnRequest(void* self, char*, char*, int, int) {
  auto* transfer = static_cast<Transfer*>(self);
  if (transfer->response_.sent && transfer->request_.method != Method::kGet) {
    transfer->repeat_refused_ = true;
    return CURL_PREREQFUNC_ABORT;
  }
  transfer->response_.sent = true;
  transfer->sent_at_ = Clock::now();
  return CURL_PREREQFUNC_OK;
}

}  // namespace meshgate::consul::http
