'use strict';
// Cases of the services that gRPC brings: health and reflection.

const {ended, inTime, tellEnd} = require('./calls');
const metadata = require('./metadata');
const protos = require('./protos');

const HEALTH = '/grpc.health.v1.Health/';
const REFLECTION = '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo';

function typesOf(path) {
  const method = protos.method(path);
  return [path, method.requestSerialize, method.responseDeserialize];
}

async function check(client, c) {
  const outcome = {answers: []};
  const call = client.makeUnaryRequest(
    ...typesOf(HEALTH + 'Check'), {service: c.health_service}, inTime(),
    (error, response) => { if (!error) outcome.answers.push(response.status); });
  tellEnd(c, await ended(call, false), outcome);
  return outcome;
}

async function watch(client, c) {
  const outcome = {answers: []};
  const call = client.makeServerStreamRequest(
    ...typesOf(HEALTH + 'Watch'), {service: c.health_service}, metadata.toGrpc([]), inTime());
  call.on('data', (response) => {
    outcome.answers.push(response.status);
    call.cancel();
  });
  tellEnd(c, await ended(call, true), outcome);
  return outcome;
}

async function reflect(client, c) {
  const outcome = {answers: []};
  const call = client.makeBidiStreamRequest(...typesOf(REFLECTION), metadata.toGrpc([]), inTime());
  call.on('data', (response) => outcome.answers.push(...answers(response, c.symbol)));
  call.write(c.symbol ? {file_containing_symbol: c.symbol} : {list_services: '*'});
  call.end();
  tellEnd(c, await ended(call, true), outcome);
  return outcome;
}

function answers(response, symbol) {
  if (response.error_response) return [`error ${response.error_response.error_code}`];
  if (response.list_services_response) return response.list_services_response.service.map(({name}) => name).sort();
  const files = response.file_descriptor_response.file_descriptor_proto.map(
    (serialized) => protos.message('google.protobuf.FileDescriptorProto').deserialize(serialized));
  return files
    .flatMap((file) => file.service.filter(({name}) => `${file.package}.${name}` === symbol))
    .flatMap((service) => service.method.map(({name}) => name))
    .sort();
}

const runners = {'Health/Check': check, 'Health/Watch': watch, 'Reflection': reflect};

module.exports = {runners};
