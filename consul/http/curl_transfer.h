// One transfer of a CurlLoop: what libcurl is told about it, and what libcurl tells back. Internal to the loop.
#ifndef MESHGATE_CONSUL_HTTP_CURL_TRANSFER_H_
#define MESHGATE_CONSUL_HTTP_CURL_TRANSFER_H_

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "consul/http/curl_loop.h"
#include "consul/http/signs.h"

namespace meshgate::consul::http {

// Of every request.
//
// No "Expect: 100-continue": a round trip per large write, for nothing.
inline constexpr char kNoExpect[] = "Expect:";
inline constexpr char kTokenHeader[] = "X-Consul-Token: ";

// Owned by the loop while it runs. Everything but the construction happens on the loop's thread.
class CurlLoop::Transfer : public std::enable_shared_from_this<CurlLoop::Transfer> {
 public:
  using Clock = std::chrono::steady_clock;
  enum class State { kPosted, kQueued, kActive, kEnded };

  Transfer(Request request, Done done)
      : receiver_(std::move(request.receiver)), request_(std::move(request)), done_(std::move(done)) {}

  // Tells `easy` all about this request to the agent at `base_url`. `options` and `headers` outlive the transfer. It is
  // in `receiving` from the first line of its answer on, and the loop takes it out. False: out of memory.
  bool Prepare(CURL* easy, const CurlLoopOptions& options, const std::string& base_url, curl_slist* headers,
               std::set<Transfer*>* receiving);

  // Lets an active transfer go on whose receiver has refused bytes. False: out of memory.
  bool Resume();

  // Puts what libcurl knows about the ended transfer into the response.
  void Collect(CURLcode result);

  // Runs the callback. Once, last. Returns what the outcome says about the agent.
  Sign Finish(Response::End end);

  // Response::error of a transfer that the loop ends.
  void SetError(std::string error) { response_.error = std::move(error); }

  Pool pool() const { return request_.pool; }
  bool patient() const { return request_.patience > absl::ZeroDuration(); }
  bool needs_leader() const { return request_.needs_leader; }
  CURL* easy() const { return easy_; }
  Clock::time_point deadline() const { return deadline_; }
  // Of the latest byte of an answer.
  Clock::time_point last_byte() const { return last_byte_; }

  // The time of its patience begins, or that of its timeout. Not while it is in an order by deadlines.
  void Park() { deadline_ = started_ + Bounded(request_.patience); }
  void Unpark() { deadline_ = Clock::now() + Bounded(request_.timeout); }

  // Meaningful once Collect() has run.
  Response::End end() const { return response_.end; }

  // The loop's own notes.
  State state = State::kPosted;
  bool parked = false;  // while kQueued: waits for an agent that is away
  std::list<TransferHandle>::iterator queue_position;

 private:
  // A century is for ever, and does not overflow.
  static Clock::duration Bounded(absl::Duration duration) {
    return absl::ToChronoNanoseconds(std::min(duration, absl::Hours(24 * 365 * 100)));
  }

  // Tells libcurl of the headers that are this request's own.
  bool PrepareHeaders(const std::string& token);
  bool AddHeader(const std::string& line);
  // The receiver's share of OnHeader().
  void TakeHeader(absl::string_view line);

  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static size_t OnBody(char* data, size_t size, size_t count, void* self);
  static size_t OnUpload(char* buffer, size_t size, size_t count, void* self);
  static int OnRewind(void* self, curl_off_t offset, int origin);
  static int OnRequest(void* self, char*, char*, int, int);

  std::shared_ptr<Receiver> receiver_;
  const Request request_;
  // Where it has some of its own.
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers_{nullptr, &curl_slist_free_all};
  Done done_;
  const Clock::time_point started_ = Clock::now();
  Clock::time_point deadline_ = started_ + Bounded(request_.timeout);

  CURL* easy_ = nullptr;
  size_t max_body_bytes_ = 0;
  size_t uploaded_ = 0;
  bool head_complete_ = false;
  HeaderList head_;  // for the receiver
  bool head_told_ = false;
  bool paused_ = false;
  bool tls_ = false;
  bool repeat_refused_ = false;
  Clock::time_point tried_at_;
  Clock::time_point sent_at_;
  Clock::time_point last_byte_;
  std::set<Transfer*>* receiving_ = nullptr;
  char error_[CURL_ERROR_SIZE] = "";
  Response response_;
};

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_CURL_TRANSFER_H_
