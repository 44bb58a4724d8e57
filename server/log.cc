#include "server/log.h"

#include <unistd.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/utf8.h"
#include "server/log_writer.h"
#include "spdlog/details/log_msg.h"
#include "spdlog/formatter.h"
#include "spdlog/sinks/base_sink.h"
#include "spdlog/spdlog.h"

namespace meshgate::server {
namespace {

// The fields of the line being written. Sinks run inside the call that logs, on its thread, and spdlog's messages have
// no room for fields.
thread_local absl::Span<const LogField> current_fields;

void Append(spdlog::memory_buf_t& out, std::string_view text) { out.append(text.data(), text.data() + text.size()); }

// JSON's escapes; text lines use the same so that both can be read by the same eyes.
void AppendEscaped(spdlog::memory_buf_t& out, std::string_view s, bool escape_quotes) {
  while (!s.empty()) {
    const std::string_view at = s;
    const std::optional<char32_t> code = TakeCodePoint(s);
    if (!code.has_value()) {
      Append(out, "\xEF\xBF\xBD");  // U+FFFD
      s.remove_prefix(1);
    } else if (escape_quotes && (*code == '"' || *code == '\\')) {
      out.push_back('\\');
      out.push_back(static_cast<char>(*code));
    } else if (*code == '\n') {
      Append(out, "\\n");
    } else if (*code == '\t') {
      Append(out, "\\t");
    } else if (IsControl(*code)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<uint32_t>(*code));
    } else {
      Append(out, at.substr(0, at.size() - s.size()));
    }
  }
}

void AppendQuoted(spdlog::memory_buf_t& out, std::string_view s) {
  out.push_back('"');
  AppendEscaped(out, s, true);
  out.push_back('"');
}

bool NeedsQuotes(std::string_view s) { return s.empty() || s.find_first_of(" \"=\\") != std::string_view::npos; }

void AppendValue(spdlog::memory_buf_t& out, const LogField& field, LogFormat format) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    if (format == LogFormat::kJson || NeedsQuotes(*text)) return AppendQuoted(out, *text);
    return AppendEscaped(out, *text, false);
  }
  if (const auto* number = std::get_if<int64_t>(&field.value)) {
    fmt::format_to(std::back_inserter(out), "{}", *number);
  } else {
    fmt::format_to(std::back_inserter(out), "{:.3f}", std::get<double>(field.value));
  }
}

class LineFormatter final : public spdlog::formatter {
 public:
  explicit LineFormatter(LogFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
    const absl::Time time = absl::FromChrono(msg.time);
    const std::string ts = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
    const auto level = spdlog::level::to_string_view(msg.level);
    const std::string_view level_name =
        msg.level == spdlog::level::warn ? "warn" : std::string_view(level.data(), level.size());
    const std::string_view text(msg.payload.data(), msg.payload.size());
    if (format_ == LogFormat::kJson) {
      fmt::format_to(std::back_inserter(out), R"({{"ts":"{}","level":"{}","msg":)", ts, level_name);
      AppendQuoted(out, text);
      for (const LogField& field : current_fields) {
        out.push_back(',');
        AppendQuoted(out, field.name);
        out.push_back(':');
        AppendValue(out, field, format_);
      }
      out.push_back('}');
    } else {
      fmt::format_to(std::back_inserter(out), "{} {:<5} ", ts, level_name);
      AppendEscaped(out, text, false);
      for (const LogField& field : current_fields) {
        out.push_back(' ');
        Append(out, field.name);
        out.push_back('=');
        AppendValue(out, field, format_);
      }
    }
    out.push_back('\n');
  }

  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<LineFormatter>(format_); }

 private:
  const LogFormat format_;
};

class FunctionSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FunctionSink(std::function<void(std::string_view)> sink) : sink_(std::move(sink)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    sink_(std::string_view(line.data(), line.size()));
  }
  void flush_() override {}

 private:
  const std::function<void(std::string_view)> sink_;
};

// Enough for the burst of an outage, and little beside what streams hold.
constexpr size_t kMaxWaitingBytes = 4 << 20;

std::string DroppedLine(LogFormat format, uint64_t dropped) {
  const std::string text = absl::StrCat(dropped, " log lines dropped: whoever reads them is too slow");
  spdlog::details::log_msg msg("meshgate", spdlog::level::warn, text);
  spdlog::memory_buf_t line;
  // The writer makes it on the thread of somebody else's line.
  const auto fields = std::exchange(current_fields, {});
  LineFormatter(format).format(msg, line);
  current_fields = fields;
  return std::string(line.data(), line.size());
}

// Formats on the thread that logs, where the fields are, and leaves the rest to the writer.
class WriterSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit WriterSink(std::shared_ptr<LogWriter> writer) : writer_(std::move(writer)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    writer_->Write(std::string_view(line.data(), line.size()));
  }
  void flush_() override {}

 private:
  const std::shared_ptr<LogWriter> writer_;
};

// What the logger writes to; null while tests take the lines.
std::shared_ptr<LogWriter>& Writer() {
  static auto* const writer = new std::shared_ptr<LogWriter>();
  return *writer;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

void SetUp(LogLevel level, LogFormat format, spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("meshgate", std::move(sink));
  logger->set_formatter(std::make_unique<LineFormatter>(format));
  logger->set_level(ToSpdlog(level));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

void SetUpLog(LogLevel level, LogFormat format) {
  const auto dropped = [format](uint64_t count) { return DroppedLine(format, count); };
  Writer() = std::make_shared<LogWriter>(STDERR_FILENO, kMaxWaitingBytes, dropped);
  SetUp(level, format, std::make_shared<WriterSink>(Writer()));
}

void SetUpLog(LogLevel level, LogFormat format, std::function<void(std::string_view line)> sink) {
  SetUp(level, format, std::make_shared<FunctionSink>(std::move(sink)));
  Writer() = nullptr;
}

void FlushLog(absl::Duration timeout) {
  if (Writer() != nullptr) Writer()->Flush(timeout);
}

bool LogEnabled(LogLevel level) { return spdlog::should_log(ToSpdlog(level)); }

void Log(LogLevel level, std::string_view message, absl::Span<const LogField> fields) {
  if (!LogEnabled(level)) return;
  current_fields = fields;
  // Not as a format string: a message may hold braces.
  spdlog::default_logger_raw()->log(ToSpdlog(level), spdlog::string_view_t(message.data(), message.size()));
  current_fields = {};
}

}  // namespace meshgate::server
