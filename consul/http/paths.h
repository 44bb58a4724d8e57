// URLs of Consul's HTTP API: every name that comes from outside is percent-encoded here.
#ifndef MESHGATE_CONSUL_HTTP_PATHS_H_
#define MESHGATE_CONSUL_HTTP_PATHS_H_

#include <string>
#include <string_view>

namespace meshgate::consul::http {

// Encodes everything but RFC 3986's unreserved characters, '/' too.
std::string EncodeSegment(std::string_view segment);

// Encodes a key segment by segment: slashes stay.
std::string EncodeKey(std::string_view key);

// A path with its query, built in order:
//   Target("/v1/kv/").Key("a b/c").Query("index", "7").Flag("recurse").str()   is "/v1/kv/a%20b/c?index=7&recurse"
class Target {
 public:
  // `path` is sent as it is, and so is a query that it may have.
  explicit Target(std::string_view path) : text_(path), has_query_(path.find('?') != std::string_view::npos) {}

  // Adds to the path; not after a query.
  Target& Segment(std::string_view segment);
  Target& Key(std::string_view key);

  // Adds to the query. `name` is sent as it is.
  Target& Query(std::string_view name, std::string_view value);
  Target& Flag(std::string_view name);
  // Adds nothing where the value is empty.
  Target& QueryUnlessEmpty(std::string_view name, std::string_view value);

  std::string str() const { return text_; }

 private:
  void Separate();

  std::string text_;
  bool has_query_;
};

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_PATHS_H_
