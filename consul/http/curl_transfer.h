// One transfer of a CurlLoop: what libcurl is told about it, and what libcurl tells back. Internal to the loop.
#ifndef MESHGATE_CONSUL_HTTP_CURL_TRANSFER_H_
#define MESHGATE_CONSUL_HTTP_CURL_TRANSFER_H_

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "consul/http/curl_loop.h"

namespace meshgate::consul::http {

// Owned by the loop while it runs. Everything but the construction happens on the loop's thread.
class CurlLoop::Transfer : public std::enable_shared_from_this<CurlLoop::Transfer> {
 public:
  using Clock = std::chrono::steady_clock;
  enum class State { kPosted, kQueued, kActive, kEnded };

  Transfer(Request request, Done done) : request_(std::move(request)), done_(std::move(done)) {}

  // Tells `easy` all about this request. `headers` outlives the transfer; `options` too. False: out of memory.
  bool Prepare(CURL* easy, const CurlLoopOptions& options, curl_slist* headers);

  // Puts what libcurl knows about the ended transfer into the response.
  void Collect(CURLcode result);

  // Runs the callback. Once, last.
  void Finish(Response::End end);

  Pool pool() const { return request_.pool; }
  CURL* easy() const { return easy_; }
  Clock::time_point deadline() const { return deadline_; }

  // Meaningful once Collect() has run.
  Response::End end() const { return response_.end; }

  // The loop's own notes.
  State state = State::kPosted;
  std::list<TransferHandle>::iterator queue_position;

 private:
  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static size_t OnBody(char* data, size_t size, size_t count, void* self);
  static size_t OnUpload(char* buffer, size_t size, size_t count, void* self);
  static int OnRewind(void* self, curl_off_t offset, int origin);
  static int OnRequest(void* self, char*, char*, int, int);

  const Request request_;
  Done done_;
  const Clock::time_point started_ = Clock::now();
  const Clock::time_point deadline_ = started_ + absl::ToChronoNanoseconds(std::min(request_.timeout, absl::Hours(24)));

  CURL* easy_ = nullptr;
  size_t max_body_bytes_ = 0;
  size_t uploaded_ = 0;
  bool head_complete_ = false;
  bool tls_ = false;
  bool repeat_refused_ = false;
  Clock::time_point sent_at_;
  char error_[CURL_ERROR_SIZE] = "";
  Response response_;
};

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_CURL_TRANSFER_H_
