// What a request to Consul's HTTP API says besides its path.
#ifndef MESHGATE_SERVER_HTTP_CONSUL_PARAMETERS_H_
#define MESHGATE_SERVER_HTTP_CONSUL_PARAMETERS_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "server/http/router.h"

namespace meshgate::server::consul_api {

// The parameters of a query.
class Parameters {
 public:
  // INVALID_ARGUMENT for what is not encoded right, and for what is said twice and is no list: Consul takes the first
  // of them, and whoever sends two means something else.
  static absl::StatusOr<Parameters> Parse(std::string_view query);

  // Consul's flags are there or not, whatever their value.
  bool has(std::string_view name) const;
  // Of the first of that name; empty without one.
  std::string value(std::string_view name) const;
  std::vector<std::string> values(std::string_view name) const;

  // INVALID_ARGUMENT where it is there and is no number of 64 bits.
  absl::StatusOr<std::optional<uint64_t>> Number(std::string_view name) const;

  const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

// How something is to be read.
struct ReadHow {
  consul::ReadMode mode = consul::ReadMode::kDefault;
  // From a cache, as agents keep one.
  bool cached = false;
  // Waits until the index has passed this one; 0: does not.
  uint64_t index = 0;
  // Consul's default and longest.
  absl::Duration wait = absl::Minutes(5);
  // Waits for something that has no index.
  bool waits_for_hash = false;
  std::string datacenter;
};

// INVALID_ARGUMENT for what Consul refuses: an index that is no number, a wait without a unit, stale with consistent.
absl::StatusOr<ReadHow> HowToRead(const Parameters& parameters);

// The path and what of the parameters says what is read, in an order that does not depend on the caller's.
std::string CanonicalQuery(const std::string& path, const Parameters& parameters);

// The path and the query as they were sent, without the parameters of these names.
std::string TargetWithout(const HttpRequest& http, std::initializer_list<std::string_view> names);

// The token that a request brings, as Consul looks for it: ?token=, X-Consul-Token, Authorization: Bearer. Empty
// without one.
std::string TokenOf(const HttpRequest& http, const Parameters& parameters);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_PARAMETERS_H_
