#include "consul/embedded/filter.h"

#include <re2/re2.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "consul/embedded/filter_selectors.h"

namespace meshgate::consul::embedded {

class Filter::Node {
 public:
  explicit Node(std::function<bool(const FilterSubject&)> matches) : matches_(std::move(matches)) {}
  bool Matches(const FilterSubject& subject) const { return matches_(subject); }

 private:
  std::function<bool(const FilterSubject&)> matches_;
};

namespace {

using Predicate = std::function<bool(const FilterSubject&)>;
using TextTest = std::function<bool(const std::string&)>;

constexpr size_t kMaxBytes = 4096;
// Of parentheses and "not": each level is a few frames of the stack.
constexpr int kMaxDepth = 64;

// Every operator with its negation.
enum class Operator { kEqual, kContains, kEmpty, kMatches };

// What an operator asks of a text, or what texts support instead.
absl::StatusOr<TextTest> MakeTextTest(Operator op, const std::string& value) {
  switch (op) {
    case Operator::kEqual:
      return TextTest([value](const std::string& text) { return text == value; });
    case Operator::kContains:
      return TextTest([value](const std::string& text) { return text.find(value) != std::string::npos; });
    case Operator::kMatches: {
      RE2::Options options;
      options.set_log_errors(false);
      auto expression = std::make_shared<const RE2>(value, options);
      if (!expression->ok()) {
        return absl::InvalidArgumentError(absl::StrCat("has a bad regular expression: ", expression->error()));
      }
      return TextTest([expression](const std::string& text) { return RE2::PartialMatch(text, *expression); });
    }
    case Operator::kEmpty:
      break;
  }
  return absl::InvalidArgumentError("is text and supports ==, !=, in, not in, contains, matches, not matches");
}

absl::StatusOr<Predicate> MakeTextMatch(const Selector& selector, Operator op, bool negated, const std::string& value) {
  auto made = MakeTextTest(op, value);
  if (!made.ok()) return made.status();
  TextTest test = *std::move(made);
  if (selector.text) {
    return Predicate([=, read = selector.text](const FilterSubject& s) { return test(read(s)) != negated; });
  }
  if (selector.map_value) {
    return Predicate([=, read = selector.map_value](const FilterSubject& s) {
      const std::string* text = read(s);
      return (text != nullptr && test(*text)) != negated;
    });
  }
  // Holds when it holds for any of them, also where it is negated.
  return Predicate([=, read = selector.texts](const FilterSubject& s) {
    for (const std::string& text : read(s)) {
      if (test(text) != negated) return true;
    }
    return false;
  });
}

absl::StatusOr<Predicate> MakeContainerMatch(const Selector& selector, Operator op, bool negated,
                                             const std::string& value) {
  if (op != Operator::kContains && op != Operator::kEmpty) {
    return absl::InvalidArgumentError("supports in, not in, contains, not contains, is empty, is not empty");
  }
  const bool empty = op == Operator::kEmpty;
  if (selector.map) {
    return Predicate([=, read = selector.map](const FilterSubject& s) {
      return (empty ? read(s).empty() : read(s).count(value) != 0) != negated;
    });
  }
  return Predicate([=, read = selector.list](const FilterSubject& s) {
    const std::vector<std::string>& list = read(s);
    return (empty ? list.empty() : std::find(list.begin(), list.end(), value) != list.end()) != negated;
  });
}

// Makes the predicate of `selector operator value`, or says what the selector supports instead.
absl::StatusOr<Predicate> MakeMatch(const Selector& selector, Operator op, bool negated, const std::string& value) {
  if (selector.list || selector.map) return MakeContainerMatch(selector, op, negated, value);
  if (selector.checks) {
    if (op != Operator::kEmpty) return absl::InvalidArgumentError("supports is empty, is not empty");
    // There is always the node's own.
    return Predicate([negated](const FilterSubject&) { return negated; });
  }
  if (!selector.number) return MakeTextMatch(selector, op, negated, value);
  int64_t number = 0;
  if (op != Operator::kEqual) return absl::InvalidArgumentError("is a number and supports ==, !=");
  if (!absl::SimpleAtoi(value, &number)) return absl::InvalidArgumentError("is a number, the value is not");
  return Predicate([=, read = selector.number](const FilterSubject& s) { return (read(s) == number) != negated; });
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<Predicate> Parse() {
    auto root = ParseOr(0);
    if (!root.ok()) return root.status();
    SkipSpace();
    if (position_ != text_.size()) return Error("expected \"and\", \"or\" or the end");
    return root;
  }

 private:
  absl::StatusOr<Predicate> ParseOr(int depth) {
    auto left = ParseAnd(depth);
    while (left.ok() && TakeWord("or")) {
      auto right = ParseAnd(depth);
      if (!right.ok()) return right;
      left = Predicate([a = *std::move(left), b = *std::move(right)](const FilterSubject& s) { return a(s) || b(s); });
    }
    return left;
  }

  absl::StatusOr<Predicate> ParseAnd(int depth) {
    auto left = ParseNot(depth);
    while (left.ok() && TakeWord("and")) {
      auto right = ParseNot(depth);
      if (!right.ok()) return right;
      left = Predicate([a = *std::move(left), b = *std::move(right)](const FilterSubject& s) { return a(s) && b(s); });
    }
    return left;
  }

  absl::StatusOr<Predicate> ParseNot(int depth) {
    if (depth > kMaxDepth) return Error("too deeply nested");
    if (TakeWord("not")) {
      auto inner = ParseNot(depth + 1);
      if (!inner.ok()) return inner;
      return Predicate([inner = *std::move(inner)](const FilterSubject& s) { return !inner(s); });
    }
    if (TakeSymbol("(")) {
      auto inner = ParseOr(depth + 1);
      if (!inner.ok()) return inner;
      if (!TakeSymbol(")")) return Error("expected \")\"");
      return inner;
    }
    return ParseMatch();
  }

  // `selector op value`, `selector is [not] empty` or `value [not] in selector`.
  absl::StatusOr<Predicate> ParseMatch() {
    SkipSpace();
    const size_t start = position_;
    auto path = ParsePath();
    if (path) {
      const size_t after = position_;
      bool negated = false;
      const std::optional<Operator> op = TakeOperator(negated);
      if (op) return ParseOperand(*path, start, *op, negated);
      position_ = after;
    }
    // It was a value then.
    position_ = start;
    auto value = ParseValue();
    if (!value.ok()) return value.status();
    const bool negated = TakeWord("not");
    if (!TakeWord("in")) return Error("expected ==, !=, [not] in, [not] contains, is [not] empty or [not] matches");
    SkipSpace();
    const size_t selector_start = position_;
    path = ParsePath();
    if (!path) return Error("expected a selector");
    return Build(*path, selector_start, Operator::kContains, negated, *value);
  }

  absl::StatusOr<Predicate> ParseOperand(const std::vector<std::string>& path, size_t start, Operator op,
                                         bool negated) {
    if (op == Operator::kEmpty) return Build(path, start, op, negated, "");
    auto value = ParseValue();
    if (!value.ok()) return value.status();
    return Build(path, start, op, negated, *value);
  }

  absl::StatusOr<Predicate> Build(const std::vector<std::string>& path, size_t start, Operator op, bool negated,
                                  const std::string& value) {
    const size_t end = std::exchange(position_, start);
    const std::optional<Selector> selector = FindSelector(path);
    if (!selector) return Error(absl::StrCat("no such selector; supported are ", ToAbsl(SupportedSelectors())));
    auto match = MakeMatch(*selector, op, negated, value);
    if (!match.ok()) return Error(absl::StrCat("the selector ", match.status().message()));
    position_ = end;
    return match;
  }

  std::optional<Operator> TakeOperator(bool& negated) {
    if (TakeSymbol("==")) return Operator::kEqual;
    if (TakeSymbol("!=")) {
      negated = true;
      return Operator::kEqual;
    }
    if (TakeWord("is")) {
      negated = TakeWord("not");
      if (TakeWord("empty")) return Operator::kEmpty;
      return std::nullopt;
    }
    negated = TakeWord("not");
    if (TakeWord("contains")) return Operator::kContains;
    if (TakeWord("matches")) return Operator::kMatches;
    return std::nullopt;
  }

  // Name(.Name | ["text"])*
  std::optional<std::vector<std::string>> ParsePath() {
    std::vector<std::string> path;
    auto name = TakeName();
    if (!name) return std::nullopt;
    path.push_back(*std::move(name));
    while (position_ < text_.size()) {
      const size_t before = position_;
      if (text_[position_] == '.') {
        ++position_;
        name = TakeName();
      } else if (text_[position_] == '[') {
        ++position_;
        auto key = ParseQuoted();
        name = key.ok() && TakeSymbol("]") ? std::optional<std::string>(*key) : std::nullopt;
      } else {
        break;
      }
      if (!name) {
        position_ = before;
        return std::nullopt;
      }
      path.push_back(*std::move(name));
    }
    return path;
  }

  std::optional<std::string> TakeName() {
    const size_t start = position_;
    if (position_ < text_.size() && absl::ascii_isalpha(static_cast<unsigned char>(text_[position_]))) {
      while (position_ < text_.size() && IsWordCharacter(text_[position_])) ++position_;
    }
    if (position_ == start) return std::nullopt;
    return std::string(text_.substr(start, position_ - start));
  }

  absl::StatusOr<std::string> ParseValue() {
    SkipSpace();
    if (position_ == text_.size()) return Error("expected a value");
    const char c = text_[position_];
    if (c == '"' || c == '`') return ParseQuoted();
    const size_t start = position_;
    if (c == '-' || absl::ascii_isdigit(static_cast<unsigned char>(c))) {
      ++position_;
      while (position_ < text_.size() &&
             (absl::ascii_isdigit(static_cast<unsigned char>(text_[position_])) || text_[position_] == '.')) {
        ++position_;
      }
    } else if (!ParsePath()) {
      return Error("expected a value: \"text\", `text`, a number or a word");
    }
    return std::string(text_.substr(start, position_ - start));
  }

  absl::StatusOr<std::string> ParseQuoted() {
    if (position_ == text_.size()) return Error("expected a quoted text");
    const char quote = text_[position_];
    if (quote != '"' && quote != '`') return Error("expected a quoted text");
    size_t end = position_ + 1;
    while (end < text_.size() && text_[end] != quote) end += quote == '"' && text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return Error("a quoted text has no end");
    const std::string_view inner = text_.substr(position_ + 1, end - position_ - 1);
    std::string value(inner);
    if (quote == '"' && !absl::CUnescape(ToAbsl(inner), &value)) return Error("a quoted text has a bad escape");
    position_ = end + 1;
    return value;
  }

  bool TakeWord(std::string_view word) {
    SkipSpace();
    const size_t end = position_ + word.size();
    if (text_.substr(position_, word.size()) != word) return false;
    // Consul wants white space behind a word; only what follows "empty" may be the end.
    if (end < text_.size() && !absl::ascii_isspace(static_cast<unsigned char>(text_[end])) && text_[end] != ')') {
      return false;
    }
    position_ = end;
    return true;
  }

  bool TakeSymbol(std::string_view symbol) {
    SkipSpace();
    if (text_.substr(position_, symbol.size()) != symbol) return false;
    position_ += symbol.size();
    return true;
  }

  void SkipSpace() {
    while (position_ < text_.size() && absl::ascii_isspace(static_cast<unsigned char>(text_[position_]))) ++position_;
  }

  static bool IsWordCharacter(char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '/';
  }

  absl::Status Error(std::string_view what) const {
    return InvalidField("filter", absl::StrCat("at character ", position_ + 1, ": ", ToAbsl(what)),
                        reason::kInvalidFilter);
  }

  const std::string_view text_;
  size_t position_ = 0;
};

}  // namespace

absl::StatusOr<Filter> Filter::Parse(std::string_view expression) {
  if (expression.size() > kMaxBytes) {
    return InvalidField("filter", absl::StrCat("must have at most ", kMaxBytes, " bytes"), reason::kInvalidFilter);
  }
  auto predicate = Parser(expression).Parse();
  if (!predicate.ok()) return predicate.status();
  return Filter(std::make_shared<const Node>(*std::move(predicate)));
}

bool Filter::Matches(const FilterSubject& subject) const { return root_->Matches(subject); }

}  // namespace meshgate::consul::embedded
