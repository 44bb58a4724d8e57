// ConsulBackend's commit: several writes as one transaction.
#include <string>
#include <utility>
#include <vector>

#include "consul/base/errors.h"
#include "consul/http/bodies.h"
#include "consul/http/consul_backend.h"
#include "consul/http/parse.h"
#include "consul/http/paths.h"
#include "consul/http/status_map.h"

namespace meshgate::consul::http {
namespace {

bool Compares(const KvOperation& operation) {
  if (const auto* put = std::get_if<PutOperation>(&operation)) return put->if_modify_index.has_value();
  if (const auto* remove = std::get_if<DeleteKeyOperation>(&operation)) return remove->if_modify_index.has_value();
  return false;
}

}  // namespace

CallHandle ConsulBackend::Commit(const std::vector<KvOperation>& operations, const WriteOptions& options,
                                 Callback<std::vector<KvEntry>> done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  Asked asked{Endpoint::kTxn, /*write=*/true};
  asked.commit = true;
  std::vector<std::string> keys;
  for (const KvOperation& operation : operations) {
    asked.compares = asked.compares || Compares(operation);
    if (const auto* put = std::get_if<PutOperation>(&operation)) keys.push_back(put->entry.key);
  }
  Request request;
  request.method = Method::kPut;
  request.target = Target("/v1/txn").QueryUnlessEmpty("dc", options.datacenter).str();
  request.body = TxnBody(operations);
  calls_.Send(call, Endpoint::kTxn, std::move(request),
              [asked, keys = std::move(keys), done = std::move(done)](Response response, absl::Time) mutable {
                absl::Status status = StatusOf(asked, response);
                if (!status.ok()) return done(std::move(status));
                // Deletions have no results.
                absl::StatusOr<std::vector<KvEntry>> written = ParseTxn(std::move(response.body));
                if (!written.ok()) return done(std::move(written).status());
                bool ours = written->size() == keys.size();
                for (size_t i = 0; ours && i < keys.size(); ++i) ours = (*written)[i].key == keys[i];
                if (!ours) {
                  return done(MakeError(absl::StatusCode::kInternal, reason::kNotConsul,
                                        "the answer is not one that Consul gives: it is not about the keys written"));
                }
                done(*std::move(written));
              });
  return call;
}

}  // namespace meshgate::consul::http
