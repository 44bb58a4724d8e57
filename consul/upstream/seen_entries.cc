#include "consul/upstream/seen_entries.h"

#include <utility>

#include "absl/hash/hash.h"

namespace meshgate::consul {
namespace {

// Names and indexes in JSON.
constexpr size_t kBytesPerEntry = 128;

size_t BytesOf(const KvEntry& entry) {
  // A value travels as base64.
  return kBytesPerEntry + entry.key.size() + entry.value.size() / 3 * 4;
}

}  // namespace

std::vector<std::string> SeenEntries::Update(const std::vector<KvEntry>& entries) {
  std::vector<std::string> changed;
  std::vector<Seen> now;
  now.reserve(entries.size());
  bytes_ = 0;
  auto before = seen_.begin();
  for (const KvEntry& entry : entries) {
    bytes_ += BytesOf(entry);
    while (before != seen_.end() && before->key < entry.key) changed.push_back(std::move((before++)->key));
    const size_t value_hash = absl::HashOf(entry.value);
    if (before == seen_.end() || before->key != entry.key) {
      changed.push_back(entry.key);
      now.push_back({entry.key, entry.create_index, entry.modify_index, entry.flags, value_hash});
      continue;
    }
    if (before->modify_index != entry.modify_index || before->create_index != entry.create_index ||
        before->flags != entry.flags || before->value_hash != value_hash) {
      changed.push_back(entry.key);
    }
    now.push_back({std::move(before->key), entry.create_index, entry.modify_index, entry.flags, value_hash});
    ++before;
  }
  for (; before != seen_.end(); ++before) changed.push_back(std::move(before->key));
  seen_ = std::move(now);
  return changed;
}

size_t AnswerBytes(const std::vector<KvEntry>& entries) {
  size_t bytes = 0;
  for (const KvEntry& entry : entries) bytes += BytesOf(entry);
  return bytes;
}

}  // namespace meshgate::consul
