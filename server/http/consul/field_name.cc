#include "server/http/consul/field_name.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "consul/base/strings.h"

namespace meshgate::server::consul_api {

std::string FieldName(std::string_view name) {
  return absl::AsciiStrToLower(absl::StrReplaceAll(ToAbsl(name), {{"_", ""}, {"\u212A", "k"}, {"\u017F", "s"}}));
}

}  // namespace meshgate::server::consul_api
