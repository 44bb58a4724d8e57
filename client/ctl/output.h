// How meshgatectl prints what it got. Data goes to the stream given, one record per line. In text every field has C
// escapes where it is not printable UTF-8, so that a record stays a line, whatever somebody put into a name.
#ifndef MESHGATE_CLIENT_CTL_OUTPUT_H_
#define MESHGATE_CLIENT_CTL_OUTPUT_H_

#include <ostream>
#include <string>

#include "google/protobuf/message.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"

namespace meshgate::ctl {

// protobuf's JSON form on one line: lowerCamelCase names, bytes in base64, 64-bit integers as strings, fields with
// their default value written too.
void PrintJson(const google::protobuf::Message& message, std::ostream& out);

// key, modify index and value, separated by tabs. The key alone with `keys_only`.
void PrintEntry(const v1::ConfigEntry& entry, bool keys_only, std::ostream& out);

// key and modify index, separated by a tab.
void PrintWritten(const v1::ConfigEntry& entry, std::ostream& out);

// id, node, address:port, status and tags, separated by tabs.
void PrintInstance(const v1::DiscoveredInstance& instance, std::ostream& out);

void PrintEvent(const v1::ConfigEvent& event, std::ostream& out);
void PrintEvent(const v1::ServiceEvent& event, std::ostream& out);

// id and "registered" or "waiting", separated by a tab.
void PrintHold(const v1::HoldRegistrationResponse& state, std::ostream& out);

// name and tags, separated by a tab.
void PrintService(const v1::ListServicesResponse::Service& service, std::ostream& out);

}  // namespace meshgate::ctl

#endif  // MESHGATE_CLIENT_CTL_OUTPUT_H_
