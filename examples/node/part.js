// The unfinished copy, OUT.part, and its record, OUT.part.json: section 5 of PROTOCOL.md.

import fs from 'node:fs';
import path from 'node:path';
import { crc32c } from './crc32c.js';

const RECORD_EVERY = 16 << 20; // bytes: what a kill costs at most

export class Part {
  #recorded = 0;

  constructor(out) {
    this.out = out;
    this.path = `${out}.part`;
    this.record = `${out}.part.json`;
    this.file = fs.openSync(this.path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644);
  }

  // Makes the receiver continue from the bytes of an earlier run if they still match its record, and otherwise from zero.
  takeUp(receiver) {
    let left;
    try {
      left = JSON.parse(fs.readFileSync(this.record, 'utf8'));
    } catch {
      left = {}; // no record, or not one of this program
    }
    if (left.name === receiver.name && left.revision && this.#checksum(left.good) === left.crc32c) {
      Object.assign(receiver, { revision: left.revision, size: left.size, position: left.good, checksum: left.crc32c });
    }
    this.cut(receiver);
  }

  // Reads the first bytes again; returns undefined if there are fewer.
  #checksum(good) {
    const buffer = Buffer.alloc(1 << 20);
    let checksum = 0;
    for (let at = 0; at < good; ) {
      const count = fs.readSync(this.file, buffer, 0, Math.min(buffer.length, good - at), at);
      if (!count) return undefined;
      checksum = crc32c(buffer.subarray(0, count), checksum);
      at += count;
    }
    return checksum;
  }

  // Truncates the part file after the good bytes, and records that.
  cut(receiver) {
    fs.ftruncateSync(this.file, receiver.position);
    this.note(receiver);
  }

  // Writes good bytes, which end at the receiver's position. The record is written after them, never before.
  write(data, receiver) {
    for (let done = 0; done < data.length; ) {
      done += fs.writeSync(this.file, data, done, data.length - done, receiver.position - data.length + done);
    }
    if (receiver.position - this.#recorded >= RECORD_EVERY) this.note(receiver);
  }

  note({ name, revision, size, position, checksum }) {
    fs.writeFileSync(`${this.record}.new`, JSON.stringify({ name, revision, size, good: position, crc32c: checksum }));
    fs.renameSync(`${this.record}.new`, this.record);
    this.#recorded = position;
  }

  // Gives the complete, verified copy its final name.
  commit() {
    fs.fsyncSync(this.file);
    fs.renameSync(this.path, this.out);
    const directory = fs.openSync(path.dirname(this.out), 'r');
    fs.fsyncSync(directory);
    fs.closeSync(directory);
    fs.unlinkSync(this.record);
  }

  // Keeps the good bytes after an error; if there are none, leaves no files.
  keep(receiver) {
    if (receiver.position) {
      this.note(receiver);
    } else {
      fs.unlinkSync(this.path);
      fs.unlinkSync(this.record);
    }
  }
}
