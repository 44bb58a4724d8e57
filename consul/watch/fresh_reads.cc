#include "consul/watch/fresh_reads.h"

#include <utility>

namespace meshgate::consul {

void FreshReads::Read(Done done) {
  std::vector<Done> callers;
  {
    MutexLock lock(mu_);
    if (under_way_) {
      next_.push_back(std::move(done));
      return;
    }
    under_way_ = true;
  }
  callers.push_back(std::move(done));
  Start(std::move(callers));
}

void FreshReads::Start(std::vector<Done> callers) {
  ReadOptions options;
  options.mode = ReadMode::kConsistent;
  Fetch(*backend_, target_, options,
        [self = shared_from_this(), callers = std::move(callers)](absl::StatusOr<Fetched> answer) mutable {
          std::vector<Done> next;
          {
            MutexLock lock(self->mu_);
            next.swap(self->next_);
            self->under_way_ = !next.empty();
          }
          if (!next.empty()) self->Start(std::move(next));
          for (Done& done : callers) done(answer);
        });
}

}  // namespace meshgate::consul
