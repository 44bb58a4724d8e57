#include "server/first_steps.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meshgate::server {
namespace {

// meshgatectl's default.
constexpr char kDefaultEndpoint[] = "127.0.0.1:50051";

// What to connect to from this host.
std::string FromHere(const std::string& address) {
  constexpr absl::string_view kAny = "0.0.0.0:", kAny6 = "[::]:";
  if (absl::StartsWith(address, kAny)) return absl::StrCat("127.0.0.1:", address.substr(kAny.size()));
  if (absl::StartsWith(address, kAny6)) return absl::StrCat("[::1]:", address.substr(kAny6.size()));
  return address;
}

}  // namespace

std::string FirstSteps(const std::string& folder, const std::vector<std::string>& grpc_addresses,
                       const std::string& http_address, const FirstStepsTls& tls) {
  const std::string endpoint = grpc_addresses.empty() ? "" : FromHere(grpc_addresses.front());
  std::string option = endpoint == kDefaultEndpoint ? "" : absl::StrCat(" --endpoint ", endpoint);
  if (tls.grpc) absl::StrAppend(&option, " --ca-file CA.pem");
  if (tls.grpc_client) absl::StrAppend(&option, " --cert-file CERTIFICATE.pem --key-file KEY.pem");
  // Over TLS a browser or curl has to be told whom to trust first.
  const std::string curl =
      tls.http ? ""
               : absl::StrCat("  curl -N 'http://", FromHere(http_address), "/api/v1/watch/config?prefix=demo/'\n");
  return absl::StrCat("\nmeshgate: gRPC on ", absl::StrJoin(grpc_addresses, ", "), ", HTTP on ",
                      tls.http ? "https://" : "http://", FromHere(http_address), "\nTry in another terminal, in ",
                      folder, ":\n\n",                                            //
                      "  bin/meshgatectl put demo/greeting hello", option, "\n",  //
                      "  bin/meshgatectl get demo/greeting", option, "\n",        //
                      "  bin/meshgatectl watch --prefix demo/", option, "\n",     //
                      curl, "\nCtrl-C stops it.\n\n");
}

}  // namespace meshgate::server
