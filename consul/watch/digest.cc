#include "consul/watch/digest.h"

#include <openssl/sha.h>

#include <boost/endian/conversion.hpp>
#include <cstring>
#include <string_view>

namespace meshgate::consul {
namespace {

// Lengths before strings, so that no two lists of fields make the same bytes.
class Fields {
 public:
  void Number(uint64_t value) {
    boost::endian::native_to_little_inplace(value);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void Text(std::string_view text) {
    Number(text.size());
    bytes_.append(text);
  }
  // The first 16 bytes of their SHA-256.
  std::pair<uint64_t, uint64_t> Hash() const {
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size(), hash);
    return {boost::endian::load_little_u64(hash), boost::endian::load_little_u64(hash + 8)};
  }

 private:
  std::string bytes_;
};

}  // namespace

Digest Digest::Hash(const KvEntry& entry) {
  Fields fields;
  fields.Text(entry.key);
  fields.Text(entry.value);
  fields.Number(entry.flags);
  fields.Number(entry.create_index);
  fields.Number(entry.modify_index);
  Digest digest;
  std::tie(digest.high_, digest.low_) = fields.Hash();
  return digest;
}

Digest Digest::Hash(const Instance& instance) {
  Fields fields;
  fields.Text(instance.node);
  fields.Text(instance.id);
  fields.Text(instance.service);
  fields.Text(instance.address);
  fields.Number(instance.port);
  fields.Number(instance.tags.size());
  for (const std::string& tag : instance.tags) fields.Text(tag);
  fields.Number(instance.meta.size());
  for (const auto& [key, value] : instance.meta) {
    fields.Text(key);
    fields.Text(value);
  }
  fields.Number(static_cast<uint64_t>(instance.weight_passing));
  fields.Number(static_cast<uint64_t>(instance.weight_warning));
  fields.Text(instance.datacenter);
  fields.Number(static_cast<uint64_t>(instance.health));
  fields.Number(instance.create_index);
  fields.Number(instance.modify_index);
  Digest digest;
  std::tie(digest.high_, digest.low_) = fields.Hash();
  return digest;
}

void Digest::Add(const Digest& other) {
  low_ += other.low_;
  high_ += other.high_ + (low_ < other.low_ ? 1 : 0);
}

void Digest::Subtract(const Digest& other) {
  const uint64_t borrow = low_ < other.low_ ? 1 : 0;
  low_ -= other.low_;
  high_ -= other.high_ + borrow;
}

std::string Digest::ToBytes() const {
  std::string bytes(16, '\0');
  boost::endian::store_little_u64(reinterpret_cast<unsigned char*>(bytes.data()), high_);
  boost::endian::store_little_u64(reinterpret_cast<unsigned char*>(bytes.data()) + 8, low_);
  return bytes;
}

Digest Digest::FromBytes(const std::string& bytes) {
  Digest digest;
  if (bytes.size() != 16) return digest;
  digest.high_ = boost::endian::load_little_u64(reinterpret_cast<const unsigned char*>(bytes.data()));
  digest.low_ = boost::endian::load_little_u64(reinterpret_cast<const unsigned char*>(bytes.data()) + 8);
  return digest;
}

Digest DigestOf(TargetKind kind, const State& state) {
  Digest digest;
  if (kind == TargetKind::kService) {
    for (const Instance& instance : state.instances) digest.Add(instance);
  } else {
    for (const KvEntry& entry : state.entries) digest.Add(entry);
  }
  return digest;
}

Digest UpdateDigest(TargetKind kind, Digest digest, const State& before, const State& after,
                    const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    if (kind == TargetKind::kService) {
      if (change.existed_before) digest.Remove(*FindInstance(before, change.identity));
      if (change.exists_now) digest.Add(*FindInstance(after, change.identity));
    } else {
      if (change.existed_before) digest.Remove(*FindEntry(before, change.identity));
      if (change.exists_now) digest.Add(*FindEntry(after, change.identity));
    }
  }
  return digest;
}

}  // namespace meshgate::consul
