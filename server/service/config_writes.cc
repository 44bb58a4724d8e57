#include "server/service/config_writes.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "consul/validate.h"

namespace meshgate::server {
namespace {

std::string FieldOf(std::string_view path, const char* name) { return absl::StrCat(ToAbsl(path), name); }

template <typename Request>
std::optional<uint64_t> IfModifyIndex(const Request& request) {
  if (!request.has_if_modify_index()) return std::nullopt;
  return request.if_modify_index();
}

// A transaction is made in one datacenter.
absl::Status CheckDatacenter(const std::string& path, const std::string& datacenter, const std::string& of_commit) {
  if (datacenter.empty() || datacenter == of_commit) return absl::OkStatus();
  return InvalidField(FieldOf(path, "datacenter"), "must be the commit's datacenter, or empty");
}

absl::StatusOr<consul::KvOperation> ParseOperation(const std::string& path,
                                                   const v1::CommitConfigRequest::Operation& operation,
                                                   const std::string& datacenter) {
  switch (operation.operation_case()) {
    case v1::CommitConfigRequest::Operation::kPut: {
      const std::string put_path = absl::StrCat(path, ".put.");
      absl::StatusOr<consul::PutOperation> put = ParsePut(put_path, operation.put());
      if (!put.ok()) return put.status();
      if (absl::Status s = CheckDatacenter(put_path, operation.put().datacenter(), datacenter); !s.ok()) return s;
      return consul::KvOperation(*std::move(put));
    }
    case v1::CommitConfigRequest::Operation::kDelete: {
      const std::string delete_path = absl::StrCat(path, ".delete.");
      absl::StatusOr<consul::KvOperation> remove = ParseDelete(delete_path, operation.delete_());
      if (!remove.ok()) return remove.status();
      if (absl::Status s = CheckDatacenter(delete_path, operation.delete_().datacenter(), datacenter); !s.ok()) {
        return s;
      }
      return remove;
    }
    case v1::CommitConfigRequest::Operation::OPERATION_NOT_SET:
      break;
  }
  return InvalidField(absl::StrCat(path, ".operation"), "required: put or delete");
}

}  // namespace

absl::StatusOr<consul::PutOperation> ParsePut(std::string_view path, const v1::PutConfigRequest& request) {
  if (absl::Status s = consul::ValidateKey(FieldOf(path, "key"), request.key()); !s.ok()) return s;
  if (absl::Status s = consul::ValidateValue(FieldOf(path, "value"), request.value()); !s.ok()) return s;
  consul::PutOperation put;
  put.entry.key = request.key();
  put.entry.value = request.value();
  put.entry.flags = request.flags();
  put.if_modify_index = IfModifyIndex(request);
  return put;
}

absl::StatusOr<consul::KvOperation> ParseDelete(std::string_view path, const v1::DeleteConfigRequest& request) {
  switch (request.target_case()) {
    case v1::DeleteConfigRequest::kKey:
      if (absl::Status s = consul::ValidateKey(FieldOf(path, "key"), request.key()); !s.ok()) return s;
      return consul::KvOperation(consul::DeleteKeyOperation{request.key(), IfModifyIndex(request)});
    case v1::DeleteConfigRequest::kPrefix: {
      const std::string field = FieldOf(path, "prefix");
      if (request.prefix().empty()) {
        return InvalidField(field, "must not be empty: that would delete every key", reason::kInvalidKey);
      }
      if (request.has_if_modify_index()) {
        return InvalidField(FieldOf(path, "if_modify_index"), "only with key, not with prefix");
      }
      if (absl::Status s = consul::ValidatePrefix(field, request.prefix()); !s.ok()) return s;
      return consul::KvOperation(consul::DeletePrefixOperation{request.prefix()});
    }
    case v1::DeleteConfigRequest::TARGET_NOT_SET:
      break;
  }
  return InvalidField(FieldOf(path, "target"), "required: key or prefix");
}

absl::StatusOr<std::vector<consul::KvOperation>> ParseCommit(const v1::CommitConfigRequest& request) {
  std::vector<consul::KvOperation> operations;
  // More of them are refused for their number, whatever they are.
  if (static_cast<size_t>(request.operations_size()) > consul::kMaxCommitOperations) {
    operations.resize(request.operations_size());
    return consul::ValidateCommitSize("operations", operations);
  }
  for (int i = 0; i < request.operations_size(); ++i) {
    absl::StatusOr<consul::KvOperation> operation =
        ParseOperation(absl::StrCat("operations[", i, "]"), request.operations(i), request.datacenter());
    if (!operation.ok()) return operation.status();
    operations.push_back(*std::move(operation));
  }
  if (absl::Status s = consul::ValidateCommitSize("operations", operations); !s.ok()) return s;
  return operations;
}

}  // namespace meshgate::server
