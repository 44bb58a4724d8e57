#include "tests/testing/gateway_process.h"

#include <curl/curl.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace meshgate::testing {
namespace {

size_t Append(char* data, size_t size, size_t count, void* body) {
  static_cast<std::string*>(body)->append(data, size * count);
  return size * count;
}

std::string Content(const std::string& file) {
  if (file.empty()) return "";
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// "key=value" among words separated by spaces.
std::string Word(const std::string& line, const std::string& key) {
  for (absl::string_view word : absl::StrSplit(line, ' ')) {
    if (word.size() > key.size() && word.substr(0, key.size()) == key && word[key.size()] == '=') {
      return std::string(word.substr(key.size() + 1));
    }
  }
  return "";
}

}  // namespace

GatewayProcess::GatewayProcess(std::vector<std::string> flags, ChildProcess::Options options) {
  for (const char* argument : {"server/meshgate", "--grpc_listen=127.0.0.1:0", "--http_listen=127.0.0.1:0"}) {
    options.arguments.push_back(argument);
  }
  for (auto& flag : flags) options.arguments.push_back(std::move(flag));
  // Where it keeps data unless a flag says otherwise: a place of its own in the test's folder.
  std::string home = absl::StrCat(getenv("TEST_TMPDIR"), "/state-XXXXXX");
  if (mkdtemp(home.data()) != nullptr) options.environment.emplace_back("XDG_STATE_HOME", home);
  process_ = std::make_unique<ChildProcess>(options);
  const std::string line = process_->WaitForLine("listening ");
  grpc_address_ = Word(line, "grpc");
  http_address_ = Word(line, "http");
}

std::shared_ptr<grpc::Channel> GatewayProcess::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  auto credentials = grpc::InsecureChannelCredentials();
  if (tls_.has_value()) {
    credentials = grpc::SslCredentials({Content(tls_->ca_file), Content(tls_->key_file), Content(tls_->cert_file)});
  }
  return grpc::CreateCustomChannel(grpc_address_, credentials, arguments);
}

std::optional<std::string> GatewayProcess::Get(const std::string& path, int* code) const {
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(), &curl_easy_cleanup);
  std::string body;
  curl_easy_setopt(easy.get(), CURLOPT_URL,
                   absl::StrCat(http_tls_ ? "https://" : "http://", http_address_, path).c_str());
  if (http_tls_) {
    curl_easy_setopt(easy.get(), CURLOPT_CAINFO, tls_->ca_file.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_SSLCERT, tls_->cert_file.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_SSLKEY, tls_->key_file.c_str());
  }
  curl_easy_setopt(easy.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT, 30L);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &Append);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &body);
  if (curl_easy_perform(easy.get()) != CURLE_OK) return std::nullopt;
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (code != nullptr) *code = static_cast<int>(status);
  return body;
}

std::optional<double> GatewayProcess::Metric(const std::string& name_and_labels) const {
  const auto text = Get("/metrics");
  if (!text.has_value()) return std::nullopt;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (line.size() > name_and_labels.size() && line.substr(0, name_and_labels.size()) == name_and_labels &&
        line[name_and_labels.size()] == ' ') {
      return std::strtod(std::string(line.substr(name_and_labels.size() + 1)).c_str(), nullptr);
    }
  }
  return std::nullopt;
}

bool GatewayProcess::WaitForMetric(const std::string& name_and_labels, double value) const {
  const absl::Time until = absl::Now() + absl::Seconds(30);
  while (absl::Now() < until) {
    if (Metric(name_and_labels) == value) return true;
  }
  return false;
}

}  // namespace meshgate::testing
