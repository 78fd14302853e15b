// CRC32C, section 4 of PROTOCOL.md.

const table = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  table[byte] = value;
}

// Returns the checksum of bytes whose checksum is `before`, followed by `data`.
export function crc32c(data, before = 0) {
  let value = ~before;
  for (let at = 0; at < data.length; at++) value = table[(value ^ data[at]) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}
