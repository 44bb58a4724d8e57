// The JSON API as data: what is served at which path, how it becomes a request of meshgate.v1, and what is said of it
// in /openapi.json.
#ifndef MESHGATE_SERVER_HTTP_API_ROUTE_H_
#define MESHGATE_SERVER_HTTP_API_ROUTE_H_

#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace meshgate::server::api {

// A variable of a path, or a parameter of a query.
struct Parameter {
  std::string name;
  // The field of the request that it sets: "options.max_age". Empty: the route's own code reads it.
  std::string field;
  // One sentence, for those that the field's name does not explain.
  std::string help;
  // Of those without a field: a value, for readers who cannot guess it.
  std::string example = {};
  // Of those without a field: true where it is there.
  bool flag = false;
};

struct Route {
  enum class Body {
    kNone,
    kJson,          // The request as JSON; what a path or a query sets need not be in it.
    kOptionalJson,  // As before, or nothing.
    kValue,         // As before, or the value as it is.
  };

  std::string method;
  // As Router::Add() takes it.
  std::string pattern;
  // The method that is called: "meshgate.v1.ConfigService", "GetConfig".
  std::string service;
  std::string rpc;
  std::string summary;
  const google::protobuf::Descriptor* request = nullptr;
  const google::protobuf::Descriptor* response = nullptr;
  Body body = Body::kNone;
  std::vector<Parameter> variables;
  std::vector<Parameter> parameters;
  // Answers with more and more messages, as events, lines or after a wait.
  bool streams = false;
  // The headers of conditions that it takes, such as "If-Match".
  std::vector<std::string> conditions = {};
};

}  // namespace meshgate::server::api

#endif  // MESHGATE_SERVER_HTTP_API_ROUTE_H_
