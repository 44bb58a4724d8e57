#include "consul/http/curl_transfer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace meshgate::consul::http {
namespace {

// A blocking query's answer is mostly small and its buffer is held while it waits; other answers may be megabytes.
constexpr long kWatchBufferBytes = 4 << 10;
constexpr long kBufferBytes = 64 << 10;

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
  // Not even bytes beyond ASCII are encoded then.
  if (receiver_ != nullptr) Set(ok, easy, CURLOPT_REQUEST_TARGET, request_.target.c_str());
  Set(ok, easy, CURLOPT_PROTOCOLS_STR, "http,https");
  Set(ok, easy, CURLOPT_FOLLOWLOCATION, 0L);
  Set(ok, easy, CURLOPT_PROXY, "");
  Set(ok, easy, CURLOPT_NOPROXY, "*");
  Set(ok, easy, CURLOPT_NOSIGNAL, 1L);
  Set(ok, easy, CURLOPT_PRIVATE, this);
  Set(ok, easy, CURLOPT_ERRORBUFFER, error_);
  Set(ok, easy, CURLOPT_CONNECTTIMEOUT_MS,
      std::max<long>(1, static_cast<long>(absl::ToInt64Milliseconds(options.connect_timeout))));
  Set(ok, easy, CURLOPT_BUFFERSIZE,
      request_.pool == Pool::kWatch || request_.pool == Pool::kProbe ? kWatchBufferBytes : kBufferBytes);
  if (request_.pool == Pool::kProbe) {
    // Whether the agent takes connections is what is asked, and one that was kept would stay with an agent given up.
    Set(ok, easy, CURLOPT_FRESH_CONNECT, 1L);
    Set(ok, easy, CURLOPT_FORBID_REUSE, 1L);
  }

  // HTTP/2 where TLS agrees on it; a request then waits for the connection to tell rather than open another.
  const bool shares = request_.pool != Pool::kStreamed;
  Set(ok, easy, CURLOPT_HTTP_VERSION, static_cast<long>(shares ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  tls_ = absl::StartsWith(base_url, "https:");
  if (tls_) {
    Set(ok, easy, CURLOPT_PIPEWAIT, shares ? 1L : 0L);
    Set(ok, easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    Set(ok, easy, CURLOPT_SSL_VERIFYPEER, options.verify_tls ? 1L : 0L);
    Set(ok, easy, CURLOPT_SSL_VERIFYHOST, options.verify_tls ? 2L : 0L);
    if (!options.ca_file.empty()) Set(ok, easy, CURLOPT_CAINFO, options.ca_file.c_str());
    if (!options.cert_file.empty()) Set(ok, easy, CURLOPT_SSLCERT, options.cert_file.c_str());
    if (!options.key_file.empty()) Set(ok, easy, CURLOPT_SSLKEY, options.key_file.c_str());
  }

  if (request_.token.has_value() || !request_.headers.empty() || receiver_ != nullptr) {
    ok = ok && PrepareHeaders(request_.token.has_value() ? *request_.token : options.token);
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

bool CurlLoop::Transfer::PrepareHeaders(const std::string& token) {
  if (!AddHeader(kNoExpect) || (!token.empty() && !AddHeader(absl::StrCat(kTokenHeader, token)))) return false;
  bool accepts = false;
  for (const auto& [name, value] : request_.headers) {
    accepts = accepts || absl::EqualsIgnoreCase(name, "accept");
    // libcurl's way of saying that a header has no value: with a colon it would leave the header out.
    if (!AddHeader(value.empty() ? absl::StrCat(name, ";") : absl::StrCat(name, ": ", value))) return false;
  }
  // libcurl has one of its own.
  return accepts || receiver_ == nullptr || AddHeader("Accept:");
}

bool CurlLoop::Transfer::AddHeader(const std::string& line) {
  curl_slist* longer = curl_slist_append(headers_.get(), line.c_str());
  if (longer == nullptr) return false;  // The list stays as it was.
  [[maybe_unused]] curl_slist* same = headers_.release();
  headers_.reset(longer);
  return true;
}

bool CurlLoop::Transfer::Resume() {
  // What was refused comes again, and may be refused again, within the call.
  return !std::exchange(paused_, false) || curl_easy_pause(easy_, CURLPAUSE_CONT) == CURLE_OK;
}

void CurlLoop::Transfer::Collect(CURLcode result) {
  if (response_.end != Response::End::kTooLarge) response_.end = EndOf(result);
  if (response_.end == Response::End::kAnswered && !(receiver_ != nullptr ? head_told_ : head_complete_)) {
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
  receiver_.reset();
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
  if (transfer->receiver_ != nullptr) {
    transfer->TakeHeader(line);
    return line.size();
  }
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

void CurlLoop::Transfer::TakeHeader(absl::string_view line) {
  if (head_told_) return;  // A trailer.
  if (absl::StartsWith(line, "HTTP/")) {
    head_.clear();
    return;
  }
  if (line == "\r\n" || line == "\n") {
    receiving_->erase(this);
    long code = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &code);
    if (code < 200) return;
    head_told_ = true;
    response_.code = static_cast<int>(code);
    return receiver_->OnHead(response_.code, std::exchange(head_, {}));
  }
  const std::string text(absl::StripAsciiWhitespace(line));
  if (absl::ascii_isspace(static_cast<unsigned char>(line[0]))) {
    // Goes on with the line before.
    if (!head_.empty()) absl::StrAppend(&head_.back().second, " ", text);
    return;
  }
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return;
  head_.emplace_back(text.substr(0, colon),
                     std::string(absl::StripAsciiWhitespace(absl::string_view(text).substr(colon + 1))));
}

size_t CurlLoop::Transfer::OnBody(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  Response& response = transfer->response_;
  const size_t bytes = size * count;
  transfer->last_byte_ = Clock::now();
  if (transfer->receiver_ != nullptr) {
    if (!transfer->head_told_) return CURL_WRITEFUNC_ERROR;
    if (transfer->receiver_->OnBody({data, bytes})) return bytes;
    transfer->paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
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
