#include "tests/testing/consul_agent.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meshgate::testing {
namespace {

// Looked up in PATH, as tests/run.sh does before it installs one.
constexpr char kBinary[] = "consul";
constexpr auto kReadyWithin = std::chrono::seconds(30);
constexpr auto kStoppedWithin = std::chrono::seconds(20);
constexpr auto kPoll = std::chrono::milliseconds(20);

// Below those that the kernel gives to whoever connects: one that is chosen, or whose agent is dead for a while, is not
// taken by a connection.
constexpr uint16_t kFirstPort = 10'000;
constexpr uint16_t kLastPort = 32'767;

bool IsFree(uint16_t port) {
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) std::abort();
    const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    if (!bound) return false;
  }
  return true;
}

std::string MakeFolder() {
  const char* base = std::getenv("TEST_TMPDIR");
  std::string path = absl::StrCat(base != nullptr ? base : "/tmp", "/consul-XXXXXX");
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

bool AllThreadsStopped(pid_t pid) {
  for (const auto& task : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/task"))) {
    std::ifstream stat(task.path() / "stat");
    std::string line;
    std::getline(stat, line);
    // "tid (name) state ...", where the name may hold anything.
    const size_t name_end = line.rfind(") ");
    if (name_end == std::string::npos || line[name_end + 2] != 'T') return false;
  }
  return true;
}

size_t Append(char* data, size_t size, size_t count, void* out) {
  static_cast<std::string*>(out)->append(data, size * count);
  return size * count;
}

}  // namespace

std::vector<uint16_t> FreePorts(int count) {
  static auto* const given = new std::set<uint16_t>;
  static std::mt19937 random{std::random_device{}()};
  static std::mutex mu;
  const std::lock_guard<std::mutex> lock(mu);
  std::vector<uint16_t> ports;
  while (ports.size() < static_cast<size_t>(count)) {
    const auto port = std::uniform_int_distribution<uint16_t>(kFirstPort, kLastPort)(random);
    if (given->count(port) > 0 || !IsFree(port)) continue;
    given->insert(port);
    ports.push_back(port);
  }
  return ports;
}

ConsulAgent::ConsulAgent(Options options) : options_(std::move(options)), folder_(MakeFolder()) {
  static std::atomic<int> count{0};
  const std::vector<uint16_t> ports = FreePorts(3);
  http_port_ = ports[0];
  server_port_ = ports[1];
  serf_port_ = ports[2];
  node_name_ = absl::StrCat("test-", getpid(), "-", ++count);
  std::ofstream(absl::StrCat(folder_, "/extra.hcl")) << options_.hcl << "\n";
  Launch();
}

ConsulAgent::~ConsulAgent() {
  Stop();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string ConsulAgent::url() const { return absl::StrCat("http://127.0.0.1:", http_port_); }

void ConsulAgent::Launch() {
  std::vector<std::string> args = {kBinary,
                                   "agent",
                                   "-bind=127.0.0.1",
                                   "-client=127.0.0.1",
                                   "-log-level=info",
                                   absl::StrCat("-node=", node_name_),
                                   absl::StrCat("-http-port=", http_port_),
                                   absl::StrCat("-server-port=", server_port_),
                                   absl::StrCat("-serf-lan-port=", serf_port_),
                                   "-serf-wan-port=-1",
                                   "-dns-port=-1",
                                   "-grpc-port=-1",
                                   absl::StrCat("-config-file=", folder_, "/extra.hcl")};
  if (options_.servers > 1) {
    args.insert(args.end(), {"-server", absl::StrCat("-bootstrap-expect=", options_.servers),
                             absl::StrCat("-data-dir=", folder_, "/data")});
  } else {
    args.emplace_back("-dev");
  }
  for (const uint16_t port : options_.join) args.push_back(absl::StrCat("-retry-join=127.0.0.1:", port));
  args.insert(args.end(), options_.args.begin(), options_.args.end());
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  const std::string log = absl::StrCat(folder_, "/log");
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    // Only what is safe between fork and exec in a process with threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    const int fd = open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0644);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execvp(kBinary, argv.data());
    _exit(127);
  }
  ASSERT_GT(pid_, 0) << "fork failed";
  if (options_.servers > 1) return;
  ASSERT_TRUE(AwaitReady()) << "no Consul: " << kBinary << " is not in PATH, or it did not start:\n" << Log();
}

bool ConsulAgent::AwaitReady() {
  const auto end = std::chrono::steady_clock::now() + kReadyWithin;
  for (; std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(kPoll)) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      return false;
    }
    const Answer leader = Call("GET", "/v1/status/leader", "", options_.token);
    if (leader.code != 200 || !absl::StrContains(leader.body, ":")) continue;
    // Another agent may have taken the port.
    const Answer self = Call("GET", "/v1/agent/self", "", options_.token);
    if (self.code != 200 || !absl::StrContains(self.body, node_name_)) continue;
    // Services can be registered once the node itself is in the catalog.
    const Answer node = Call("GET", absl::StrCat("/v1/health/node/", node_name_), "", options_.token);
    if (node.code == 200 && absl::StrContains(node.body, "serfHealth")) return ready_ = true;
  }
  return false;
}

void ConsulAgent::Signal(int signal) const {
  if (pid_ > 0) kill(pid_, signal);
}

void ConsulAgent::AwaitExit() {
  if (pid_ <= 0) return;
  const auto end = std::chrono::steady_clock::now() + kStoppedWithin;
  while (waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      Signal(SIGKILL);
      waitpid(pid_, nullptr, 0);
      break;
    }
    std::this_thread::sleep_for(kPoll);
  }
  pid_ = -1;
  ready_ = false;
}

void ConsulAgent::Stop() {
  Signal(SIGCONT);
  Signal(SIGTERM);
  AwaitExit();
}

void ConsulAgent::Kill() {
  Signal(SIGKILL);
  AwaitExit();
}

void ConsulAgent::Freeze() {
  Signal(SIGSTOP);
  const auto end = std::chrono::steady_clock::now() + kStoppedWithin;
  while (pid_ > 0 && !AllThreadsStopped(pid_)) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "the agent does not stop";
    std::this_thread::sleep_for(kPoll);
  }
}

void ConsulAgent::Thaw() { Signal(SIGCONT); }

void ConsulAgent::Restart() {
  ASSERT_LT(pid_, 0) << "it is still running";
  Launch();
}

ConsulAgent::Answer ConsulAgent::Call(const std::string& method, const std::string& target, const std::string& body,
                                      const std::string& token) const {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(), &curl_easy_cleanup);
  Answer answer;
  curl_slist* headers = curl_slist_append(nullptr, absl::StrCat("X-Consul-Token: ", token).c_str());
  headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
  curl_easy_setopt(easy.get(), CURLOPT_URL, absl::StrCat(url(), target).c_str());
  curl_easy_setopt(easy.get(), CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT, 15L);
  if (!token.empty()) curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy.get(), CURLOPT_CUSTOMREQUEST, method.c_str());
  if (method != "GET") {
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, body.c_str());
  }
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &Append);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &answer.body);
  if (curl_easy_perform(easy.get()) == CURLE_OK) {
    long code = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &code);
    answer.code = static_cast<int>(code);
  }
  curl_slist_free_all(headers);
  return answer;
}

int ConsulAgent::ClientConnections(uint16_t port) const {
  constexpr absl::string_view kEstablished = "01";
  std::ifstream table("/proc/net/tcp");
  std::string line;
  int count = 0;
  while (std::getline(table, line)) {
    // "sl local_address rem_address st ...", addresses as hexadecimal IP:PORT.
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() < 4 || fields[3] != kEstablished) continue;
    const std::pair<absl::string_view, absl::string_view> local = absl::StrSplit(fields[1], ':');
    uint32_t local_port = 0;
    if (absl::SimpleHexAtoi(local.second, &local_port) && local_port == port) ++count;
  }
  return count;
}

std::string ConsulAgent::Log() const {
  std::ifstream log(absl::StrCat(folder_, "/log"));
  std::stringstream text;
  text << log.rdbuf();
  return text.str();
}

}  // namespace meshgate::testing
