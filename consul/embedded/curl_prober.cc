#include "consul/embedded/curl_prober.h"

#include <curl/curl.h>
#include <pthread.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meshgate::consul::embedded {
namespace {

// As much of an answer as is kept; no more is read.
constexpr size_t kMaxOutput = 4096;

ProbeResult Stopped() { return {Health::kCritical, "the prober is stopped"}; }

}  // namespace

struct CurlProber::Transfer {
  Transfer(Callback d, const CheckAllowList& allow) : done(std::move(d)), check_allow(allow), easy(curl_easy_init()) {}
  ~Transfer() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  void SetUp(absl::Duration timeout) {
    const long ms = static_cast<long>(std::max<int64_t>(1, absl::ToInt64Milliseconds(timeout)));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &Transfer::OnOpenSocket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
  }

  void SetUp(const HttpProbe& probe) {
    is_http = true;
    curl_easy_setopt(easy, CURLOPT_URL, probe.url.c_str());
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "meshgate health check");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    if (probe.tls_skip_verify) {
      curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    bool has_type = false;
    for (const auto& [name, value] : probe.headers) {
      has_type |= absl::EqualsIgnoreCase(name, "content-type");
      // libcurl's way of saying "empty": with a colon it would leave the header out.
      const std::string line = value.empty() ? absl::StrCat(name, ";") : absl::StrCat(name, ": ", value);
      headers = curl_slist_append(headers, line.c_str());
    }
    if (absl::EqualsIgnoreCase(probe.method, "HEAD")) {
      curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (!probe.method.empty() && probe.method != "GET") {
      // An empty body, and said so.
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
      curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, probe.method.c_str());
      if (!has_type) headers = curl_slist_append(headers, "Content-Type:");
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  }

  void SetUp(const TcpProbe& probe) {
    // Never spoken: the transfer ends when it is connected.
    curl_easy_setopt(easy, CURLOPT_URL, absl::StrCat("http://", probe.address).c_str());
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
  }

  ProbeResult Result(CURLcode code) const {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    const bool cut = code == CURLE_WRITE_ERROR && output.size() == kMaxOutput;
    if (code != CURLE_OK && !cut && refused) {
      return {Health::kCritical, "the name leads to an address that --check_allow does not list"};
    }
    if (code != CURLE_OK && !cut) return {Health::kCritical, error[0] != 0 ? error : curl_easy_strerror(code)};
    if (!is_http) return {Health::kPassing, "connected"};
    Health health = Health::kCritical;
    if (status >= 200 && status <= 299) health = Health::kPassing;
    if (status == 429) health = Health::kWarning;
    return {health, absl::StrCat("HTTP ", status, " ", output)};
  }

  static curl_socket_t OnOpenSocket(void* self, curlsocktype, curl_sockaddr* address) {
    auto* transfer = static_cast<Transfer*>(self);
    if (!transfer->check_allow.MayLeadTo(&address->addr)) {
      transfer->refused = true;
      return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }

  static size_t OnBody(char* data, size_t size, size_t count, void* self) {
    std::string& output = static_cast<Transfer*>(self)->output;
    const size_t taken = std::min(size * count, kMaxOutput - output.size());
    output.append(data, taken);
    // Less than what is there ends the transfer.
    return output.size() == kMaxOutput ? 0 : taken;
  }

  Callback done;
  // Outlives the transfer.
  const CheckAllowList& check_allow;
  CURL* const easy;
  curl_slist* headers = nullptr;
  bool is_http = false;
  bool refused = false;
  std::string output;
  char error[CURL_ERROR_SIZE] = {};
};

// What the thread runs. Add() and Stop() are for other threads.
class CurlProber::Loop {
 public:
  Loop() : multi_(curl_multi_init()) {}
  ~Loop() { curl_multi_cleanup(multi_); }

  // Null where it was taken, and the transfer back where the loop is stopping.
  std::unique_ptr<Transfer> Add(std::unique_ptr<Transfer> transfer) {
    MutexLock lock(mu_);
    if (stopping_) return transfer;
    added_.push_back(std::move(transfer));
    // Under the lock: the handle lives until Stop() has been seen.
    curl_multi_wakeup(multi_);
    return nullptr;
  }

  void Stop() {
    MutexLock lock(mu_);
    stopping_ = true;
    curl_multi_wakeup(multi_);
  }

  void Run() {
    while (TakeAdded()) {
      int running = 0;
      curl_multi_perform(multi_, &running);
      FinishDone();
      curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
    }
    for (auto& [easy, transfer] : active_) {
      curl_multi_remove_handle(multi_, easy);
      transfer->done(Stopped());
    }
    active_.clear();
  }

 private:
  // False: stop.
  bool TakeAdded() {
    std::vector<std::unique_ptr<Transfer>> added;
    bool stopping;
    {
      MutexLock lock(mu_);
      added.swap(added_);
      stopping = stopping_;
    }
    for (auto& transfer : added) {
      CURL* easy = transfer->easy;
      curl_multi_add_handle(multi_, easy);
      active_.emplace(easy, std::move(transfer));
    }
    return !stopping;
  }

  void FinishDone() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      auto it = active_.find(message->easy_handle);
      const CURLcode code = message->data.result;
      std::unique_ptr<Transfer> transfer = std::move(it->second);
      active_.erase(it);
      curl_multi_remove_handle(multi_, transfer->easy);
      transfer->done(transfer->Result(code));
    }
  }

  CURLM* const multi_;
  // The loop's thread alone.
  std::unordered_map<CURL*, std::unique_ptr<Transfer>> active_;

  Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::unique_ptr<Transfer>> added_ ABSL_GUARDED_BY(mu_);
};

CurlProber::CurlProber(CheckAllowList check_allow)
    : check_allow_(std::move(check_allow)), loop_(std::make_unique<Loop>()), thread_([this] { loop_->Run(); }) {
  pthread_setname_np(thread_.native_handle(), "prober");
}

CurlProber::~CurlProber() { Shutdown(); }

void CurlProber::Probe(const CheckDefinition& check, absl::Duration timeout, Callback done) {
  auto transfer = std::make_unique<Transfer>(std::move(done), check_allow_);
  transfer->SetUp(timeout);
  if (const auto* http = std::get_if<HttpProbe>(&check.probe)) {
    transfer->SetUp(*http);
  } else if (const auto* tcp = std::get_if<TcpProbe>(&check.probe)) {
    transfer->SetUp(*tcp);
  }
  transfer = loop_->Add(std::move(transfer));
  if (transfer) transfer->done(Stopped());
}

void CurlProber::Shutdown() {
  MutexLock only(shutdown_mu_);
  loop_->Stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace meshgate::consul::embedded
