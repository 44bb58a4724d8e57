#include "tests/conformance/cpp/outcome.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/status.pb.h"
#include "tests/conformance/service.h"

namespace meshgate::conformance {
namespace {

using Lines = google::protobuf::RepeatedPtrField<std::string>;

constexpr size_t kLong = 64;
constexpr char kDetails[] = "grpc-status-details-bin";

// Ordered by key, values of one key as they came.
void AddLines(Metadata metadata, Lines* lines) {
  std::stable_sort(metadata.begin(), metadata.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [key, value] : metadata) {
    if (value.size() > kLong) {
      *lines->Add() = absl::StrCat(key, ": (", value.size(), ")");
    } else {
      *lines->Add() = absl::StrCat(key, ": ", absl::EndsWith(key, "-bin") ? absl::BytesToHexString(value) : value);
    }
  }
}

void Sort(const std::multimap<grpc::string_ref, grpc::string_ref>& received, Lines* ours, Lines* others) {
  Metadata x, rest;
  for (const auto& [key, value] : received) {
    if (key == kDetails) continue;
    (key.starts_with("x-") ? x : rest)
        .emplace_back(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
  }
  AddLines(std::move(x), ours);
  AddLines(std::move(rest), others);
}

void TellDetails(const std::string& serialized, v1::Details* details) {
  google::rpc::Status status;
  if (!status.ParseFromString(serialized)) return;
  details->set_code(status.code());
  details->set_message(status.message());
  for (const auto& detail : status.details()) {
    google::rpc::ErrorInfo info;
    if (!detail.UnpackTo(&info)) continue;
    details->mutable_info()->set_reason(info.reason());
    details->mutable_info()->set_domain(info.domain());
    *details->mutable_info()->mutable_metadata() = info.metadata();
  }
}

}  // namespace

void TellEnd(const v1::Case& c, const grpc::Status& status, const grpc::ClientContext& context, v1::Outcome* outcome) {
  outcome->set_code(status.error_code());
  if (c.tell_message()) outcome->set_message(status.error_message());
  if (!status.error_details().empty()) TellDetails(status.error_details(), outcome->mutable_details());
  Sort(context.GetServerInitialMetadata(), outcome->mutable_initial_metadata(), outcome->mutable_other_metadata());
  Sort(context.GetServerTrailingMetadata(), outcome->mutable_trailing_metadata(), outcome->mutable_other_metadata());
}

void TellReport(const v1::Case& c, const v1::Report& report, v1::Outcome* outcome) {
  AddLines(ToMetadata(report.metadata()), outcome->mutable_server_metadata());
  outcome->set_has_peer(report.has_peer());
  outcome->set_has_deadline(report.has_deadline());
  const int64_t set = c.timeout_ms();
  // grpc-timeout has eight digits: seconds of days are rounded up to minutes or hours.
  outcome->set_deadline_plausible(report.has_deadline() && set > 0 && report.deadline_left_ms() >= set - 30'000 &&
                                  report.deadline_left_ms() <= set + set / 100);
}

}  // namespace meshgate::conformance
