#include "consul/reporter.h"

namespace meshgate::consul {

std::string_view ToString(TargetKind kind) {
  switch (kind) {
    case TargetKind::kKey:
      return "key";
    case TargetKind::kPrefix:
      return "prefix";
    case TargetKind::kService:
      return "service";
    case TargetKind::kCatalog:
      return "catalog";
    case TargetKind::kQuery:
      return "query";
  }
  return "";
}

std::string_view ToString(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kKv:
      return "kv";
    case Endpoint::kTxn:
      return "txn";
    case Endpoint::kHealthService:
      return "health_service";
    case Endpoint::kCatalog:
      return "catalog";
    case Endpoint::kAgentService:
      return "agent_service";
    case Endpoint::kAgentCheck:
      return "agent_check";
    case Endpoint::kStatus:
      return "status";
    case Endpoint::kAuthorize:
      return "authorize";
    case Endpoint::kHealth:
      return "health";
    case Endpoint::kAgent:
      return "agent";
    case Endpoint::kSession:
      return "session";
    case Endpoint::kAcl:
      return "acl";
    case Endpoint::kOther:
      return "other";
  }
  return "";
}

std::string_view ToString(StateStoreReporter::Operation operation) {
  switch (operation) {
    case StateStoreReporter::Operation::kOpen:
      return "open";
    case StateStoreReporter::Operation::kLoad:
      return "load";
    case StateStoreReporter::Operation::kSave:
      return "save";
  }
  return "";
}

}  // namespace meshgate::consul
