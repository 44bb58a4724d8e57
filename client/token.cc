#include "client/token.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "grpcpp/client_context.h"

namespace meshgate::client {
namespace {

constexpr char kMetadata[] = "x-consul-token";
constexpr size_t kMaxTokenBytes = 4096;

class Static final : public TokenSource {
 public:
  explicit Static(std::string token) : token_(std::move(token)), status_(CheckToken(token_, "the token")) {}
  absl::StatusOr<std::string> Token() override {
    if (!status_.ok()) return status_;
    return token_;
  }

 private:
  const std::string token_;
  const absl::Status status_;
};

class File final : public TokenSource {
 public:
  explicit File(std::string path) : path_(std::move(path)) {}

  absl::StatusOr<std::string> Token() override {
    std::lock_guard<std::mutex> lock(mu_);
    const std::optional<Version> version = Look();
    if (!version.has_value() || version != version_) {
      absl::StatusOr<std::string> read = Read();
      if (read.ok()) {
        token_ = *std::move(read);
        version_ = version;
      } else if (token_.empty()) {
        return read.status();
      }
    }
    return token_;
  }

 private:
  // What differs when a file is written or replaced.
  using Version = std::tuple<dev_t, ino_t, off_t, time_t, long>;

  std::optional<Version> Look() const {
    struct stat file;
    if (stat(path_.c_str(), &file) != 0) return std::nullopt;
    return Version(file.st_dev, file.st_ino, file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec);
  }

  absl::StatusOr<std::string> Read() const {
    errno = 0;
    std::ifstream in(path_, std::ios::binary);
    // With room for white space, and no more of a file that is something else.
    std::string text(2 * kMaxTokenBytes, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    // A folder opens, and does not read.
    if (!in.is_open() || in.bad() || (in.gcount() == 0 && errno != 0)) {
      return absl::FailedPreconditionError(absl::StrCat("cannot read the token in ", path_, ": ", strerror(errno)));
    }
    text.resize(static_cast<size_t>(in.gcount()));
    std::string token(absl::StripAsciiWhitespace(text));
    if (absl::Status status = CheckToken(token, path_); !status.ok()) return status;
    return token;
  }

  const std::string path_;
  std::mutex mu_;
  // Guarded by mu_, as what follows. Of the file that `token_` is from.
  std::optional<Version> version_;
  std::string token_;
};

}  // namespace

std::shared_ptr<TokenSource> StaticToken(std::string token) { return std::make_shared<Static>(std::move(token)); }

std::shared_ptr<TokenSource> TokenFile(std::string path) { return std::make_shared<File>(std::move(path)); }

absl::Status CheckToken(const std::string& token, const std::string& source) {
  const bool printable = std::all_of(token.begin(), token.end(),
                                     [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
  if (!token.empty() && token.size() <= kMaxTokenBytes && printable) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(source, token.empty() ? " is empty" : " is no token",
                                                    ": one of Consul's has 1 to ", kMaxTokenBytes,
                                                    " printable characters without spaces"));
}

bool StaysOnHost(const std::string& endpoint) {
  absl::string_view rest = endpoint;
  if (absl::StartsWith(rest, "unix:") || absl::StartsWith(rest, "unix-abstract:")) return true;
  absl::ConsumePrefix(&rest, "dns:///");
  const absl::string_view host = rest.substr(0, rest.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  in_addr v4;
  // A name that begins like an address is none.
  return inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1 && ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
}

void AttachToken(const std::string& token, grpc::ClientContext* context) {
  if (!token.empty()) context->AddMetadata(kMetadata, token);
}

}  // namespace meshgate::client
