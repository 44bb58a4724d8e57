// The writes of ConsulBackend to keys.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/http/bodies.h"
#include "consul/http/consul_backend.h"
#include "consul/http/parse.h"
#include "consul/http/paths.h"
#include "consul/http/status_map.h"

namespace meshgate::consul::http {
namespace {

// A transaction answers with the entry's indexes, but its whole body is held to 512 KiB where a plain write's value is.
constexpr size_t kMaxTxnBytes = 500 << 10;

// Of the base64 of a value, roughly: tells early that a transaction is out of the question.
size_t EncodedBytes(const KvEntry& entry) { return entry.value.size() / 3 * 4 + entry.key.size(); }

KvEntry WithoutValue(const KvEntry& entry) {
  KvEntry out;
  out.key = entry.key;
  out.flags = entry.flags;
  return out;
}

}  // namespace

CallHandle ConsulBackend::PutKey(const KvEntry& entry, std::optional<uint64_t> if_modify_index,
                                 const WriteOptions& options, Callback<KvEntry> done) {
  if (EncodedBytes(entry) <= kMaxTxnBytes) {
    std::string body = TxnPutBody(entry, if_modify_index);
    if (body.size() <= kMaxTxnBytes) {
      return PutWithTxn(std::move(body), entry, if_modify_index.has_value(), options, std::move(done));
    }
  }
  return PutPlain(entry, if_modify_index, options, std::move(done));
}

CallHandle ConsulBackend::PutWithTxn(std::string body, const KvEntry& entry, bool compares, const WriteOptions& options,
                                     Callback<KvEntry> done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  Request request;
  request.method = Method::kPut;
  request.target = Target("/v1/txn").QueryUnlessEmpty("dc", options.datacenter).str();
  request.body = std::move(body);
  calls_.Send(call, Endpoint::kTxn, std::move(request),
              [result = WithoutValue(entry), compares, done = std::move(done)](Response response, absl::Time) mutable {
                absl::Status status = StatusOf({Endpoint::kTxn, /*write=*/true, compares}, response);
                if (!status.ok()) return done(std::move(status));
                absl::StatusOr<std::vector<KvEntry>> written = ParseTxn(std::move(response.body));
                if (!written.ok()) return done(std::move(written).status());
                if (written->size() != 1 || written->front().key != result.key) {
                  return done(MakeError(absl::StatusCode::kInternal, reason::kNotConsul,
                                        "the answer is not one that Consul gives: it is not about the key written"));
                }
                result.create_index = written->front().create_index;
                result.modify_index = written->front().modify_index;
                done(std::move(result));
              });
  return call;
}

CallHandle ConsulBackend::PutPlain(const KvEntry& entry, std::optional<uint64_t> if_modify_index,
                                   const WriteOptions& options, Callback<KvEntry> done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  Target target("/v1/kv/");
  target.Key(entry.key).QueryUnlessEmpty("dc", options.datacenter).Query("flags", absl::StrCat(entry.flags));
  if (if_modify_index.has_value()) target.Query("cas", absl::StrCat(*if_modify_index));
  Request request;
  request.method = Method::kPut;
  request.target = target.str();
  request.body = entry.value;

  Request look;
  look.target = Target("/v1/kv/").Key(entry.key).QueryUnlessEmpty("dc", options.datacenter).Flag("consistent").str();
  // It has been written by now: whatever this read says, the write succeeded.
  auto looked = [entry](Response response) {
    KvEntry result = WithoutValue(entry);
    if (!StatusOf({Endpoint::kKv}, response).ok() || response.code != 200) return result;
    const absl::StatusOr<std::vector<KvEntry>> found = ParseEntries(std::move(response.body));
    if (!found.ok() || found->size() != 1) return result;
    const KvEntry& now = found->front();
    if (now.key == entry.key && now.value == entry.value && now.flags == entry.flags) {
      result.create_index = now.create_index;
      result.modify_index = now.modify_index;
    }
    return result;
  };
  SendWrite(call, Endpoint::kKv, std::move(request),
            [this, call, look = std::move(look), looked = std::move(looked),
             done = std::move(done)](absl::Status status) mutable {
              if (!status.ok()) return done(std::move(status));
              calls_.Send(call, Endpoint::kKv, std::move(look),
                          [looked = std::move(looked), done = std::move(done)](Response response, absl::Time) mutable {
                            done(looked(std::move(response)));
                          });
            });
  return call;
}

CallHandle ConsulBackend::DeleteKey(const std::string& key, std::optional<uint64_t> if_modify_index,
                                    const WriteOptions& options, DoneCallback done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  Target target("/v1/kv/");
  target.Key(key).QueryUnlessEmpty("dc", options.datacenter);
  if (if_modify_index.has_value()) target.Query("cas", absl::StrCat(*if_modify_index));
  Request request;
  request.method = Method::kDelete;
  request.target = target.str();
  SendWrite(call, Endpoint::kKv, std::move(request), std::move(done));
  return call;
}

// As a transaction: a prefix may end in dots, which a path must not.
CallHandle ConsulBackend::DeletePrefix(const std::string& prefix, const WriteOptions& options, DoneCallback done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  Request request;
  request.method = Method::kPut;
  request.target = Target("/v1/txn").QueryUnlessEmpty("dc", options.datacenter).str();
  request.body = TxnDeletePrefixBody(prefix);
  calls_.Send(call, Endpoint::kTxn, std::move(request),
              [done = std::move(done)](Response response, absl::Time) mutable {
                absl::Status status = StatusOf({Endpoint::kTxn, /*write=*/true}, response);
                if (status.ok()) status = ParseTxn(std::move(response.body)).status();
                done(std::move(status));
              });
  return call;
}

}  // namespace meshgate::consul::http
