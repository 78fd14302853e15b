// Downloads one file from a server of unspool.v1. It is written from PROTOCOL.md and the .proto alone, and is there to
// show that they are enough; the comments name the sections they follow.

import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { Failure, answered } from './failure.js';
import { Part } from './part.js';
import { Receiver } from './receiver.js';

const USAGE = `usage: node get.js HOST:PORT NAME OUT [--start-from-part] [--retry-budget N] [--idle-timeout SECONDS]

Downloads NAME to OUT. Until it is whole it is OUT.part, beside a small OUT.part.json.
`;

// Section 13: sizes as text, names as in the .proto, and which optional fields are present.
const { unspool } = grpc.loadPackageDefinition(
  loadSync('unspool/v1/file_service.proto', {
    includeDirs: [fileURLToPath(new URL('../../proto', import.meta.url))],
    keepCase: true, longs: String, defaults: true, oneofs: true,
  }),
);

// Sections 7 and 13: the retry budget of this program decides when to retry, and the window suits the link.
function connect(target, window) {
  return new unspool.v1.FileService(target, grpc.credentials.createInsecure(), {
    'grpc.enable_retries': 0,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc-node.flow_control_window': window,
  });
}

class Download {
  #attempts = 0;
  #transferId = randomUUID();
  #blockSize; // undefined leaves it to the server

  constructor(target, name, out, { idleTimeout, retryBudget }) {
    Object.assign(this, { target, idleTimeout, retryBudget });
    this.part = new Part(out);
    this.receiver = new Receiver(name);
    this.client = connect(target, 4 << 20);
  }

  async run(startFromPart) {
    if (startFromPart) this.part.takeUp(this.receiver);
    else this.part.cut(this.receiver);
    let resumed = this.receiver.position;
    try {
      for (;;) {
        await this.#fetch();
        const { size, checksum, known, name } = this.receiver;
        if (known === undefined || known === checksum) {
          this.part.commit();
          const verified = known === undefined ? 'blocks' : 'file';
          return `${size} bytes, ${resumed} of them here before, attempts: ${this.#attempts}, verified: ${verified}`;
        }
        if (!resumed) throw new Failure('FILE_MISMATCH', `crc32c is ${hex(checksum)} here, ${hex(known)} there`);
        resumed = 0; // the bytes of an earlier run are damaged: section 5, step 6
        this.receiver = new Receiver(name);
        this.part.cut(this.receiver);
      }
    } catch (error) {
      this.part.keep(this.receiver);
      throw error;
    } finally {
      this.client.close();
    }
  }

  // Makes attempts until the read is complete, or the budget is spent: section 7, trying again.
  async #fetch() {
    for (let fruitless = 0; ; ) {
      const before = this.receiver.position;
      this.#attempts++;
      try {
        return await this.#attempt();
      } catch (error) {
        if (!error.again) throw error;
        fruitless = this.receiver.position > before ? 0 : fruitless + 1;
        if (fruitless >= this.retryBudget) throw error;
        if (error.reason === 'STALLED') this.#expectLess();
        const bound = Math.min(30, 0.25 * 2 ** Math.max(fruitless - 1, 0));
        const wait = Math.random() * bound + Math.min(Math.max(error.retryAfter, 0), 300);
        console.error(`get: retrying in ${wait.toFixed(1)} s: ${error.message}`);
        await sleep(wait * 1000);
      }
    }
  }

  // Section 7, after a stall: smaller blocks, another connection, a small window. These settings last for the rest of the transfer.
  #expectLess() {
    this.#blockSize = Math.max(1024, (this.#blockSize ?? 64 * 1024) / 8);
    this.client.close();
    this.client = connect(this.target, 8 * this.#blockSize);
  }

  // Reads one stream. Returns when the read is complete.
  async #attempt() {
    const { receiver, idleTimeout } = this;
    const call = this.client.ReadFile(receiver.request(this.#attempts, this.#transferId, this.#blockSize));
    let stalled;
    const timer = setTimeout(() => {
      stalled = new Failure('STALLED', `the server sent nothing for ${idleTimeout} s`);
      call.cancel();
    }, idleTimeout * 1000);
    call.on('error', () => {}); // a cancelled call emits an error after its other listeners are removed
    try {
      for await (const message of call) {
        const data = receiver.receive(message);
        if (data) this.part.write(data, receiver);
        timer.refresh();
      }
    } catch (error) {
      if (receiver.state === 'complete') return; // then the status no longer matters
      throw stalled ?? (error.code in grpc.status && error.metadata ? answered(error) : error);
    } finally {
      clearTimeout(timer);
      call.cancel();
    }
    if (receiver.state !== 'complete') {
      throw new Failure('TRUNCATED', `the stream ended without its summary, at byte ${receiver.position}`);
    }
  }
}

const hex = (checksum) => checksum.toString(16).padStart(8, '0');

async function main() {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        'start-from-part': { type: 'boolean' },
        'retry-budget': { type: 'string', default: '10' },
        'idle-timeout': { type: 'string', default: '30' },
      },
    });
  } catch (error) {
    console.error(`get: ${error.message}`);
  }
  if (parsed?.positionals.length !== 3) {
    process.stderr.write(USAGE);
    return 2;
  }
  const [target, name, out] = parsed.positionals;
  const options = {
    retryBudget: Number(parsed.values['retry-budget']),
    idleTimeout: parseFloat(parsed.values['idle-timeout']),
  };
  try {
    console.log(`${out}: ${await new Download(target, name, out, options).run(parsed.values['start-from-part'])}`);
    return 0;
  } catch (error) {
    console.error(`get: ${error.message}`);
    return 1;
  }
}

process.exitCode = await main();
