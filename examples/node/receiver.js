// The checks of section 3 of PROTOCOL.md, in the order of its table.

import { crc32c } from './crc32c.js';
import { Failure } from './failure.js';

// Checks messages. It lasts for all attempts; its position moves only past good bytes.
export class Receiver {
  state = 'opening';
  position = 0; // the first byte that is missing
  checksum = 0; // of the bytes before it
  revision = ''; // pinned, unless empty
  size = undefined; // of that revision
  known = undefined; // the whole file's checksum, as sent by the server

  constructor(name) {
    this.name = name;
  }

  // Starts an attempt: requests the missing bytes, to the end of the file.
  request(attempt, transferId, blockSize) {
    this.state = 'opening';
    const request = { name: this.name, start: String(this.position), attempt, transfer_id: transferId };
    if (this.revision) request.revision = this.revision;
    if (blockSize) request.block_size = blockSize;
    return request;
  }

  // Checks a message; returns its bytes, which are good now, if it has any.
  receive({ header, block, summary }) {
    if (header) {
      this.#mustBe('opening', 'header');
      this.#open(header);
      this.state = 'receiving';
    }
    let [end, checksum] = [this.position, this.checksum];
    if (block) {
      this.#mustBe('receiving', 'block');
      this.#check(block);
      end += block.data.length;
      checksum = crc32c(block.data, checksum);
    }
    if (summary) {
      this.#mustBe('receiving', 'summary');
      this.#close(summary, end);
      this.state = 'complete';
    } else if (!header && !block && this.state === 'complete') {
      throw new Failure('SEQUENCE', 'a heartbeat arrived after the summary');
    }
    [this.position, this.checksum] = [end, checksum];
    return block?.data;
  }

  #mustBe(state, what) {
    if (this.state !== state) throw new Failure('SEQUENCE', `a ${what} arrived out of order (while ${this.state})`);
  }

  #open(header) {
    const info = header.info;
    const [start, length, size] = [number(header.start), number(header.length), number(info?.size ?? 0)];
    if (!info || info.name !== this.name || !info.revision || size < 0 || length < 0) {
      throw new Failure('PROTOCOL', `the header does not describe ${JSON.stringify(this.name)}`);
    }
    if (this.revision && info.revision !== this.revision) {
      throw new Failure('FILE_CHANGED', `revision ${this.revision} was asked for, ${info.revision} is offered`);
    }
    if (this.revision && size !== this.size) {
      throw new Failure('PROTOCOL', `revision ${this.revision} had ${this.size} bytes before and has ${size} now`);
    }
    this.#learn(info);
    if (start !== this.position) {
      throw new Failure('START_IGNORED', `asked for the bytes from ${this.position}, they are offered from ${start}`);
    }
    if (this.position > size) {
      throw new Failure('START_PAST_END', `asked for the bytes from ${this.position}, the file ends at ${size}`);
    }
    if (start + length !== size) {
      throw new Failure('START_IGNORED', `asked for all from ${start} to ${size}, ${length} bytes are offered`);
    }
    [this.revision, this.size] = [info.revision, size];
  }

  #check({ offset, data, crc32c: said }) {
    const end = this.position + data.length;
    if (number(offset) !== this.position) {
      throw new Failure('SEQUENCE', `a block begins at byte ${offset}, byte ${this.position} is missing`);
    }
    if (!data.length) throw new Failure('PROTOCOL', 'an empty block arrived');
    if (end > this.size) throw new Failure('TOO_MUCH_DATA', `a block reaches to byte ${end}, ${this.size} were promised`);
    if (crc32c(data) !== said) {
      throw new Failure('BLOCK_CORRUPT', `the ${data.length} bytes at ${offset} are not what their checksum says`);
    }
  }

  #close(summary, end) {
    if (number(summary.end) !== end || end !== this.size) {
      throw new Failure('TRUNCATED', `bytes up to ${end} arrived, the summary says ${summary.end} of ${this.size}`);
    }
    if (!summary.at_end) throw new Failure('PROTOCOL', `the summary is wrong about byte ${end} being the file's end`);
    this.#learn(summary);
  }

  // Stores the whole file's checksum if it is present: an absent one and one of 0 differ. It must never change.
  #learn(message) {
    if (message._crc32c !== 'crc32c') return;
    if (this.known !== undefined && this.known !== message.crc32c) {
      throw new Failure('PROTOCOL', `the server gives different checksums for revision ${this.revision}`);
    }
    this.known = message.crc32c;
  }
}

// Returns a 64 bit number, which proto-loader hands out as text.
function number(text) {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new Failure('PROTOCOL', `${text} is more than there are bytes`);
  return value;
}
