#include "consul/last_known/codec.h"

#include <openssl/sha.h>

#include <boost/endian/conversion.hpp>
#include <utility>

#include "consul/last_known/stored.pb.h"

namespace meshgate::consul::last_known {
namespace {

namespace pb = ::meshgate::last_known;

const unsigned char* Unsigned(const char* bytes) { return reinterpret_cast<const unsigned char*>(bytes); }
unsigned char* Unsigned(char* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

void Encode(const KvEntry& entry, pb::Record::Entry* out) {
  out->set_key(entry.key);
  out->set_value(entry.value);
  out->set_flags(entry.flags);
  out->set_create_index(entry.create_index);
  out->set_modify_index(entry.modify_index);
  out->set_lock_index(entry.lock_index);
  out->set_session(entry.session);
}

KvEntry Decode(const pb::Record::Entry& entry) {
  return {entry.key(),          entry.value(),      entry.flags(),  entry.create_index(),
          entry.modify_index(), entry.lock_index(), entry.session()};
}

void Encode(const Instance& instance, pb::Record::Instance* out) {
  out->set_id(instance.id);
  out->set_service(instance.service);
  out->set_address(instance.address);
  out->set_port(instance.port);
  for (const std::string& tag : instance.tags) out->add_tags(tag);
  for (const auto& [key, value] : instance.meta) {
    auto* pair = out->add_meta();
    pair->set_key(key);
    pair->set_value(value);
  }
  out->set_weight_passing(instance.weight_passing);
  out->set_weight_warning(instance.weight_warning);
  out->set_node(instance.node);
  out->set_datacenter(instance.datacenter);
  out->set_health(static_cast<int32_t>(instance.health));
  out->set_create_index(instance.create_index);
  out->set_modify_index(instance.modify_index);
}

Instance Decode(const pb::Record::Instance& stored) {
  Instance instance;
  instance.id = stored.id();
  instance.service = stored.service();
  instance.address = stored.address();
  instance.port = stored.port();
  instance.tags.assign(stored.tags().begin(), stored.tags().end());
  for (const auto& pair : stored.meta()) instance.meta.emplace(pair.key(), pair.value());
  instance.weight_passing = stored.weight_passing();
  instance.weight_warning = stored.weight_warning();
  instance.node = stored.node();
  instance.datacenter = stored.datacenter();
  instance.health = static_cast<Health>(stored.health());
  instance.create_index = stored.create_index();
  instance.modify_index = stored.modify_index();
  return instance;
}

void Encode(const Target& target, pb::StoredTarget* out) {
  out->set_kind(static_cast<int32_t>(target.kind));
  out->set_name(target.name);
  out->set_datacenter(target.datacenter);
  out->set_filter(target.filter);
}

template <typename Message>
bool Parse(std::string_view bytes, Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

std::string Checksum(std::string_view bytes) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(Unsigned(bytes.data()), bytes.size(), hash);
  return std::string(reinterpret_cast<const char*>(hash), kChecksumBytes);
}

void ChecksumOfRecords::Add(std::string_view checksum) {
  const uint64_t low = boost::endian::load_little_u64(Unsigned(checksum.data()));
  low_ += low;
  high_ += boost::endian::load_little_u64(Unsigned(checksum.data()) + 8) + (low_ < low ? 1 : 0);
}

std::string ChecksumOfRecords::ToBytes() const {
  std::string bytes(kChecksumBytes, '\0');
  boost::endian::store_little_u64(Unsigned(bytes.data()), low_);
  boost::endian::store_little_u64(Unsigned(bytes.data()) + 8, high_);
  return bytes;
}

size_t CountRecords(TargetKind kind, const State& state) {
  switch (kind) {
    case TargetKind::kKey:
    case TargetKind::kPrefix:
      return state.entries.size();
    case TargetKind::kService:
      return state.instances.size();
    case TargetKind::kCatalog:
      return state.services.size();
    case TargetKind::kQuery:
      break;
  }
  return 0;
}

std::string RecordIdentity(TargetKind kind, const State& state, size_t i) {
  switch (kind) {
    case TargetKind::kKey:
    case TargetKind::kPrefix:
      return state.entries[i].key;
    case TargetKind::kService:
      return InstanceIdentity(state.instances[i]);
    case TargetKind::kCatalog:
      return state.services[i].name;
    case TargetKind::kQuery:
      break;
  }
  return "";
}

std::string EncodeRecord(TargetKind kind, const State& state, size_t i) {
  pb::Record record;
  switch (kind) {
    case TargetKind::kKey:
    case TargetKind::kPrefix:
      Encode(state.entries[i], record.mutable_entry());
      break;
    case TargetKind::kService:
      Encode(state.instances[i], record.mutable_instance());
      break;
    case TargetKind::kCatalog:
      record.mutable_service()->set_name(state.services[i].name);
      for (const std::string& tag : state.services[i].tags) record.mutable_service()->add_tags(tag);
      break;
    case TargetKind::kQuery:
      break;
  }
  return record.SerializeAsString();
}

bool DecodeRecord(TargetKind kind, std::string_view identity, std::string_view bytes, State* state) {
  pb::Record record;
  if (!Parse(bytes, &record)) return false;
  switch (kind) {
    case TargetKind::kKey:
    case TargetKind::kPrefix:
      if (!record.has_entry()) return false;
      state->entries.push_back(Decode(record.entry()));
      return state->entries.back().key == identity;
    case TargetKind::kService:
      if (!record.has_instance()) return false;
      state->instances.push_back(Decode(record.instance()));
      return InstanceIdentity(state->instances.back()) == identity;
    case TargetKind::kCatalog: {
      if (!record.has_service()) return false;
      const auto& tags = record.service().tags();
      state->services.push_back({record.service().name(), {tags.begin(), tags.end()}});
      return state->services.back().name == identity;
    }
    case TargetKind::kQuery:
      break;
  }
  return false;
}

std::string EncodeHeader(const Header& header) {
  pb::Header out;
  Encode(header.target, out.mutable_target());
  out.set_index(header.index);
  out.mutable_confirmed()->set_wall_micros(absl::ToUnixMicros(header.confirmed.wall));
  out.mutable_confirmed()->set_boot_id(header.confirmed.boot_id);
  out.mutable_confirmed()->set_boot_micros(absl::ToInt64Microseconds(header.confirmed.since_boot));
  out.set_records(header.records);
  out.set_checksum(header.checksum);
  out.set_bytes(header.bytes);
  return out.SerializeAsString();
}

std::optional<Header> DecodeHeader(std::string_view bytes) {
  pb::Header stored;
  if (!Parse(bytes, &stored)) return std::nullopt;
  if (stored.target().kind() < 0 || stored.target().kind() >= kTargetKinds) return std::nullopt;
  Header header;
  header.target.kind = static_cast<TargetKind>(stored.target().kind());
  header.target.name = stored.target().name();
  header.target.datacenter = stored.target().datacenter();
  header.target.filter = stored.target().filter();
  header.index = stored.index();
  header.confirmed.wall = absl::FromUnixMicros(stored.confirmed().wall_micros());
  header.confirmed.boot_id = stored.confirmed().boot_id();
  header.confirmed.since_boot = absl::Microseconds(stored.confirmed().boot_micros());
  header.records = stored.records();
  header.checksum = stored.checksum();
  header.bytes = stored.bytes();
  return header;
}

std::string EncodeTarget(const Target& target) {
  pb::StoredTarget out;
  Encode(target, &out);
  return out.SerializeAsString();
}

}  // namespace meshgate::consul::last_known
