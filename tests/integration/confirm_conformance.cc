// What is gone, where nothing is hidden.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/backend_conformance.h"

namespace meshgate::consul {
namespace {

using Found = std::vector<Presence>;

// A deletion would never be told, or one be told of a key that is there.
TEST_P(BackendConformance, KeysThatAreGone) {
  const std::string base = Unique("confirm-key") + "/";
  ASSERT_TRUE(Put(base + "there", "").ok());
  ASSERT_TRUE(Put(base + "deleted", "1").ok());
  ASSERT_TRUE(Delete(base + "deleted").ok());
  // Errors quote keys: one that reads like another error must not pass for it.
  const std::string liar = base + "a\" doesn't exist";
  ASSERT_TRUE(Put(liar, "1").ok());
  const auto found = ConfirmKeysGone(
      {base + "there", base + "deleted", base + "never", liar, base + "Permission denied", base + "there"});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, (Found{Presence::kExists, Presence::kGone, Presence::kGone, Presence::kExists, Presence::kGone,
                           Presence::kExists}));
}

// A whole tree may go at once: more names than one question holds, in whatever order.
TEST_P(BackendConformance, ManyKeysThatAreGone) {
  const std::string base = Unique("confirm-many") + "/";
  std::vector<std::string> keys;
  Found want;
  for (int i = 0; i < 300; ++i) {
    keys.push_back(absl::StrCat(base, i));
    const bool there = i % 67 == 0;
    want.push_back(there ? Presence::kExists : Presence::kGone);
    if (there) {
      ASSERT_TRUE(Put(keys.back(), "1").ok());
    }
  }
  const auto found = ConfirmKeysGone(keys);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, want);
  const auto none = ConfirmKeysGone({});
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
}

// An instance that was deregistered would be kept for ever, or one that is there be taken out of rotation.
TEST_P(BackendConformance, InstancesThatAreGone) {
  const std::string service = Unique("confirm-web");
  const std::string other = Unique("confirm-api");
  std::vector<Registration> registrations(3);
  for (size_t i = 0; i < registrations.size(); ++i) {
    registrations[i].id = absl::StrCat(service, "-", i);
    registrations[i].service = service;
    ASSERT_TRUE(Register(registrations[i]).ok());
  }
  const Instances all = AwaitService(service, [](const Instances& now) { return now.size() == 3; });
  ASSERT_EQ(all.size(), 3u);
  const std::string node = all[0].node;
  ASSERT_TRUE(Deregister(registrations[1].id).ok());
  registrations[2].service = other;
  ASSERT_TRUE(Register(registrations[2]).ok());
  ASSERT_EQ(AwaitService(service, [](const Instances& now) { return now.size() == 1; }).size(), 1u);
  ASSERT_EQ(AwaitService(other, [](const Instances& now) { return now.size() == 1; }).size(), 1u);
  const auto found = ConfirmInstancesGone(service, {{node, registrations[0].id},
                                                    {node, registrations[1].id},
                                                    {node, registrations[2].id},
                                                    {"elsewhere", registrations[0].id},
                                                    {node, "never"}});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, (Found{Presence::kExists, Presence::kGone, Presence::kGone, Presence::kGone, Presence::kGone}));
}

// A datacenter that can't be asked must not confirm anything.
TEST_P(BackendConformance, NothingIsConfirmedForAnUnknownDatacenter) {
  ReadOptions options;
  options.datacenter = "nowhere";
  EXPECT_EQ(Outcome(ConfirmKeysGone({"a"}, options).status()), "NOT_FOUND DATACENTER_NOT_FOUND");
  EXPECT_EQ(Outcome(ConfirmInstancesGone("web", {{"n", "i"}}, options).status()), "NOT_FOUND DATACENTER_NOT_FOUND");
}

}  // namespace
}  // namespace meshgate::consul
