#include "server/service/config_handlers.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/validate.h"
#include "server/service/config_writes.h"
#include "server/service/convert.h"
#include "server/service/page_token.h"
#include "server/service/read_options.h"
#include "server/service/reader.h"
#include "server/service/validate_request.h"

namespace meshgate::server {
namespace {

constexpr int kDefaultPageSize = 1000;
constexpr int kMaxPageSize = 10000;
// A page ends early beyond it. One more entry of the largest size and all the framing still fit the 4 MiB that gRPC
// lets a client receive by default.
constexpr size_t kMaxPageBytes = 3 << 20;
// Tags, lengths and the three numbers of an entry, at most.
constexpr size_t kEntryOverheadBytes = 48;

struct ListParameters {
  std::string prefix;
  std::string datacenter;
  bool keys_only = false;
  int page_size = 0;
  std::string after;
};

v1::ListConfigResponse CutPage(const ReadResult& read, const ListParameters& list) {
  const std::vector<consul::KvEntry>& entries = read.state->entries;
  auto next = entries.begin();
  if (!list.after.empty()) {
    next = std::upper_bound(entries.begin(), entries.end(), list.after,
                            [](const std::string& after, const consul::KvEntry& entry) { return after < entry.key; });
  }
  v1::ListConfigResponse response;
  *response.mutable_info() = read.info;
  size_t bytes = 0;
  for (; next != entries.end() && response.entries_size() < list.page_size && bytes < kMaxPageBytes; ++next) {
    ToApi(*next, !list.keys_only, response.add_entries());
    bytes += kEntryOverheadBytes + next->key.size() + (list.keys_only ? 0 : next->value.size());
  }
  if (next != entries.end()) {
    response.set_next_page_token(
        EncodePageToken({std::prev(next)->key, read.info.index()}, list.prefix, list.datacenter));
  }
  return response;
}

absl::StatusOr<consul::WriteOptions> PlanWrite(const std::string& datacenter, const Caller& caller) {
  consul::WriteOptions options;
  if (absl::Status s = consul::ValidateDatacenter("datacenter", datacenter); !s.ok()) return s;
  options.datacenter = datacenter;
  absl::StatusOr<absl::Duration> timeout = CallTimeout(caller);
  if (!timeout.ok()) return timeout.status();
  options.timeout = *timeout;
  options.token = caller.token();
  return options;
}

auth::KeyWrite WriteOf(const consul::KvOperation& operation) {
  if (const auto* put = std::get_if<consul::PutOperation>(&operation)) return {put->entry.key, false};
  if (const auto* prefix = std::get_if<consul::DeletePrefixOperation>(&operation)) return {prefix->prefix, true};
  return {std::get<consul::DeleteKeyOperation>(operation).key, false};
}

absl::Status OfOperation(size_t number, const absl::Status& status) {
  absl::Status of(status.code(), absl::StrCat("operations[", number, "]: ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { of.SetPayload(url, payload); });
  return of;
}

struct WatchParameters {
  consul::Target target;
  std::optional<consul::ResumeToken> resume;
  absl::Duration progress_interval;
};

absl::StatusOr<WatchParameters> ParseWatch(const v1::WatchConfigRequest& request) {
  WatchParameters watch;
  switch (request.target_case()) {
    case v1::WatchConfigRequest::kKey:
      if (absl::Status s = consul::ValidateKey("key", request.key()); !s.ok()) return s;
      watch.target.kind = consul::TargetKind::kKey;
      watch.target.name = request.key();
      break;
    case v1::WatchConfigRequest::kPrefix:
      if (absl::Status s = consul::ValidatePrefix("prefix", request.prefix()); !s.ok()) return s;
      watch.target.kind = consul::TargetKind::kPrefix;
      watch.target.name = request.prefix();
      break;
    case v1::WatchConfigRequest::TARGET_NOT_SET:
      return InvalidField("target", "required: key or prefix; an empty prefix watches every key");
  }
  absl::StatusOr<std::optional<consul::ResumeToken>> resume = ParseResumeToken("resume_token", request.resume_token());
  if (!resume.ok()) return resume.status();
  watch.resume = *resume;
  if (absl::Status s = consul::ValidateDatacenter("datacenter", request.datacenter()); !s.ok()) return s;
  watch.target.datacenter = request.datacenter();
  if (absl::Status s = ValidateText("subscriber", request.subscriber(), kMaxSubscriberBytes); !s.ok()) return s;
  absl::StatusOr<absl::Duration> progress = ParseProgressInterval("progress_interval", request.progress_interval());
  if (!progress.ok()) return progress.status();
  watch.progress_interval = *progress;
  return watch;
}

}  // namespace

void ConfigHandlers::GetConfig(const v1::GetConfigRequest& request, const Caller& caller,
                               Reply<v1::GetConfigResponse> reply) {
  if (absl::Status s = consul::ValidateKey("key", request.key()); !s.ok()) return reply(s);
  absl::StatusOr<ReadPlan> plan = PlanRead(request.options(), caller);
  if (!plan.ok()) return reply(plan.status());

  consul::Target target;
  target.kind = consul::TargetKind::kKey;
  target.name = request.key();
  Read(sources_, std::move(target), *plan,
       [key = request.key(), reply = std::move(reply)](absl::StatusOr<ReadResult> read) mutable {
         if (!read.ok()) return reply(read.status());
         if (read->state->entries.empty()) {
           return reply(MakeError(
               absl::StatusCode::kNotFound, reason::kKeyNotFound,
               absl::StrCat("key \"", key, "\" does not exist: check its spelling, or create it with PutConfig")));
         }
         v1::GetConfigResponse response;
         ToApi(read->state->entries.front(), /*with_value=*/true, response.mutable_entry());
         *response.mutable_info() = std::move(read->info);
         reply(std::move(response));
       });
}

void ConfigHandlers::ListConfig(const v1::ListConfigRequest& request, const Caller& caller,
                                Reply<v1::ListConfigResponse> reply) {
  if (absl::Status s = consul::ValidatePrefix("prefix", request.prefix()); !s.ok()) return reply(s);
  if (request.page_size() < 0) return reply(InvalidField("page_size", "must not be negative"));
  absl::StatusOr<ReadPlan> plan = PlanRead(request.options(), caller);
  if (!plan.ok()) return reply(plan.status());

  ListParameters list;
  list.prefix = request.prefix();
  list.datacenter = plan->datacenter;
  list.keys_only = request.keys_only();
  list.page_size = request.page_size() == 0 ? kDefaultPageSize : std::min(request.page_size(), kMaxPageSize);
  if (!request.page_token().empty()) {
    absl::StatusOr<PagePosition> position = DecodePageToken(request.page_token(), list.prefix, list.datacenter);
    if (!position.ok()) return reply(position.status());
    list.after = std::move(position->after);
    plan->min_index = std::max(plan->min_index, position->index);
  }

  plan->page = {list.after, static_cast<size_t>(list.page_size)};
  consul::Target target;
  target.kind = consul::TargetKind::kPrefix;
  target.name = request.prefix();
  Read(sources_, std::move(target), *plan,
       [list = std::move(list), reply = std::move(reply)](absl::StatusOr<ReadResult> read) mutable {
         if (!read.ok()) return reply(read.status());
         reply(CutPage(*read, list));
       });
}

absl::Status ConfigHandlers::MayWrite(const Caller& caller, const auth::KeyWrite& write) const {
  return sources_.guard == nullptr ? absl::OkStatus() : sources_.guard->MayWriteKey(caller.identity, write);
}

void ConfigHandlers::PutConfig(const v1::PutConfigRequest& request, const Caller& caller,
                               Reply<v1::PutConfigResponse> reply) {
  absl::StatusOr<consul::PutOperation> put = ParsePut("", request);
  if (!put.ok()) return reply(put.status());
  absl::StatusOr<consul::WriteOptions> options = PlanWrite(request.datacenter(), caller);
  if (!options.ok()) return reply(options.status());

  if (absl::Status s = MayWrite(caller, {put->entry.key}); !s.ok()) return reply(s);
  sources_.backend->PutKey(
      put->entry, put->if_modify_index, *options,
      [identity = caller.identity, reply = std::move(reply)](absl::StatusOr<consul::KvEntry> written) mutable {
        if (!written.ok()) return reply(auth::ForCaller(identity, written.status()));
        v1::PutConfigResponse response;
        ToApi(*written, /*with_value=*/false, response.mutable_entry());
        reply(std::move(response));
      });
}

void ConfigHandlers::DeleteConfig(const v1::DeleteConfigRequest& request, const Caller& caller,
                                  Reply<v1::DeleteConfigResponse> reply) {
  absl::StatusOr<consul::KvOperation> operation = ParseDelete("", request);
  if (!operation.ok()) return reply(operation.status());
  absl::StatusOr<consul::WriteOptions> options = PlanWrite(request.datacenter(), caller);
  if (!options.ok()) return reply(options.status());

  if (absl::Status s = MayWrite(caller, WriteOf(*operation)); !s.ok()) return reply(s);
  auto done = [identity = caller.identity, reply = std::move(reply)](absl::Status deleted) mutable {
    if (!deleted.ok()) return reply(auth::ForCaller(identity, std::move(deleted)));
    reply(v1::DeleteConfigResponse());
  };
  if (const auto* prefix = std::get_if<consul::DeletePrefixOperation>(&*operation)) {
    sources_.backend->DeletePrefix(prefix->prefix, *options, std::move(done));
    return;
  }
  const auto& key = std::get<consul::DeleteKeyOperation>(*operation);
  sources_.backend->DeleteKey(key.key, key.if_modify_index, *options, std::move(done));
}

void ConfigHandlers::CommitConfig(const v1::CommitConfigRequest& request, const Caller& caller,
                                  Reply<v1::CommitConfigResponse> reply) {
  absl::StatusOr<consul::WriteOptions> options = PlanWrite(request.datacenter(), caller);
  if (!options.ok()) return reply(options.status());
  absl::StatusOr<std::vector<consul::KvOperation>> operations = ParseCommit(request);
  if (!operations.ok()) return reply(operations.status());

  for (size_t i = 0; i < operations->size(); ++i) {
    const absl::Status s = MayWrite(caller, WriteOf((*operations)[i]));
    if (!s.ok()) return reply(OfOperation(i, s));
  }
  sources_.backend->Commit(*operations, *options,
                           [identity = caller.identity,
                            reply = std::move(reply)](absl::StatusOr<std::vector<consul::KvEntry>> written) mutable {
                             if (!written.ok()) return reply(auth::ForCaller(identity, written.status()));
                             v1::CommitConfigResponse response;
                             for (const consul::KvEntry& entry : *written) {
                               ToApi(entry, /*with_value=*/false, response.add_entries());
                             }
                             reply(std::move(response));
                           });
}

void ConfigHandlers::WatchConfig(const v1::WatchConfigRequest& request, const Caller& caller,
                                 const std::shared_ptr<Outbox>& outbox) {
  absl::StatusOr<WatchParameters> watch = ParseWatch(request);
  if (!watch.ok()) {
    outbox->End(watch.status());
    return;
  }
  if (absl::Status taken = caller.TakeTarget(watch->target); !taken.ok()) {
    outbox->End(std::move(taken));
    return;
  }
  outbox->Start(Subscribe(sources_, caller.identity, watch->target, consul::View(), watch->resume, outbox.get()),
                watch->progress_interval);
}

}  // namespace meshgate::server
