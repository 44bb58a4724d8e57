// Addresses of hosts, taken in the one notation that everybody reads alike: what "0x7f.1" or "127.0.0.1%lo" means is
// decided by who happens to parse it, so they are none here.
#ifndef MESHGATE_CONSUL_BASE_IP_ADDRESS_H_
#define MESHGATE_CONSUL_BASE_IP_ADDRESS_H_

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace meshgate {

// IPv4 or IPv6. An IPv4 address that is mapped into IPv6 (::ffff:10.0.0.1) is the IPv4 address, as it is to a socket.
class IpAddress {
 public:
  // "10.0.0.1" or "fe80::1", without brackets, zones and leading zeros; nullopt: something else.
  static std::optional<IpAddress> Parse(std::string_view text);
  // nullopt: of another family.
  static std::optional<IpAddress> Of(const sockaddr* address);

  bool is_v4() const;

  friend bool operator==(const IpAddress& a, const IpAddress& b) { return a.bytes_ == b.bytes_; }

 private:
  friend class IpRange;
  // IPv4 mapped into IPv6.
  std::array<uint8_t, 16> bytes_{};
};

// What begins with the same bits. IPv4 addresses are in ranges of IPv4 alone.
class IpRange {
 public:
  // "10.0.0.0/8", or an address, which is a range of one; nullopt: something else, or bits are set behind the prefix.
  static std::optional<IpRange> Parse(std::string_view text);

  bool Contains(const IpAddress& address) const;
  // All of `other` is in this.
  bool Contains(const IpRange& other) const { return other.bits_ >= bits_ && Contains(other.first_); }

 private:
  IpAddress first_;
  // Of 128, of an IPv4 range at least 96.
  int bits_ = 128;
};

}  // namespace meshgate

#endif  // MESHGATE_CONSUL_BASE_IP_ADDRESS_H_
