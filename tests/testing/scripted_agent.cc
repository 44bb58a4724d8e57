#include "tests/testing/scripted_agent.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/loopback.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::testing {
namespace {

constexpr absl::Duration kBound = absl::Seconds(30);

}  // namespace

ScriptedAgent::ScriptedAgent(Script script, uint16_t port) : script_(std::move(script)) {
  listener_ = ListenOnLoopback(port, &port_);
  acceptor_ = std::thread([this] { Serve(); });
}

ScriptedAgent::~ScriptedAgent() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
  }
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  std::vector<std::thread> threads;
  {
    MutexLock lock(mu_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
  close(listener_);
}

std::string ScriptedAgent::Http(int code, const std::string& body, const std::string& headers) {
  return absl::StrCat("HTTP/1.1 ", code, " Any\r\n", headers, "Content-Length: ", body.size(), "\r\n\r\n", body);
}

std::string ScriptedAgent::url() const { return absl::StrCat("http://127.0.0.1:", port_); }

void ScriptedAgent::SetScript(Script script) {
  MutexLock lock(mu_);
  script_ = std::move(script);
}

std::vector<std::string> ScriptedAgent::requests() {
  MutexLock lock(mu_);
  return requests_;
}

int ScriptedAgent::count(const std::string& request) {
  MutexLock lock(mu_);
  return static_cast<int>(std::count(requests_.begin(), requests_.end(), request));
}

bool ScriptedAgent::WaitFor(const std::string& request, int count) {
  const absl::Time end = absl::Now() + kBound;
  MutexLock lock(mu_);
  while (std::count(requests_.begin(), requests_.end(), request) < count) {
    if (!changed_.WaitUntil(mu_, end) && absl::Now() >= end) return false;
  }
  return true;
}

bool ScriptedAgent::WaitUntilDeserted() {
  const absl::Time end = absl::Now() + kBound;
  MutexLock lock(mu_);
  while (!open_.empty()) {
    if (!changed_.WaitUntil(mu_, end) && absl::Now() >= end) return false;
  }
  return true;
}

int ScriptedAgent::connections() {
  MutexLock lock(mu_);
  return connections_;
}

void ScriptedAgent::Serve() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    MutexLock lock(mu_);
    if (stopping_) {
      close(fd);
      return;
    }
    ++connections_;
    open_.insert(fd);
    threads_.emplace_back([this, fd] { Converse(fd); });
  }
}

void ScriptedAgent::Converse(int fd) {
  using Then = Reply::Then;
  TinyHttpServer::Connection connection(fd);
  while (true) {
    const std::string head = connection.ReadRequest();
    if (head.empty()) break;
    const std::string request = head.substr(0, head.find(" HTTP/"));
    Script script;
    {
      MutexLock lock(mu_);
      requests_.push_back(request);
      changed_.NotifyAll();
      script = script_;
    }
    const Reply reply = script(request);
    if (!reply.bytes.empty() && !connection.Write(reply.bytes)) break;
    if (reply.then == Then::kGoOn) continue;
    if (reply.then == Then::kHold) connection.AwaitClose();
    if (reply.then == Then::kReset) connection.ResetOnClose();
    break;
  }
  MutexLock lock(mu_);
  open_.erase(fd);
  close(fd);
  changed_.NotifyAll();
}

}  // namespace meshgate::testing
