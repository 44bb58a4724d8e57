#ifndef MESHGATE_CONSUL_CHECK_ALLOW_LIST_H_
#define MESHGATE_CONSUL_CHECK_ALLOW_LIST_H_

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/base/ip_address.h"
#include "consul/types.h"

namespace meshgate {

namespace reason {
inline constexpr std::string_view kCheckNotAllowed = "CHECK_NOT_ALLOWED";  // INVALID_ARGUMENT
}  // namespace reason

namespace consul {

// Where the checks of a registration may lead. They are made by Consul's agent or by this process, from inside of a
// network and with its rights, for whoever may register: a check must not look at others' ports for them, nor fetch the
// credentials that a cloud's metadata service hands out.
//
// Allowed are the instance's own address and what is listed. Names are not the instance's own, even where it gives one
// as its address: where a name leads is for DNS to say, later and anew each time, so only the list vouches for it.
// Loopback, link-local and metadata addresses, and those that hold an IPv4 address in disguise, have to be listed by
// themselves or by a range of such addresses alone: "0.0.0.0/0" has none of them. Immutable.
class CheckAllowList {
 public:
  // Nothing beside the instances' own addresses.
  CheckAllowList() = default;

  // The loopback, too: right where whoever may register is on the host that probes.
  static CheckAllowList OfThisHost();

  // Addresses, ranges ("10.0.0.0/8"), names ("web.example") and names below one ("*.example"). INVALID_ARGUMENT names
  // the entry that is none of them.
  static absl::StatusOr<CheckAllowList> Parse(const std::vector<std::string>& entries);

  // OK, or INVALID_ARGUMENT (CHECK_NOT_ALLOWED) that names the first check's field. `registration` is as
  // ValidateRegistration() found it good.
  absl::Status Validate(const Registration& registration) const;

  // Why a check of an instance at `instance_address` must not be made, with what to do; nullopt: it may.
  std::optional<std::string> Refusal(std::string_view instance_address, const CheckDefinition& check) const;

  // Whether a name that is listed may lead there. False also where the address itself has to be listed and is not.
  bool MayLeadTo(const sockaddr* address) const;

 private:
  bool Lists(const IpAddress& address) const;
  bool ListsName(std::string_view name) const;

  std::vector<IpRange> ranges_;
  // In small letters, without a final dot.
  std::vector<std::string> names_;
  // ".example" for "*.example".
  std::vector<std::string> suffixes_;
};

}  // namespace consul
}  // namespace meshgate

#endif  // MESHGATE_CONSUL_CHECK_ALLOW_LIST_H_
