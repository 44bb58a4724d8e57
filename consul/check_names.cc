#include "consul/check_names.h"

#include <variant>

#include "absl/strings/str_cat.h"

namespace meshgate::consul {
namespace {

struct KindName {
  const char* operator()(const HttpProbe&) const { return "HTTP"; }
  const char* operator()(const TcpProbe&) const { return "TCP"; }
  const char* operator()(const GrpcProbe&) const { return "gRPC"; }
  const char* operator()(const TtlProbe&) const { return "TTL"; }
};

}  // namespace

std::string CheckId(const Registration& registration, size_t position) {
  if (std::holds_alternative<TtlProbe>(registration.checks[position].probe)) return TtlCheckId(registration.id);
  return absl::StrCat("service:", registration.id, ":probe-", position + 1);
}

std::string TtlCheckId(const std::string& instance_id) { return absl::StrCat("service:", instance_id, ":ttl"); }

std::string CheckName(const Registration& registration, size_t position) {
  const CheckDefinition& check = registration.checks[position];
  if (!check.name.empty()) return check.name;
  return absl::StrCat(std::visit(KindName{}, check.probe), " check of ", registration.service);
}

}  // namespace meshgate::consul
