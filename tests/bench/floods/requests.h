// Frames of gRPC calls for floods.
#ifndef MESHGATE_TESTS_BENCH_FLOODS_REQUESTS_H_
#define MESHGATE_TESTS_BENCH_FLOODS_REQUESTS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace meshgate::bench {

inline constexpr char kGet[] = "/meshgate.v1.ConfigService/GetConfig";
inline constexpr char kPut[] = "/meshgate.v1.ConfigService/PutConfig";
inline constexpr char kWatch[] = "/meshgate.v1.ConfigService/WatchConfig";
inline constexpr char kHealthWatch[] = "/grpc.health.v1.Health/Watch";

// The stream of a connection's n-th call, from 0 on.
inline uint32_t StreamId(uint32_t n) { return 2 * n + 1; }

// A HEADERS frame with the block.
void AppendHeaders(uint32_t stream, std::string_view block, std::string* out);
// The n-th call of `path` on its connection, whose earlier calls were made by this, too. Its request is still to come.
void AppendCall(std::string_view path, uint32_t n, std::string* out);
// A DATA frame with a message, and the end of the request.
void AppendRequest(uint32_t stream, std::string_view message, std::string* out);

// So many calls of `path` with the same request.
std::string Calls(std::string_view path, std::string_view request, uint32_t count);

// SETTINGS with INITIAL_WINDOW_SIZE, of streams; and all the room that there can be for the connection.
void AppendInitialWindow(uint32_t bytes, std::string* out);
void AppendConnectionWindow(std::string* out);

// GetConfig's, from memory; WatchConfig's.
std::string GetRequest(std::string_view key);
std::string WatchRequest(std::string_view key);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_FLOODS_REQUESTS_H_
