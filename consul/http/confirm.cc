// What ConsulBackend does to tell what is gone from what it may not see any more.
//
// Transactions that only read are answered by the server that answers the watches, out of one state. The endpoint that
// tells what a token may do, /v1/internal/acl/authorize, is not used: an agent that is no server answers it from a
// cache that may be 30 s old, and one without access control of its own says that there is none, though its servers
// have it.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "consul/base/errors.h"
#include "consul/http/bodies.h"
#include "consul/http/consul_backend.h"
#include "consul/http/parse.h"
#include "consul/http/paths.h"
#include "consul/http/status_map.h"

namespace meshgate::consul::http {
namespace {

// Consul's limit of a transaction.
constexpr size_t kMaxOperations = 64;

absl::Status NotAboutThese() {
  return MakeError(absl::StatusCode::kInternal, reason::kNotConsul,
                   "the answer is not one that Consul gives: it does not tell what exists");
}

// Finds out about `Name`s, a transaction at a time.
template <typename Name>
class Search {
 public:
  Search(ActiveCallHandle call, std::string datacenter, std::vector<Name> names,
         Backend::Callback<std::vector<Presence>> done)
      : call(std::move(call)), datacenter(std::move(datacenter)), done(std::move(done)), names_(std::move(names)) {
    found_.resize(names_.size(), Presence::kHidden);
  }
  virtual ~Search() = default;

  // Chooses what to ask about next. False: all is known.
  bool Next() {
    while (open_.size() < kMaxOperations && next_ < names_.size()) open_.push_back(next_++);
    return !open_.empty();
  }
  std::vector<Name> asked() const {
    std::vector<Name> names;
    for (const size_t position : open_) names.push_back(names_[position]);
    return names;
  }
  const std::vector<Presence>& found() const { return found_; }

  virtual std::string Body() const = 0;
  // Takes the answer about `asked()`: a 200, or a 409 with its errors. Some of them may stay open, but not all.
  virtual absl::Status TakeResults(std::string body) = 0;
  virtual absl::Status TakeErrors(const std::vector<TxnError>& errors) = 0;

  const ActiveCallHandle call;
  const std::string datacenter;
  Backend::Callback<std::vector<Presence>> done;

 protected:
  const Name& at(size_t operation) const { return names_[open_[operation]]; }
  size_t open() const { return open_.size(); }
  void Settle(size_t operation, Presence presence) { found_[open_[operation]] = presence; }
  // Takes those for which `settled` is true out of the open ones.
  void Close(const std::vector<bool>& settled) {
    std::vector<size_t> open;
    for (size_t i = 0; i < open_.size(); ++i) {
      if (!settled[i]) open.push_back(open_[i]);
    }
    open_ = std::move(open);
  }

 private:
  const std::vector<Name> names_;
  std::vector<Presence> found_;
  // Positions of what is being asked about.
  std::vector<size_t> open_;
  size_t next_ = 0;
};

// Consul checks the permission to read each key first, and says which are missing when it has none to refuse.
class KeySearch final : public Search<std::string> {
 public:
  using Search::Search;

  std::string Body() const override { return TxnFindKeysBody(asked()); }

  absl::Status TakeResults(std::string) override { return open() == 0 ? absl::OkStatus() : NotAboutThese(); }

  absl::Status TakeErrors(const std::vector<TxnError>& errors) override {
    std::vector<bool> settled(open(), false);
    for (const auto& [operation, what] : errors) {
      if (operation >= open()) return NotAboutThese();
      // They quote keys, which callers choose: only how they begin and end is Consul's.
      if (absl::StartsWith(what, "Permission denied")) {
        Settle(operation, Presence::kHidden);
      } else if (absl::StartsWith(what, "failed index check for key ")) {
        Settle(operation, Presence::kExists);
      } else if (absl::StartsWith(what, "failed to check index, key ") && absl::EndsWith(what, "doesn't exist")) {
        Settle(operation, Presence::kGone);
      } else {
        return NotAboutThese();
      }
      settled[operation] = true;
    }
    if (errors.empty()) return NotAboutThese();
    Close(settled);
    return absl::OkStatus();
  }
};

// Consul says which instances are missing whoever asks; when none is, it answers with those that may be read.
class InstanceSearch final : public Search<InstanceName> {
 public:
  InstanceSearch(std::string service, ActiveCallHandle call, std::string datacenter, std::vector<InstanceName> names,
                 Backend::Callback<std::vector<Presence>> done)
      : Search(std::move(call), std::move(datacenter), std::move(names), std::move(done)),
        service_(std::move(service)) {}

  std::string Body() const override { return TxnGetInstancesBody(asked()); }

  absl::Status TakeResults(std::string body) override {
    absl::StatusOr<std::vector<TxnInstance>> read = ParseTxnInstances(std::move(body));
    if (!read.ok()) return std::move(read).status();
    if (read->size() > open()) return NotAboutThese();
    // Results do not say of which node they are. When some are missing, those that share an id can't be told apart.
    const bool all = read->size() == open();
    for (size_t i = 0; i < open(); ++i) {
      const TxnInstance* instance = nullptr;
      if (all) {
        instance = &(*read)[i];
        if (instance->id != at(i).id) return NotAboutThese();
      } else if (Namesakes(at(i).id) == 1) {
        const auto found =
            std::find_if(read->begin(), read->end(), [&](const TxnInstance& one) { return one.id == at(i).id; });
        if (found != read->end()) instance = &*found;
      }
      if (instance == nullptr) {
        Settle(i, Presence::kHidden);
      } else {
        Settle(i, instance->service == service_ ? Presence::kExists : Presence::kGone);
      }
    }
    Close(std::vector<bool>(open(), true));
    return absl::OkStatus();
  }

  absl::Status TakeErrors(const std::vector<TxnError>& errors) override {
    std::vector<bool> settled(open(), false);
    for (const auto& [operation, what] : errors) {
      if (operation >= open()) return NotAboutThese();
      if (absl::StartsWith(what, "Permission denied")) {
        Settle(operation, Presence::kHidden);
      } else if (absl::StartsWith(what, "service ") && absl::EndsWith(what, "doesn't exist")) {
        Settle(operation, Presence::kGone);
      } else {
        return NotAboutThese();
      }
      settled[operation] = true;
    }
    if (errors.empty()) return NotAboutThese();
    Close(settled);
    return absl::OkStatus();
  }

 private:
  size_t Namesakes(const std::string& id) const {
    size_t count = 0;
    for (size_t i = 0; i < open(); ++i) count += at(i).id == id ? 1 : 0;
    return count;
  }

  const std::string service_;
};

}  // namespace

template <typename Search>
void ConsulBackend::Confirm(std::shared_ptr<Search> search) {
  Request request;
  request.method = Method::kPut;
  request.target = Target("/v1/txn").QueryUnlessEmpty("dc", search->datacenter).str();
  request.body = search->Body();
  calls_.Send(search->call, Endpoint::kTxn, std::move(request), [this, search](Response response, absl::Time) mutable {
    absl::Status status;
    if (response.end == Response::End::kAnswered && response.code == 409) {
      status = search->TakeErrors(ParseTxnErrors(std::move(response.body)));
    } else {
      status = StatusOf({Endpoint::kTxn}, response);
      if (status.ok()) status = search->TakeResults(std::move(response.body));
    }
    if (!status.ok()) return search->done(std::move(status));
    if (!search->Next()) return search->done(search->found());
    Confirm(std::move(search));
  });
}

CallHandle ConsulBackend::ConfirmKeysGone(const std::vector<std::string>& keys, const ReadOptions& options,
                                          Callback<std::vector<Presence>> done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  auto search = std::make_shared<KeySearch>(call, options.datacenter, keys, std::move(done));
  search->Next();
  Confirm(std::move(search));
  return call;
}

CallHandle ConsulBackend::ConfirmInstancesGone(const std::string& service, const std::vector<InstanceName>& instances,
                                               const ReadOptions& options, Callback<std::vector<Presence>> done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  auto search = std::make_shared<InstanceSearch>(service, call, options.datacenter, instances, std::move(done));
  search->Next();
  Confirm(std::move(search));
  return call;
}

}  // namespace meshgate::consul::http
