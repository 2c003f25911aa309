// Fabric's hashes, written once more and not shared with the server: agreement is the point.

import { createHash } from 'node:crypto';

export function sha256(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function derElement(tag, content) {
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length, ...length]), content]);
}

/** SEQUENCE { INTEGER number, OCTET STRING previous_hash, OCTET STRING data_hash } */
export function headerDer(number, previousHash, dataHash) {
  let hex = BigInt(number).toString(16);
  if (hex.length % 2) hex = `0${hex}`;
  if (parseInt(hex.slice(0, 2), 16) & 0x80) hex = `00${hex}`;
  return derElement(
    0x30,
    Buffer.concat([
      derElement(0x02, Buffer.from(hex, 'hex')),
      derElement(0x04, Buffer.from(previousHash)),
      derElement(0x04, Buffer.from(dataHash)),
    ]),
  );
}

/** Fabric's order-preserving varint. */
export function orderPreserving(number) {
  let hex = BigInt(number).toString(16);
  if (hex.length % 2) hex = `0${hex}`;
  const digits = number === 0 ? Buffer.alloc(0) : Buffer.from(hex, 'hex');
  return Buffer.concat([Buffer.from([digits.length]), digits]);
}

export function uvarint(number) {
  const bytes = [];
  let rest = number;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});

export function crc32c(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC32C_TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
