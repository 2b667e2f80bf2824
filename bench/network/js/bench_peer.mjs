// A js-libp2p peer for the benchmarks, with the commands of bench/network/_py_peer.py.
import crypto from 'node:crypto'
import readline from 'node:readline'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { sha256 } from '@noble/hashes/sha2.js'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { concat, unhex, utf8 } from './codec.mjs'

const NETWORK = 'bench'
const TOPIC = `/skyops/${NETWORK}/load/1`
const ECHO = `/skyops/${NETWORK}/echo/1.0.0`
const BYTES = `/skyops/${NETWORK}/bytes/1.0.0`
const STAMP_BYTES = 8
const now = () => process.hrtime.bigint() // the same monotonic clock as Python's
const micros = (start) => Number(now() - start) / 1e3
const within = (ms = 30000) => AbortSignal.timeout(ms)
const tell = (line) => process.stdout.write(JSON.stringify(line) + '\n')

function messageId (message) {
  const seqno = unhex(message.sequenceNumber.toString(16).padStart(16, '0'))
  return concat(message.from.toMultihash().bytes, seqno)
}

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionManager: { inboundConnectionThreshold: 10000 }, // its 5 a second from one host stop the dialling benchmark
  services: {
    identify: identify(),
    ping: ping(),
    dht: kadDHT({
      protocol: `/skyops/${NETWORK}/kad/1.0.0`,
      clientMode: false,
      peerInfoMapper: passthroughMapper,
      initialQuerySelfInterval: 1000,
      allowQueryWithZeroPeers: true,
      validators: { skyops: async () => {} },
      selectors: { skyops: () => 0 }
    }),
    pubsub: gossipsub({
      D: 6,
      Dlo: 4,
      Dhi: 8,
      floodPublish: false,
      emitSelf: false,
      allowPublishToZeroTopicPeers: true,
      globalSignaturePolicy: 'StrictSign',
      msgIdFn: messageId,
      scoreParams: { IPColocationFactorWeight: 0 } // all peers have one address here, and more than ten would be shunned
    })
  }
})

// --- gossip ------------------------------------------------------------------------------------------------
let latencies = []
let sent = 0
let until = 0n
node.services.pubsub.addEventListener('gossipsub:message', ({ detail: { msg } }) => {
  const arrived = now()
  if (arrived <= until) latencies.push(Math.round(Number(arrived - Buffer.from(msg.data).readBigUInt64BE(0)) / 1e3))
})
node.services.pubsub.subscribe(TOPIC)

async function publishAll ({ t0_ns: t0, gap_ns: gap, first, step, count, size }) {
  for (let index = first; index < count; index += step) {
    const due = BigInt(t0) + BigInt(index) * BigInt(gap)
    const rest = Number(due - now()) / 1e6
    if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest))
    const payload = crypto.randomBytes(size)
    payload.writeBigUInt64BE(due, 0)
    await node.services.pubsub.publish(TOPIC, Uint8Array.from(payload))
    sent++
  }
}

// --- echo ----------------------------------------------------------------------------------------------------
await node.handle(ECHO, async (stream) => {
  const frames = lpStream(stream)
  try {
    // The status byte of an answer in front, as our request protocol has it.
    while (true) await frames.write(concat(Uint8Array.of(0), (await frames.read()).subarray()))
  } catch (error) {
    stream.close().catch(() => stream.abort(error))
  }
}, { maxInboundStreams: 1024 })

async function echo ({ peer, count, size, fresh }) {
  const payload = Uint8Array.from(crypto.randomBytes(size))
  const open = () => node.dialProtocol(peerIdFromString(peer), ECHO, { signal: within(), maxOutboundStreams: 1024 })
  const times = []
  let stream = fresh ? undefined : await open()
  let frames = fresh ? undefined : lpStream(stream)
  for (let index = 0; index < count; index++) {
    const start = now()
    if (fresh) frames = lpStream(stream = await open())
    await frames.write(payload, { signal: within() })
    await frames.read({ signal: within() })
    times.push(micros(start))
    if (fresh) await stream.close({ signal: within() })
  }
  return { us: times }
}

// --- bytes one way ---------------------------------------------------------------------------------------------
const PIECE = crypto.randomBytes(256 * 1024)
let arrived = 0
let awaited = { bytes: 0, done: () => {} }
await node.handle(BYTES, async (stream) => {
  for await (const data of stream) {
    arrived += data.byteLength
    if (arrived >= awaited.bytes) awaited.done()
  }
})

const sink = ({ size }) => new Promise((resolve) => {
  arrived = 0
  awaited = { bytes: size, done: () => resolve({}) }
})

async function push ({ peer, size }) {
  const stream = await node.dialProtocol(peerIdFromString(peer), BYTES, { signal: within() })
  for (let left = size; left > 0; left -= PIECE.length) {
    if (!stream.send(left < PIECE.length ? PIECE.subarray(0, left) : PIECE)) await stream.onDrain({ signal: within() })
  }
  await stream.close({ signal: within() })
  return {}
}

// --- the DHT ---------------------------------------------------------------------------------------------------
const place = (key) => CID.createV1(0x55, createDigest(0x12, sha256(utf8(key)))) // raw, SHA-256

async function first (events, wanted) {
  for await (const event of events) if (event.name === wanted) return true
  return false
}

async function timed (work) {
  const start = now()
  const found = await work()
  return { us: micros(start), is_found: found }
}

const dht = node.services.dht
const commands = {
  dial: ({ addr }) => timed(() => node.dial(multiaddr(addr), { signal: within() }).then(() => true)),
  hangup: async ({ peer }) => { await node.hangUp(peerIdFromString(peer), { signal: within() }); return {} },
  mesh: async () => ({ mesh: node.services.pubsub.getMeshPeers(TOPIC).length }),
  gossip_run: async (plan) => { latencies = []; sent = 0; until = BigInt(plan.until_ns); publishAll(plan); return {} },
  gossip_report: async () => ({ latencies_us: latencies, sent }),
  echo,
  sink,
  push,
  dht_put: ({ key, value }) => timed(() => first(dht.put(utf8(key), utf8(value), { signal: within() }), 'none')),
  dht_get: ({ key }) => timed(() => first(dht.get(utf8(key), { signal: within() }), 'VALUE')),
  dht_provide: ({ key }) => timed(() => first(dht.provide(place(key), { signal: within() }), 'none')),
  dht_find: ({ key }) => timed(() => first(dht.findProviders(place(key), { signal: within() }), 'PROVIDER'))
}

tell({ event: 'ready', peer: String(node.peerId), addrs: node.getMultiaddrs().map(String) })
readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const command = JSON.parse(line)
  try {
    tell({ id: command.id, ...(await commands[command.name](command)) })
  } catch (error) {
    tell({ id: command.id, error: `${error.name}: ${error.message}` })
  }
}).on('close', () => process.exit(0))
