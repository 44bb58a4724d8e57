#include "tests/bench/floods/attack.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "tests/bench/load/http2.h"

namespace meshgate::bench {
namespace {

// From one connection to the next, so that a flood that is ended soon goes on as one of many short ones.
constexpr absl::Duration kBetween = absl::Milliseconds(100);

constexpr int64_t kMostBytes = int64_t{1} << 30;

// A server may need so long for a connection that it will end.
constexpr absl::Duration kTooYoung = absl::Milliseconds(300);

// Until it is known that the server does not read, once it has filled what is between.
constexpr absl::Duration kMayBeDeaf = absl::Seconds(2);

// What is put together for one send.
constexpr size_t kChunkBytes = 8 << 10;

// Enough for the server to say why it has ended a connection whose last bytes it has just been sent.
constexpr absl::Duration kLastWords = absl::Milliseconds(200);

int64_t CountFrames(std::string_view bytes) {
  int64_t count = 0;
  while (bytes.size() >= http2::kFrameHeader) {
    ++count;
    bytes.remove_prefix(std::min(bytes.size(), http2::kFrameHeader + http2::ReadFrameHeader(bytes.data()).length));
  }
  return count;
}

}  // namespace

std::string Hello() {
  std::string hello(http2::kPreface);
  http2::AppendFrame(http2::kSettings, 0, 0, {}, &hello);
  return hello;
}

bool Attack::Over() const { return frames_ >= most_frames_ || bytes_ >= kMostBytes || absl::Now() >= until_; }

void Attack::Run(const Script& script) {
  do {
    const absl::Time begun = absl::Now();
    RawConnection connection(address_, script.reads, layer_);
    if (!connection.connected()) return;
    ++connections_;
    int64_t sent = CountFrames(script.opening);
    bool goes_on = connection.Send(Hello() + script.opening, until_);
    if (script.frames == nullptr) goes_on = goes_on && connection.Listen(until_ - absl::Now());
    std::string chunk;
    for (uint32_t step = 0;
         goes_on && script.frames != nullptr && frames_ + sent < most_frames_ && bytes_ < kMostBytes;) {
      chunk.clear();
      while (chunk.size() < kChunkBytes) script.frames(step++, &chunk);
      sent += CountFrames(chunk);
      bytes_ += static_cast<int64_t>(chunk.size());
      goes_on = connection.Send(chunk, until_);
    }
    if (goes_on) connection.Listen(kLastWords);
    frames_ += sent;
    if (!connection.ended()) {
      // One that has begun just before the time was over says nothing beside others.
      if (connections_ == 1 || absl::Now() - begun > kLastWords + (script.reads ? kTooYoung : kMayBeDeaf)) {
        ++open_;
        endings_.insert(connection.ending());
      }
      return;
    }
    endings_.insert(connection.ending());
    most_before_end_ = std::max(most_before_end_, sent);
    absl::SleepFor(std::min(begun + kBetween, until_) - absl::Now());
  } while (!Over());
}

void Attack::Drip(int connections, std::string_view bytes, Layer layer) {
  std::vector<std::unique_ptr<RawConnection>> all;
  for (int i = 0; i < connections; ++i) all.push_back(std::make_unique<RawConnection>(address_, true, layer));
  connections_ += connections;
  const absl::Time begun = absl::Now();
  const absl::Duration pause = (until_ - begun) / static_cast<double>(bytes.size() * all.size());
  int64_t sent = 0;
  for (const char byte : bytes) {
    for (const auto& connection : all) {
      connection->Send({&byte, 1}, until_);
      absl::SleepFor(begun + static_cast<double>(++sent) * pause - absl::Now());
    }
  }
  for (const auto& connection : all) {
    endings_.insert(connection->ending());
    if (!connection->ended()) ++open_;
  }
}

void Attack::OpenAndClose(int connections, std::string_view bytes) {
  for (int i = 0; i < connections && !Over(); ++i) {
    RawConnection connection(address_, true, layer_);
    if (!connection.connected()) return;
    ++connections_;
    connection.Send(bytes, until_);
    frames_ += CountFrames(bytes.substr(http2::kPreface.size()));
  }
  endings_.insert("open");
  open_ = connections_;
}

void Attack::StayBelowTls(int at_once, std::string_view bytes) {
  std::deque<std::unique_ptr<RawConnection>> all;
  while (!Over()) {
    all.push_back(std::make_unique<RawConnection>(address_, true, Layer::kBelowTls));
    if (!all.back()->connected()) return;
    ++connections_;
    bytes_ += static_cast<int64_t>(bytes.size());
    all.back()->Send(bytes, until_);
    if (all.size() < static_cast<size_t>(at_once)) continue;
    all.front()->Listen(absl::ZeroDuration());
    endings_.insert(all.front()->ending());
    all.pop_front();
  }
  for (const auto& connection : all) {
    connection->Listen(absl::ZeroDuration());
    endings_.insert(connection->ending());
    if (!connection->ended()) ++open_;
  }
}

void Attack::UpdateKeys() {
  do {
    const absl::Time begun = absl::Now();
    RawConnection connection(address_, true, layer_);
    if (!connection.connected()) return;
    ++connections_;
    int64_t sent = 0;
    bool goes_on = connection.Send(Hello(), until_);
    for (; goes_on && frames_ + sent < most_frames_; ++sent) goes_on = connection.UpdateKeys(until_);
    if (goes_on) connection.Listen(kLastWords);
    frames_ += sent;
    endings_.insert(connection.ending());
    if (!connection.ended()) {
      if (connections_ == 1 || absl::Now() - begun > kLastWords + kTooYoung) ++open_;
      return;
    }
    most_before_end_ = std::max(most_before_end_, sent);
    absl::SleepFor(std::min(begun + kBetween, until_) - absl::Now());
  } while (!Over());
}

std::string Attack::endings() const { return absl::StrJoin(endings_, ", "); }

}  // namespace meshgate::bench
