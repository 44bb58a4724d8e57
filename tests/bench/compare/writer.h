#ifndef MESHGATE_TESTS_BENCH_COMPARE_WRITER_H_
#define MESHGATE_TESTS_BENCH_COMPARE_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/bench/peers/peer.h"

namespace meshgate::bench {

// Writes the key's changes, each a stamped value of so many bytes, over a connection of its own.
class Writer final : public ChannelListener {
 public:
  // Both outlive it.
  Writer(Loop* loop, const Peer* peer, int value_bytes);

  // Begins to write; one at a time.
  void Begin(uint64_t change);
  // Waits until the server has said that it is written.
  absl::Status Wait(absl::Duration patience);
  // Both.
  absl::Status Write(uint64_t change, absl::Duration patience);

 private:
  void OnMessage(int call, std::string_view message) override {}
  void OnEnd(int call, bool answered) override;
  void OnFailure(const std::string& what) override;

  Loop* const loop_;
  const Peer* const peer_;
  const size_t value_bytes_;
  bool writing_ = false;
  std::string failure_;
  std::unique_ptr<Channel> channel_;
};

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_COMPARE_WRITER_H_
