#ifndef MESHGATE_CONSUL_UPSTREAM_SHARED_QUERY_H_
#define MESHGATE_CONSUL_UPSTREAM_SHARED_QUERY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "consul/upstream/seen_entries.h"
#include "consul/upstream/upstream_watch.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

class UpstreamMember;
class UpstreamPool;

// A recursive query that watches several members of an UpstreamPool, and who they are.
class SharedQuery final : public UpstreamWatch::Listener, public std::enable_shared_from_this<SharedQuery> {
 public:
  // No answer may be larger on its way.
  static constexpr size_t kMaxBytes = size_t{32} << 20;

  SharedQuery(std::weak_ptr<UpstreamPool> pool, std::string datacenter, std::string prefix)
      : datacenter_(std::move(datacenter)), prefix_(std::move(prefix)), pool_(std::move(pool)) {}

  const std::string& datacenter() const { return datacenter_; }
  const std::string& prefix() const { return prefix_; }

  // UpstreamWatch::Listener, called by the query's loop.
  bool OnState(const Fetched& fetched, bool reset) override;
  void OnConfirmed(absl::Time received) override;
  void OnFailure(const absl::Status& error, int consecutive) override;
  bool OnAsk() override;
  void OnSend(bool blocks) override;

 private:
  friend class UpstreamPool;

  // A member while it is one; its stint tells when it no longer is.
  using Joined = std::pair<std::shared_ptr<UpstreamMember>, uint64_t>;
  using MemberKey = std::pair<std::string_view, TargetKind>;

  void Add(const std::shared_ptr<UpstreamMember>& member);
  void Remove(const UpstreamMember& member);
  // Adds those that see a change of `key`.
  void FindWhoSees(const std::string& key, std::vector<UpstreamMember*>& found) const;

  const std::string datacenter_;
  const std::string prefix_;
  const std::weak_ptr<UpstreamPool> pool_;

  // ---- Guarded by the pool's lock.
  std::shared_ptr<UpstreamWatch> loop_;
  // By name and kind; the names are the members' own. A target may be there twice for a moment, while it is dropped and
  // watched again.
  std::multimap<MemberKey, UpstreamMember*> members_;
  // Of members that are prefixes: how long, and how many are so long.
  std::map<size_t, int> prefix_lengths_;
  // Joined since the last query was sent; and before it, without an answer yet.
  std::vector<Joined> joined_;
  std::vector<Joined> asked_;
  // The last answer, which the loop's thread alone replaces; and when it came, in a count of the pool's.
  SeenEntries seen_;
  uint64_t answered_ = 0;
  // When every member was last told that it is up to date.
  absl::Time confirmed_ = absl::InfinitePast();
  bool failing_ = false;
  // What answers hold, and how much it was when it was last compared with what the members need.
  size_t bytes_ = 0;
  size_t weighed_bytes_ = 0;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_SHARED_QUERY_H_
