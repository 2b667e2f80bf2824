// A node's own record and heartbeat, and the check of another's record, written from protocol/01 and 03 alone.
import { hex } from './codec.mjs'
import { bindingDigest, open, recordKey, recoverWallet, seal } from './identity.mjs'

const DAY_MS = 24 * 3600 * 1000
const REGION = 'js'
const PRICE = 250000

function binding (identity, { network, chainId }, now) {
  const terms = { wallet: identity.wallet, peer: identity.peer, x25519: identity.x25519, network, chainId, issued: now, expires: now + 30 * DAY_MS }
  return seal(identity, network, 'binding', new Map([
    [0, 1], [1, identity.peer], [2, identity.wallet], [3, identity.x25519], [4, network], [5, chainId],
    [6, now], [7, terms.expires], [8, identity.signDigest(bindingDigest(terms))]
  ]))
}

function hardware () {
  return new Map([[1, 'none'], [2, []], [3, ''], [4, ''], [5, 'a browser, say'], [6, 2], [7, 2048], [8, 1024]])
}

export function makeRecord (identity, rules, { now, sequence, addrs }) {
  const runtimes = [new Map([[1, 'wasm'], [2, '1.0'], [3, 'hard']])]
  return seal(identity, rules.network, 'node-record', new Map([
    [0, 2], [1, identity.peer], [2, sequence], [3, rules.network], [4, now], [5, now + DAY_MS / 2], [6, addrs],
    [7, 'skyops-js/0'], [8, binding(identity, rules, now)], [9, true], [10, hardware()], [11, runtimes],
    [12, REGION], [13, ['runs-on=node']], [14, 1], [15, PRICE]
  ]))
}

export function makeBeat (identity, rules, { now, sequence, recordSequence, intervalMs, isLeaving = false }) {
  return seal(identity, rules.network, 'presence', new Map([
    [0, 3], [1, sequence], [2, recordSequence], [3, now], [4, intervalMs], [5, 1], [6, 0], [7, PRICE], [8, isLeaving]
  ]))
}

// Throws unless all three signatures of a record hold and it may stand under `key` (undefined: under any).
export function checkRecord (data, rules, key) {
  const { kind, peer, message } = open(rules.network, data)
  if (kind !== 'node-record' || hex(message[1]) !== hex(peer)) throw new Error('not its own record')
  const inner = open(rules.network, message[8])
  const bound = inner.message
  if (inner.kind !== 'binding' || hex(inner.peer) !== hex(peer)) throw new Error('not its own binding')
  const terms = { wallet: bound[2], peer: bound[1], x25519: bound[3], network: bound[4], chainId: bound[5], issued: bound[6], expires: bound[7] }
  if (hex(recoverWallet(bindingDigest(terms), bound[8])) !== hex(bound[2])) throw new Error('the wallet did not sign')
  if (key !== undefined && key !== recordKey(rules.network, peer)) throw new Error("under another's key")
  return { peer, sequence: message[2], wallet: bound[2], addrs: message[6], region: message[12] }
}
