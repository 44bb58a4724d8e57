'use strict';
// Metadata between the script, gRPC and what an outcome says of it.

const grpc = require('@grpc/grpc-js');

// Not the server's doing, or different each time.
const LEFT_OUT = ['date', 'grpc-status-details-bin'];

function toGrpc(entries) {
  const metadata = new grpc.Metadata();
  for (const {key, value, times} of entries) {
    const repeated = Buffer.concat(Array(Math.max(times, 1)).fill(value));
    metadata.add(key, key.endsWith('-bin') ? repeated : repeated.toString('latin1'));
  }
  return metadata;
}

function shown(value) {
  if (value.length > 64) return `(${value.length})`;
  return Buffer.isBuffer(value) ? value.toString('hex') : value;
}

function line(key, value) {
  return `${key}: ${shown(value)}`;
}

// Ordered by key, values of one key as they came.
function lines(metadata, wanted) {
  if (!metadata) return [];
  const keys = Object.keys(metadata.getMap()).filter(wanted).sort();
  return keys.flatMap((key) => metadata.get(key).map((value) => line(key, value)));
}

const ours = (metadata) => lines(metadata, (key) => key.startsWith('x-'));
const others = (metadata) => lines(metadata, (key) => !key.startsWith('x-') && !LEFT_OUT.includes(key));

// Of the report: already in order, all values in bytes.
const reported = (entries) =>
  entries.map(({key, value}) => line(key, key.endsWith('-bin') ? value : value.toString('latin1')));

module.exports = {toGrpc, ours, others, reported};
