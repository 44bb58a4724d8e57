#ifndef MESHGATE_TESTS_BENCH_AGENT_KV_H_
#define MESHGATE_TESTS_BENCH_AGENT_KV_H_

#include <curl/curl.h>

#include <memory>
#include <string>
#include <vector>

namespace meshgate::bench {

// Writes keys at the agent, past the gateway, over one connection. It comes from 127.0.0.2, so that neither Consul's
// limit for a client nor ConnectionSampler takes it for the gateway. From one thread at a time.
class AgentKv {
 public:
  // "http://127.0.0.1:port".
  explicit AgentKv(std::string url);

  // Returns whether Consul has it. Keys are letters, digits, '-' and '/'.
  bool Put(const std::string& key, const std::string& value);

  // Many keys with one value, 64 in a transaction.
  bool PutAll(const std::vector<std::string>& keys, const std::string& value);

 private:
  bool Send(const std::string& path, const std::string& body);

  const std::string url_;
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_AGENT_KV_H_
