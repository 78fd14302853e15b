// Errors, with their names in section 6 of PROTOCOL.md.

import { status } from '@grpc/grpc-js';

// The reasons a server may send, and whether the same request may succeed later.
const reasons = {
  INVALID_REQUEST: false, INVALID_NAME: false, INVALID_RANGE: false, START_PAST_END: false, UNSUPPORTED: false,
  FILE_NOT_FOUND: false, NOT_A_FILE: false, UNAUTHENTICATED: false, PERMISSION_DENIED: false, OUTSIDE_ROOT: false,
  FILE_CHANGED: false, DATA_LOSS: false, UNAVAILABLE: true, OVERLOADED: true, STREAM_AGE: true, SERVER_ERROR: true,
};

// Faults that the client detects.
const findings = {
  BLOCK_CORRUPT: true, SEQUENCE: true, TOO_MUCH_DATA: true, TRUNCATED: true, STALLED: true,
  START_IGNORED: false, PROTOCOL: false, FILE_MISMATCH: false,
};

// The reason for a status without a known reason.
const byStatus = {
  CANCELLED: 'UNAVAILABLE', UNKNOWN: 'SERVER_ERROR', INVALID_ARGUMENT: 'INVALID_REQUEST', DEADLINE_EXCEEDED: 'STALLED',
  NOT_FOUND: 'FILE_NOT_FOUND', ALREADY_EXISTS: 'SERVER_ERROR', PERMISSION_DENIED: 'PERMISSION_DENIED',
  UNAUTHENTICATED: 'UNAUTHENTICATED', RESOURCE_EXHAUSTED: 'OVERLOADED', FAILED_PRECONDITION: 'INVALID_REQUEST',
  ABORTED: 'SERVER_ERROR', UNIMPLEMENTED: 'UNSUPPORTED', OUT_OF_RANGE: 'START_PAST_END', INTERNAL: 'SERVER_ERROR',
  UNAVAILABLE: 'UNAVAILABLE', DATA_LOSS: 'DATA_LOSS',
};

export class Failure extends Error {
  constructor(reason, message, { code, retryAfter = 0 } = {}) {
    super(code === undefined ? `${reason}: ${message}` : `${reason} (${code}): ${message}`);
    this.reason = reason;
    this.again = reasons[reason] ?? findings[reason];
    this.retryAfter = retryAfter; // delay in seconds that the server requested
  }
}

// Returns the failure for a status other than OK.
export function answered(error) {
  const code = status[error.code] ?? 'UNKNOWN';
  let reason;
  let retryAfter = 0;
  for (const details of error.metadata?.get('grpc-status-details-bin') ?? []) {
    for (const [type, value] of detailsOf(details)) {
      if (type === 'type.googleapis.com/google.rpc.ErrorInfo') {
        const info = Object.fromEntries(fields(value));
        if (String(info[2]) === 'unspool' && String(info[1]) in reasons) reason = String(info[1]);
      } else if (type === 'type.googleapis.com/google.rpc.RetryInfo') {
        const delay = Object.fromEntries(fields(Object.fromEntries(fields(value))[1] ?? Buffer.alloc(0)));
        retryAfter = Number(delay[1] ?? 0) + Number(delay[2] ?? 0) / 1e9;
      }
    }
  }
  if (reason === undefined) {
    const byGrpcItself = code === 'RESOURCE_EXHAUSTED' && /larger than max/.test(error.details);
    reason = byGrpcItself ? 'PROTOCOL' : byStatus[code];
  }
  return new Failure(reason, error.details, { code, retryAfter });
}

// Returns the type and the value of each detail of a google.rpc.Status; skips details that do not parse.
function detailsOf(data) {
  try {
    return [...fields(data)].filter(([number]) => number === 3).map(([, any]) => {
      const { 1: type, 2: value } = Object.fromEntries(fields(any));
      return [String(type), value ?? Buffer.alloc(0)];
    });
  } catch {
    return [];
  }
}

// Yields the fields of a message by number: integers as BigInt, length-delimited fields as bytes.
function* fields(data) {
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (at >= data.length) throw new RangeError('cut short');
      const byte = data[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw new RangeError('not a number');
  };
  while (at < data.length) {
    const tag = Number(varint());
    const kind = tag & 7;
    if (kind === 0) {
      yield [tag >> 3, varint()];
      continue;
    }
    const size = kind === 2 ? Number(varint()) : { 1: 8, 5: 4 }[kind];
    if (!(at + size <= data.length)) throw new RangeError('cut short');
    yield [tag >> 3, data.subarray(at, at + size)];
    at += size;
  }
}
