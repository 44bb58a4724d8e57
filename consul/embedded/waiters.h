#ifndef MESHGATE_CONSUL_EMBEDDED_WAITERS_H_
#define MESHGATE_CONSUL_EMBEDDED_WAITERS_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "consul/reporter.h"

namespace meshgate::consul::embedded {

// A query that waits for a change of what it reads.
class Waiter {
 public:
  Waiter(TargetKind kind, std::string name) : kind_(kind), name_(std::move(name)) {}
  virtual ~Waiter() = default;

  TargetKind kind() const { return kind_; }
  // The key, the prefix or the service; empty for the catalog.
  const std::string& name() const { return name_; }

 private:
  friend class Waiters;
  static constexpr size_t kNowhere = static_cast<size_t>(-1);

  const TargetKind kind_;
  const std::string name_;
  // In its list of Waiters.
  size_t position_ = kNowhere;
};
using SharedWaiter = std::shared_ptr<Waiter>;

// Who waits for what. A change finds those concerned without looking at the others: keys and services by hash, prefixes
// by hashing the beginnings of the changed key of those lengths that some waiter has. Thread-compatible.
class Waiters {
 public:
  void Add(SharedWaiter waiter);
  // Nothing happens where it is not waiting any more.
  void Remove(Waiter* waiter);

  // Move whoever waits for a change of this to the end of `out`: the key itself and all prefixes of it, a service, the
  // catalog, anything.
  void TakeKey(const std::string& key, std::vector<SharedWaiter>& out);
  void TakeService(const std::string& service, std::vector<SharedWaiter>& out);
  void TakeCatalog(std::vector<SharedWaiter>& out);
  void TakeAll(std::vector<SharedWaiter>& out);

  size_t size() const { return size_; }

 private:
  using List = std::vector<SharedWaiter>;
  using ByName = absl::flat_hash_map<std::string, List>;

  ByName& lists(TargetKind kind) { return lists_[static_cast<size_t>(kind)]; }
  void Take(TargetKind kind, std::string_view name, std::vector<SharedWaiter>& out);
  void ForgetLength(size_t length);

  ByName lists_[kTargetKinds];
  // How many distinct prefixes of each length are waited for.
  std::map<size_t, size_t> prefix_lengths_;
  size_t size_ = 0;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_WAITERS_H_
