// Canonical MessagePack, varints and framing, written from protocol/00 alone.
import { decode as unpack, encode as pack } from '@msgpack/msgpack'

export const concat = (...parts) => Uint8Array.from(Buffer.concat(parts))
export const utf8 = (text) => new TextEncoder().encode(text)
export const hex = (bytes) => Buffer.from(bytes).toString('hex')
export const unhex = (text) => Uint8Array.from(Buffer.from(text, 'hex'))

// A message is a Map with unsigned int keys. The library writes scalars in their shortest form; it cannot
// write int keys, so headers of maps and arrays are made here. None of ours is longer than 15 entries in a
// map, or 2^16 - 1 in an array.
export function encode (value) {
  if (value instanceof Map) {
    const entries = [...value].filter(([, item]) => item !== undefined).sort(([a], [b]) => a - b)
    const head = entries.length < 16 ? [0x80 | entries.length] : [0xde, entries.length >> 8, entries.length & 255]
    return concat(Uint8Array.from(head), ...entries.flatMap(([key, item]) => [pack(key), encode(item)]))
  }
  if (Array.isArray(value)) {
    const head = value.length < 16 ? [0x90 | value.length] : [0xdc, value.length >> 8, value.length & 255]
    return concat(Uint8Array.from(head), ...value.map(encode))
  }
  return pack(value)
}

// Returns nested plain objects; the keys are the numbers of the fields.
export const decode = (bytes) => unpack(bytes)

export function uvarint (value) {
  const out = []
  while (value > 0x7f) { out.push((value & 0x7f) | 0x80); value >>>= 7 }
  return Uint8Array.from([...out, value])
}

export function readUvarint (bytes, offset) {
  let value = 0
  for (let index = 0; index < 4; index++) {
    const byte = bytes[offset + index]
    if (byte === undefined) break
    value |= (byte & 0x7f) << (7 * index)
    if (byte < 0x80) return [value, offset + index + 1]
  }
  throw new Error('not a length')
}

export const prefixed = (bytes) => concat(uvarint(bytes.length), bytes)
