#include "consul/upstream/upstream_member.h"

#include "consul/upstream/upstream_pool.h"

namespace meshgate::consul {

void UpstreamMember::Start() {
  if (auto pool = pool_.lock()) pool->Start(shared_from_this());
}

void UpstreamMember::Stop() {
  mailbox_.Close();
  if (auto pool = pool_.lock()) pool->Stop(*this);
}

Lost UpstreamMember::OwnQuery::WhatIsLost(const State& state) {
  const auto member = member_.lock();
  return member != nullptr ? member->mailbox_.WhatIsLost(state) : Lost{};
}

bool UpstreamMember::OwnQuery::OnState(const Fetched& fetched, bool reset) {
  const auto member = member_.lock();
  const auto pool = member != nullptr ? member->pool_.lock() : nullptr;
  return pool == nullptr || pool->OnOwnState(*member, stint_, fetched, reset);
}

void UpstreamMember::OwnQuery::OnConfirmed(absl::Time received) {
  const auto member = member_.lock();
  if (member == nullptr) return;
  if (auto pool = member->pool_.lock()) pool->OnOwnNews(*member, stint_, Mailbox::Confirmed(received));
}

void UpstreamMember::OwnQuery::OnFailure(const absl::Status& error, int consecutive) {
  const auto member = member_.lock();
  if (member == nullptr) return;
  if (auto pool = member->pool_.lock()) pool->OnOwnNews(*member, stint_, Mailbox::Failure(error, consecutive));
}

bool UpstreamMember::OwnQuery::OnAsk() {
  const auto member = member_.lock();
  const auto pool = member != nullptr ? member->pool_.lock() : nullptr;
  if (pool != nullptr) pool->CheckLimit();
  return false;
}

void UpstreamMember::OwnQuery::OnSend(bool) {
  const auto member = member_.lock();
  if (member == nullptr) return;
  if (auto pool = member->pool_.lock()) pool->OnOwnSend(*member, stint_);
}

bool UpstreamMember::OwnQuery::OnSeatWanted() {
  const auto member = member_.lock();
  const auto pool = member != nullptr ? member->pool_.lock() : nullptr;
  return pool != nullptr && pool->OnOwnSeatWanted(member, stint_);
}

}  // namespace meshgate::consul
