#include "tests/bench/floor/state.h"

#include "tests/bench/load/http2.h"
#include "tests/bench/load/protobuf_wire.h"

namespace meshgate::bench {
namespace {

uint64_t TakeVarint(std::string_view* in) {
  uint64_t value = 0;
  for (int shift = 0; !in->empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(in->front());
    in->remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) break;
  }
  return value;
}

// Of the fields that come before any other: key and value are 1 and 2 in requests and entries alike.
std::string_view BytesField(std::string_view message, uint32_t field) {
  while (!message.empty()) {
    const uint64_t tag = TakeVarint(&message);
    const uint64_t size = TakeVarint(&message);
    if (tag == (uint64_t{field} << 3 | 2)) return message.substr(0, size);
    message.remove_prefix(size);
  }
  return {};
}

std::string Framed(std::string_view message) {
  std::string framed;
  http2::AppendMessageHeader(message.size(), &framed);
  return framed.append(message);
}

}  // namespace

SharedFloorState ApplyPut(const FloorState& before, std::string_view request) {
  auto state = std::make_shared<FloorState>();
  state->index = before.index + 1;
  std::string entry, event, get, change;
  AppendBytesField(1, BytesField(request, 1), &entry);
  AppendBytesField(2, BytesField(request, 2), &entry);
  AppendVarintField(4, 1, &entry);
  AppendVarintField(5, state->index, &entry);
  AppendBytesField(1, entry, &get);
  AppendVarintField(1, 1, &event);
  AppendBytesField(2, entry, &event);
  AppendVarintField(1, state->index, &change);
  AppendBytesField(3, event, &change);
  state->get = Framed(get);
  state->change = Framed(change);
  return state;
}

}  // namespace meshgate::bench
