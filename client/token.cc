#include "client/token.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "grpcpp/client_context.h"
#include "grpcpp/security/credentials.h"

namespace meshgate::client {
namespace {

constexpr char kMetadata[] = "x-consul-token";
// The gateway takes no more.
constexpr size_t kMaxTokenBytes = 256;
constexpr size_t kMaxFileBytes = 8192;

class TokenPlugin final : public grpc::MetadataCredentialsPlugin {
 public:
  explicit TokenPlugin(std::string token) : token_(std::move(token)) {}

  bool IsBlocking() const override { return false; }
  const char* GetType() const override { return kMetadata; }
  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    metadata->emplace(kMetadata, token_);
    return grpc::Status::OK;
  }
  grpc::string DebugString() override { return kMetadata; }

 private:
  const std::string token_;
};

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

  absl::Status CannotRead(int error) const {
    if (error == ENOENT && !absl::StrContains(path_, "/")) {
      return absl::FailedPreconditionError(
          "there is no file of the name that is given for the token's; it is not repeated here, as it may be a token: "
          "give a path such as ./NAME");
    }
    return absl::FailedPreconditionError(absl::StrCat("cannot read the token in ", path_, ": ", strerror(error)));
  }

  absl::StatusOr<std::string> Read() const {
    struct stat file;
    if (stat(path_.c_str(), &file) != 0) return CannotRead(errno);
    if (!S_ISREG(file.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat("cannot read the token in ", path_, ": not a regular file"));
    }
    errno = 0;
    std::ifstream in(path_, std::ios::binary);
    // With room for white space, and no more of a file that is something else.
    std::string text(kMaxFileBytes + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!in.is_open() || in.bad() || (in.gcount() == 0 && errno != 0)) return CannotRead(errno);
    text.resize(static_cast<size_t>(in.gcount()));
    if (text.size() > kMaxFileBytes) {
      return absl::FailedPreconditionError(
          absl::StrCat(path_, " holds more than ", kMaxFileBytes, " bytes, which is no token"));
    }
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

void AttachToken(const std::string& token, Wire wire, grpc::ClientContext* context) {
  if (token.empty()) return;
  if (wire == Wire::kAny) return context->AddMetadata(kMetadata, token);
  context->set_credentials(grpc::MetadataCredentialsFromPlugin(std::make_unique<TokenPlugin>(token)));
}

}  // namespace meshgate::client
