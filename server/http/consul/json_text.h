#ifndef MESHGATE_SERVER_HTTP_CONSUL_JSON_TEXT_H_
#define MESHGATE_SERVER_HTTP_CONSUL_JSON_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace meshgate::server::consul_api {

// Writes JSON a piece at a time: what is written holds as many Begins as Ends, and in an object a Key before each value.
// Text that is not UTF-8 has its bad bytes replaced, as Go's encoder does.
class JsonText {
 public:
  // `pretty`: lines with four spaces for each level, as Consul's ?pretty.
  explicit JsonText(bool pretty = false) : pretty_(pretty) {}

  JsonText& BeginObject() { return Begin('{'); }
  JsonText& EndObject() { return End('}'); }
  JsonText& BeginArray() { return Begin('['); }
  JsonText& EndArray() { return End(']'); }
  JsonText& Key(std::string_view name);
  JsonText& String(std::string_view text);
  // Text that needs no escapes.
  JsonText& Plain(std::string_view text);
  JsonText& Number(uint64_t number);
  JsonText& Signed(int64_t number);
  JsonText& Bool(bool value);
  JsonText& Null();
  JsonText& Strings(const std::vector<std::string>& list);

  // With a line's end where it is pretty.
  std::string Take();

 private:
  JsonText& Begin(char bracket);
  JsonText& End(char bracket);
  // Before a value or a key.
  void Separate();
  void NewLine();

  const bool pretty_;
  std::string text_;
  int depth_ = 0;
  bool first_ = true;
  bool after_key_ = false;
};

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_JSON_TEXT_H_
