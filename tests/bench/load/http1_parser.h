#ifndef MESHGATE_TESTS_BENCH_LOAD_HTTP1_PARSER_H_
#define MESHGATE_TESTS_BENCH_LOAD_HTTP1_PARSER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace meshgate::bench {

// Takes answers of HTTP/1.1 out of what a connection brings: with a Content-Length or in chunks, as Go's server sends
// them.
class Http1Parser {
 public:
  void Add(std::string_view bytes) { input_.append(bytes); }

  // Whether the next answer is whole; it then is the one below, until the next call.
  bool Next();

  int code() const { return code_; }
  const std::string& body() const { return body_; }
  // X-Consul-Index of the latest answer that had one; 0 before.
  uint64_t consul_index() const { return consul_index_; }
  // What has come is no such answer; there will be none.
  bool broken() const { return broken_; }

 private:
  // Whether the head is whole; begins to take the body then.
  bool TakeHead();
  bool TakeChunks();

  std::string input_;
  bool in_body_ = false;
  bool chunked_ = false;
  bool broken_ = false;
  size_t length_ = 0;
  int code_ = 0;
  uint64_t consul_index_ = 0;
  std::string body_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_LOAD_HTTP1_PARSER_H_
