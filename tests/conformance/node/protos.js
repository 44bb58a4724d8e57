'use strict';
// Messages from the descriptor set that the build makes.

const fs = require('fs');
const protoLoader = require('@grpc/proto-loader');

let definitions;

function load(path) {
  definitions = protoLoader.loadFileDescriptorSetFromBuffer(
    fs.readFileSync(path), {keepCase: true, longs: Number, enums: String, defaults: true});
}

const message = (name) => definitions[name];
const conformance = (name) => definitions['meshgate.conformance.v1.' + name];

// The definition of a method by its path.
function method(path) {
  const [, service, name] = path.split('/');
  return definitions[service] && definitions[service][name];
}

module.exports = {load, message, conformance, method};
