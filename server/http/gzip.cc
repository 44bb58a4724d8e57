#include "server/http/gzip.h"

#include <zlib.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "consul/base/strings.h"

namespace meshgate::server {
namespace {

// Smaller ones fit a packet or two, and would be slower.
constexpr size_t kLeast = 4 << 10;
// Most of what there is to gain for a fraction of the time: JSON packs well at any level.
constexpr int kLevel = 1;
// deflateInit2()'s way to ask for gzip's format.
constexpr int kGzipWindow = 15 + 16;
constexpr int kMemoryLevel = 8;

// Nothing where it does not get smaller.
std::optional<std::string> Packed(const std::string& body) {
  z_stream stream = {};
  if (deflateInit2(&stream, kLevel, Z_DEFLATED, kGzipWindow, kMemoryLevel, Z_DEFAULT_STRATEGY) != Z_OK) {
    return std::nullopt;
  }
  std::string packed(body.size(), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const bool whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (!whole) return std::nullopt;
  return packed;
}

}  // namespace

bool AcceptsGzip(std::string_view accept_encoding) {
  std::optional<bool> any;
  for (absl::string_view one : absl::StrSplit(ToAbsl(accept_encoding), ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(one, ';');
    const std::string coding = absl::AsciiStrToLower(absl::StripAsciiWhitespace(parts[0]));
    double weight = 1;
    for (size_t i = 1; i < parts.size(); ++i) {
      absl::string_view parameter = absl::StripAsciiWhitespace(parts[i]);
      if (absl::ConsumePrefix(&parameter, "q=") && !absl::SimpleAtod(parameter, &weight)) weight = 0;
    }
    if (coding == "gzip") return weight > 0;
    if (coding == "*") any = weight > 0;
  }
  return any.value_or(false);
}

HttpFilter GzipFilter() {
  return [](const HttpRequest& request, HttpReply reply) -> HttpReply {
    const bool accepts = AcceptsGzip(request.header("accept-encoding"));
    return [accepts, reply = std::move(reply)](HttpResponse response) mutable {
      if (!response.streamed && response.body.size() >= kLeast) {
        response.headers.emplace_back("Vary", "Accept-Encoding");
        std::optional<std::string> packed = accepts ? Packed(response.body) : std::nullopt;
        if (packed.has_value()) {
          response.body = *std::move(packed);
          response.headers.emplace_back("Content-Encoding", "gzip");
        }
      }
      reply(std::move(response));
    };
  };
}

}  // namespace meshgate::server
