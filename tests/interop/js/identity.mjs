// Keys, typed data and envelopes, written from protocol/01 and protocol/02 alone.
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { keccak_256 as keccak } from '@noble/hashes/sha3.js'
import { concat, decode, encode, hex, prefixed, readUvarint, unhex, utf8 } from './codec.mjs'

const PUBLIC_KEY = unhex('08011220') // libp2p's protobuf of an Ed25519 key, up to the key
const IDENTITY_HASH = unhex('0024') // the multihash of a peer id: the key itself, 36 bytes
const TAGS = [0x0a, 0x12, 0x1a, 0x2a] // fields 1, 2, 3 and 5 of libp2p's signed envelope

export class Identity {
  constructor (seed, walletSecret) {
    this.seed = seed
    this.publicKey = ed25519.getPublicKey(seed)
    this.peer = concat(IDENTITY_HASH, PUBLIC_KEY, this.publicKey)
    this.x25519 = x25519.getPublicKey(hkdf(sha256, seed, undefined, utf8('skyops/x25519/1'), 32))
    this.walletSecret = walletSecret
    this.wallet = keccak(secp256k1.getPublicKey(walletSecret, false).subarray(1)).subarray(12)
  }

  sign (bytes) { return ed25519.sign(bytes, this.seed) }

  // r, s, v with v 27 or 28; the library puts the recovery bit in front.
  signDigest (digest) {
    const raw = secp256k1.sign(digest, this.walletSecret, { prehash: false, format: 'recovered' })
    return concat(raw.subarray(1), Uint8Array.from([27 + raw[0]]))
  }
}

function uint (value) {
  return unhex(BigInt(value).toString(16).padStart(64, '0'))
}

// EIP-712, domain "Skyops" version "1".
export function bindingDigest ({ wallet, peer, x25519: key, network, chainId, issued, expires }) {
  const domain = keccak(concat(
    keccak(utf8('EIP712Domain(string name,string version,uint256 chainId)')),
    keccak(utf8('Skyops')), keccak(utf8('1')), uint(chainId)))
  const type = 'Binding(address wallet,bytes peerId,bytes32 x25519,string network,uint64 issuedUnixMs,uint64 expiresUnixMs)'
  const struct = keccak(concat(
    keccak(utf8(type)), new Uint8Array(12), wallet, keccak(peer), key,
    keccak(utf8(network)), uint(issued), uint(expires)))
  return keccak(concat(unhex('1901'), domain, struct))
}

export function recoverWallet (digest, signature) {
  const raw = concat(Uint8Array.from([signature[64] - 27]), signature.subarray(0, 64))
  const point = secp256k1.Signature.fromBytes(raw, 'recovered').recoverPublicKey(digest)
  return keccak(point.toBytes(false).subarray(1)).subarray(12)
}

function signedBytes (network, kind, payload) {
  return concat(...[utf8(`skyops/${network}/${kind}/1`), utf8(`/skyops/${kind}`), payload].map(prefixed))
}

export function seal (identity, network, kind, message) {
  const payload = encode(message)
  const signature = identity.sign(signedBytes(network, kind, payload))
  const values = [concat(PUBLIC_KEY, identity.publicKey), utf8(`/skyops/${kind}`), payload, signature]
  return concat(...values.flatMap((value, index) => [Uint8Array.from([TAGS[index]]), prefixed(value)]))
}

// Returns { kind, peer, message }; throws unless the signature holds for this network.
export function open (network, data) {
  const values = []
  let offset = 0
  for (const tag of TAGS) {
    if (data[offset] !== tag) throw new Error('not an envelope')
    const [length, start] = readUvarint(data, offset + 1)
    offset = start + length
    values.push(data.subarray(start, offset))
  }
  const [key, type, payload, signature] = values
  const kind = Buffer.from(type).toString().replace('/skyops/', '')
  const isSigned = offset === data.length && hex(key.subarray(0, 4)) === hex(PUBLIC_KEY) &&
    ed25519.verify(signature, signedBytes(network, kind, payload), key.subarray(4))
  if (!isSigned) throw new Error('the signature does not fit')
  return { kind, peer: concat(IDENTITY_HASH, key), message: decode(payload) }
}

// Protocol/03: the DHT key of a peer's record.
export function recordKey (network, peer) {
  return '/skyops/n/' + hex(sha256(concat(utf8(`skyops/${network}/node/`), peer))).slice(0, 32)
}
