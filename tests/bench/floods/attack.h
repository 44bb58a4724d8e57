#ifndef MESHGATE_TESTS_BENCH_FLOODS_ATTACK_H_
#define MESHGATE_TESTS_BENCH_FLOODS_ATTACK_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "tests/bench/floods/raw_connection.h"

namespace meshgate::bench {

// What a connection of a flood sends.
struct Script {
  // After the preface and SETTINGS.
  std::string opening;
  // Appends the next few frames; `step` counts from 0. Without it the connection only stays.
  std::function<void(uint32_t step, std::string* out)> frames;
  // Takes the server's answers.
  bool reads = true;
};

// One flood, within its bounds: so many frames, and a time that is set before it begins. What came of it is for whoever
// has started it, when it is over.
class Attack {
 public:
  // `tls`: the server speaks TLS, and so does this.
  Attack(const std::string& address, bool tls, int64_t most_frames)
      : address_(address), layer_(tls ? Layer::kTls : Layer::kPlain), most_frames_(most_frames) {}

  void set_until(absl::Time until) { until_ = until; }

  // Runs the script on one connection after the other, ten a second at most, as each is ended by the server.
  void Run(const Script& script);
  // Each of the connections sends its bytes one at a time, all of them at the same pace, and stays.
  void Drip(int connections, std::string_view bytes) { Drip(connections, bytes, layer_); }
  // Connections that are closed at once when they have sent the bytes.
  void OpenAndClose(int connections, std::string_view bytes);

  // The rest is against a server that speaks TLS, below it: handshakes that never end.
  void DripBelowTls(int connections, std::string_view bytes) { Drip(connections, bytes, Layer::kBelowTls); }
  // Connections that have sent the bytes and stay, `at_once` of them: the oldest is closed for another one, until the
  // time is over.
  void StayBelowTls(int at_once, std::string_view bytes);
  // Asks for new keys again and again, on one connection after the other as each is ended by the server.
  void UpdateKeys();

  int connections() const { return connections_; }
  int64_t frames() const { return frames_; }
  int64_t bytes() const { return bytes_; }
  // Every connection that has not been given up was ended by the server; how, and after how many frames at most.
  bool all_ended() const { return connections_ > 0 && open_ == 0; }
  std::string endings() const;
  int64_t most_before_end() const { return most_before_end_; }

 private:
  bool Over() const;
  void Drip(int connections, std::string_view bytes, Layer layer);

  const std::string address_;
  const Layer layer_;
  const int64_t most_frames_;
  absl::Time until_ = absl::InfinitePast();
  int connections_ = 0;
  int open_ = 0;
  int64_t frames_ = 0;
  int64_t bytes_ = 0;
  int64_t most_before_end_ = 0;
  std::set<std::string> endings_;
};

// The preface and SETTINGS, empty.
std::string Hello();

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_FLOODS_ATTACK_H_
