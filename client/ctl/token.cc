#include "client/ctl/token.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace meshgate::ctl {
namespace {

struct Choice {
  // As the user knows it; empty: there is none.
  std::string name;
  std::string file;
  std::string token;
};

Choice Choose(const Invocation& invocation, const Variables& variables) {
  if (!invocation.token_file.empty()) return {"--token-file", invocation.token_file, ""};
  for (const auto& [file, token] :
       {std::pair("MESHGATE_TOKEN_FILE", "MESHGATE_TOKEN"), std::pair("CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_TOKEN")}) {
    if (std::string path = variables(file); !path.empty()) return {absl::StrCat("$", file), std::move(path), ""};
    if (std::string text = variables(token); !text.empty()) return {absl::StrCat("$", token), "", std::move(text)};
  }
  return {};
}

}  // namespace

absl::StatusOr<std::shared_ptr<client::TokenSource>> ChooseToken(const Invocation& invocation,
                                                                 const Variables& variables) {
  if (variables == nullptr && invocation.token_file.empty()) return nullptr;
  Choice choice = Choose(invocation, variables);
  if (choice.name.empty()) return nullptr;
  if (!invocation.tls.has_value() && !invocation.insecure_token && !client::StaysOnHost(invocation.endpoint)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the token of ", choice.name, " is not sent to ", invocation.endpoint,
        " in plain text, where the network can read it: give --tls or --ca-file, or --insecure-token if it may"));
  }
  if (choice.file.empty()) {
    if (absl::Status status = client::CheckToken(choice.token, choice.name); !status.ok()) return status;
    return client::StaticToken(std::move(choice.token));
  }
  std::shared_ptr<client::TokenSource> source = client::TokenFile(choice.file);
  if (const auto token = source->Token(); !token.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(choice.name, ": ", token.status().message()));
  }
  return source;
}

}  // namespace meshgate::ctl
